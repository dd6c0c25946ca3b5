// Copies of the records that are folded but not committed, kept while the database refuses events: the guilty one then
// becomes a dead letter at once. Without them the log has to be read again for its bytes, and a partition with one
// refused event after the other would hold up all others.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/position.h"
#include "core/record.h"
#include "worker/decode/fingerprint.h"

namespace daybook {

class Evidence : private HeaderReader {
 public:
  // `number`: the record's in the flood window.
  void add(const TopicPartition& partition, const Record& record, std::uint64_t number);
  // A later copy of some event was dropped. If that event is the guilty one, the copy has to be read again.
  void add_dropped(const Fingerprint& copy);

  struct Found {
    Record record;  // its views go into this object, until it changes
    std::uint64_t number;
  };
  // None: the record was folded before evidence was kept.
  std::optional<Found> find(const TopicPartition& partition, std::int64_t offset) const;
  bool was_copy_dropped(const Fingerprint& event) const;

  // What is committed is no longer of interest.
  void forget_below(const TopicPartition& partition, std::int64_t offset);
  void clear();
  std::size_t memory_bytes() const { return bytes_ + dropped_.size() * sizeof(Fingerprint); }

 private:
  struct Copy {
    std::uint64_t number = 0;
    std::uint32_t topic = 0;
    std::int64_t timestamp_ms = -1;
    std::optional<std::string> key;
    std::optional<std::string> value;
    std::vector<std::pair<std::string, std::string>> headers;
    std::size_t bytes = 0;
  };
  void read(const void* native, std::vector<Header>& out) const override;

  std::map<TopicPartition, std::map<std::int64_t, Copy>> copies_;
  std::vector<Fingerprint> dropped_;
  std::size_t bytes_ = 0;
};

}  // namespace daybook
