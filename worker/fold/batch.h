// A batch: contiguous offsets of some partitions, folded into row changes that one transaction commits. A value:
// it knows no driver, no clock and no thread.
#pragma once

#include <absl/container/flat_hash_set.h>
#include <absl/hash/hash.h>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/definition.h"
#include "core/position.h"
#include "worker/decode/decoder.h"
#include "worker/decode/fingerprint.h"

namespace daybook {

// A record that could not be applied, as it was in the log.
struct DeadLetter {
  TopicPartition partition;
  std::int64_t offset = 0;
  std::int64_t timestamp_ms = -1;
  std::optional<std::string> key;
  std::optional<std::string> value;
  std::vector<std::pair<std::string, std::string>> headers;
  Rejection rejection;
  std::string source, id, type;  // as far as they could be read
};

// The rows that a batch changes, in key order.
struct RowChanges {
  static constexpr CivilDay no_end = INT32_MAX;  // PostgreSQL's 'infinity' as days

  std::vector<std::string_view> keys;              // row_key.h
  std::vector<std::vector<std::int64_t>> changes;  // [column][row]: what the batch adds on that row's key
  // [column][row], balance columns only (others empty): all that the batch adds to the balance up to the row's date.
  std::vector<std::vector<std::int64_t>> levels;
  // Rows of later dates that exist already rise as well: for each entry, those of the key of row `row` on dates
  // after its own and before `until` (days since 2000-01-01) rise by its level.
  struct Ripple {
    std::uint32_t row;
    std::int32_t until;
  };
  std::vector<Ripple> ripples;
};

class Batch {
 public:
  explicit Batch(const ViewDefinition& view);

  struct Range {
    std::int64_t from = 0;        // the stored next offset that the commit expects
    std::int64_t to = 0;          // the next offset after it
    std::uint32_t partition = 0;  // the caller's number of the partition
  };

  // Where an event came from: the caller's number of the partition, and the offset.
  struct Origin {
    std::uint32_t partition = 0;
    std::int64_t offset = 0;
  };
  // Adds a contributing event. Its fingerprint must be fresh, and can_add() true.
  void add(const DecodedEvent& event, Origin origin);
  void add(DeadLetter dead_letter) { dead_letters_.push_back(std::move(dead_letter)); }
  // The batch holds all records of `partition` from `from` to just before `to`; called again, `to` grows.
  void cover(const TopicPartition& partition, const Range& range);

  // Takes out the events with these identities (others committed them meanwhile) and folds the rest again.
  // Returns how many were taken out.
  std::size_t drop(const std::vector<Fingerprint>& identities);

  // Moves the first `count` events out of `whole` into this batch, which must be empty, with what lies before the
  // first event that stays: each is then a batch of its own, and this one has to be committed first.
  void take_front(Batch& whole, std::size_t count);

  bool empty() const { return ranges_.empty(); }
  std::size_t events() const { return events_.size(); }
  Origin first_event() const { return events_.front().origin; }
  std::size_t rows() const { return row_keys_.size(); }
  // False when the batch must be committed first: the sum of all amounts' magnitudes stays below 2^62 (or is that
  // of a single event), so that no sum within a batch can overflow.
  bool can_add(const DecodedEvent& event) const;
  std::size_t memory_bytes() const;

  const std::map<TopicPartition, Range>& ranges() const { return ranges_; }
  const std::vector<DeadLetter>& dead_letters() const { return dead_letters_; }
  std::vector<Fingerprint> fingerprints() const;

  // Views into this batch: valid until it changes.
  RowChanges row_changes() const;

  void clear();

 private:
  struct Event {
    Fingerprint fingerprint;
    std::uint32_t changes_end;  // its changes: from the former event's end up to here
    Origin origin;
  };
  // Contributions are kept beside the folded rows, 16 bytes each: an event can be taken out again without
  // reading it from the log.
  struct Change {
    std::uint32_t row;
    std::uint32_t column;
    std::int64_t amount;
  };
  struct KeyRef {
    std::uint32_t begin;
    std::uint32_t size;
  };

  std::string_view key_of(std::uint32_t row) const {
    return std::string_view(key_bytes_).substr(row_keys_[row].begin, row_keys_[row].size);
  }
  std::uint32_t row_of(std::string_view key);
  void fold_again(std::vector<Event> events, std::vector<Change> changes);
  void apply(const Change& change) { sums_[change.row * columns_ + change.column] += change.amount; }

  struct Hash {
    using is_transparent = void;
    const Batch* batch;
    std::size_t operator()(std::string_view key) const { return absl::Hash<std::string_view>()(key); }
    std::size_t operator()(std::uint32_t row) const { return (*this)(batch->key_of(row)); }
  };
  struct Equal {
    using is_transparent = void;
    const Batch* batch;
    bool operator()(std::uint32_t a, std::uint32_t b) const { return a == b; }
    bool operator()(std::uint32_t row, std::string_view key) const { return batch->key_of(row) == key; }
    bool operator()(std::string_view key, std::uint32_t row) const { return batch->key_of(row) == key; }
  };
  using RowIndex = absl::flat_hash_set<std::uint32_t, Hash, Equal>;

  std::size_t columns_;
  std::vector<bool> is_balance_;
  bool has_balance_;
  std::map<TopicPartition, Range> ranges_;
  std::vector<Event> events_;
  std::vector<Change> changes_;
  std::vector<DeadLetter> dead_letters_;
  std::string key_bytes_;
  std::vector<KeyRef> row_keys_;
  std::vector<std::int64_t> sums_;  // [row * columns_ + column]
  RowIndex index_;
  std::uint64_t magnitude_ = 0;

 public:
  // The index refers to this object.
  Batch(const Batch&) = delete;
  Batch& operator=(const Batch&) = delete;
};

}  // namespace daybook
