// The states of a batch of a `latest` or `log` view: all that its events said, and of each part of each row the one
// that counts. For `latest` that is the newest, for `log` the first (two events that give one row the same key are
// rare).
#pragma once

#include <absl/container/flat_hash_map.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/definition.h"
#include "worker/decode/decoder.h"

namespace daybook {

class StateFold {
 public:
  explicit StateFold(const ViewDefinition& view) : first_counts_(view.kind == ViewKind::log) {}

  void add(const DecodedEvent& event);
  // The states of `other` from number `begin` to before `end`.
  void add(const StateFold& other, std::size_t begin, std::size_t end);

  // A state that counts. Views into the fold: valid until it changes.
  struct Kept {
    std::string_view key;     // row_key.h
    std::string_view values;  // state_values
    std::uint32_t part = 0;
    bool gone = false;
    StateOrder order;
  };
  // In the order of keys and parts.
  std::vector<Kept> kept() const;

  std::size_t size() const { return states_.size(); }  // of all events
  std::size_t rows() const { return counts_.size(); }
  std::size_t memory_bytes() const;

 private:
  // All are kept, not only those that count: an event may be taken out of the batch again.
  struct Entry {
    std::uint64_t begin;  // in bytes_: its key, the part's number in one byte, its values
    std::uint32_t key_size;
    std::uint32_t values_size;
    std::uint32_t part;
    bool gone;
    StateOrder order;
  };
  void add(const Entry& state, std::string_view key, std::string_view values);

  bool first_counts_;
  std::vector<Entry> states_;
  std::string bytes_;
  absl::flat_hash_map<std::string, std::uint32_t> counts_;  // key and part -> number of the state
  std::string key_and_part_;
};

}  // namespace daybook
