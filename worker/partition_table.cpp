#include "worker/partition_table.h"

#include <algorithm>

namespace daybook {

PartitionTable::PartitionTable(std::vector<std::string> topics) : topics_(std::move(topics)), slots_(topics_.size()) {}

void PartitionTable::add(OwnedPartition partition) {
  const auto topic = std::find(topics_.begin(), topics_.end(), partition.name.topic) - topics_.begin();
  std::vector<int>& slots = slots_[static_cast<std::size_t>(topic)];
  const auto number = static_cast<std::size_t>(partition.name.partition);
  if (slots.size() <= number) slots.resize(number + 1, -1);
  slots[number] = static_cast<int>(partitions_.size());
  partitions_.push_back(std::move(partition));
}

void PartitionTable::clear() {
  partitions_.clear();
  for (std::vector<int>& slots : slots_) slots.clear();
}

OwnedPartition* PartitionTable::find(const TopicPartition& name) {
  const auto found = std::find_if(partitions_.begin(), partitions_.end(),
                                  [&name](const OwnedPartition& partition) { return partition.name == name; });
  return found == partitions_.end() ? nullptr : &*found;
}

Positions PartitionTable::to_read() const {
  Positions positions;
  for (const OwnedPartition& partition : partitions_)
    positions[partition.name] = partition.expected ? partition.expected->offset : partition.folded;
  return positions;
}

}  // namespace daybook
