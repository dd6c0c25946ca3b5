// The log of a simulated run: partitions of events, with offsets that have gaps, an end beyond the last record, a begin
// that retention moves, and another log that may take a partition's place.
#pragma once

#include <map>
#include <optional>

#include "core/position.h"

namespace daybook::simulation {

struct PartitionLog {
  std::map<std::int64_t, int> records;  // offset -> number of the event
  std::int64_t begin = 0;
  std::int64_t end = 0;

  // `gap` offsets before it are left out (aborted, compacted), `markers` behind it hold no record.
  void append(int event, int gap, int markers) {
    records[end + gap] = event;
    end += gap + 1 + markers;
  }
};

struct SimulatedLog {
  // What was produced, and what the view has to be the fold of; `begin` hides what retention removed.
  std::map<TopicPartition, PartitionLog> partitions;
  // Deleted and made again, or truncated: what the broker has instead.
  std::map<TopicPartition, PartitionLog> replaced;
  // Rises whenever a broker's log takes another's place.
  int incarnation = 0;

  const PartitionLog& current(const TopicPartition& partition) const {
    const auto other = replaced.find(partition);
    return other != replaced.end() ? other->second : partitions.at(partition);
  }
};

}  // namespace daybook::simulation
