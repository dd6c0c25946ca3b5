// Positions in the log. An offset called "next" is the next one to READ, everywhere: in memory, in
// daybook.position, in the group's committed offsets and in what `publish` prints for `after=`.
#pragma once

#include <compare>
#include <cstdint>
#include <map>
#include <string>

namespace daybook {

struct TopicPartition {
  std::string topic;
  std::int32_t partition = 0;
  auto operator<=>(const TopicPartition&) const = default;
};

// The next offset to read, by partition.
using Positions = std::map<TopicPartition, std::int64_t>;

}  // namespace daybook
