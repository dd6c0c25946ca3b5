// The partitions that a worker was assigned and has taken, with how far each is folded.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/position.h"
#include "core/record.h"

namespace daybook {

struct OwnedPartition {
  TopicPartition name;
  std::int64_t epoch = 0;
  std::int64_t stored = 0;     // what the store has
  std::int64_t open_from = 0;  // where the open batch begins
  std::int64_t folded = 0;     // the next offset to fold
  bool at_end = false;         // the log had nothing behind `folded` when it was last read
  // What the log has to show first, since it is what was applied last. Cleared once it was seen.
  std::optional<Anchor> expected;
  // Of the last record that was folded into the open batch; `last` until its hash is taken, before the next poll.
  std::optional<Anchor> anchor;
  std::optional<Anchor> submitted_anchor;  // the one before it
  const Record* last = nullptr;
  std::chrono::steady_clock::time_point heard_at{};  // when a record or the partition's end last came
};

class PartitionTable {
 public:
  // `topics`: what Record::topic indexes.
  explicit PartitionTable(std::vector<std::string> topics);

  void add(OwnedPartition partition);
  void clear();

  // nullptr: not ours.
  OwnedPartition* find(const Record& record) {
    const std::vector<int>& slots = slots_[record.topic];
    if (static_cast<std::size_t>(record.partition) >= slots.size()) return nullptr;
    const int slot = slots[static_cast<std::size_t>(record.partition)];
    return slot < 0 ? nullptr : &partitions_[static_cast<std::size_t>(slot)];
  }
  OwnedPartition* find(const TopicPartition& name);
  // The caller's number of a partition, as Batch::Range has it.
  std::uint32_t number(const OwnedPartition& partition) const {
    return static_cast<std::uint32_t>(&partition - partitions_.data());
  }
  const OwnedPartition& at(std::uint32_t number) const { return partitions_[number]; }

  bool empty() const { return partitions_.empty(); }
  auto begin() { return partitions_.begin(); }
  auto end() { return partitions_.end(); }
  auto begin() const { return partitions_.begin(); }
  auto end() const { return partitions_.end(); }
  const std::string& topic(const Record& record) const { return topics_[record.topic]; }
  // Where reading goes on: at the next offset to fold, or before it at the anchor that is still to be checked.
  Positions to_read() const;

 private:
  std::vector<std::string> topics_;
  std::vector<OwnedPartition> partitions_;
  std::vector<std::vector<int>> slots_;  // [topic][partition] -> index into partitions_, -1: not ours
};

}  // namespace daybook
