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

// The last record before a position, as it was when it was applied. If the log holds another one there, it is not the
// log that was read: its topic was deleted and made again, or truncated.
struct Anchor {
  std::int64_t offset = 0;
  std::int64_t timestamp_ms = -1;
  std::uint64_t hash = 0;  // of key and value
  bool operator==(const Anchor&) const = default;
};

// "topic/partition@offset", as messages and commands write it.
inline std::string to_string(const TopicPartition& partition) {
  return partition.topic + "/" + std::to_string(partition.partition);
}
inline std::string to_string(const TopicPartition& partition, std::int64_t offset) {
  return to_string(partition) + "@" + std::to_string(offset);
}

}  // namespace daybook
