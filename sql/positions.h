// The stored positions of a view and its pause, as people look at and change them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/position.h"
#include "postgres/connection.h"

namespace daybook::sql {

struct StoredPosition {
  TopicPartition name;
  std::int64_t start = 0;  // where the generation began
  std::int64_t next = 0;
  std::int64_t epoch = 0;
  std::string owner;         // host:pid of the worker that took it last
  double quiet_seconds = 0;  // since it last moved or was taken
};
// All partitions of a generation, in order. Throws RetryError.
std::vector<StoredPosition> stored_positions(pqxx::connection& connection, int generation);

// Moves positions (each must be stored already), takes a pause away and accepts whatever log there is: no anchor is
// checked next time. Waits for a commit that is under way; workers are fenced and read on from there.
void move_positions(pqxx::connection& connection, int generation, const Positions& positions);

// Pauses a view for all its workers, or lets them go on within a second. False: nothing was to be changed.
bool pause(pqxx::connection& connection, int generation, const std::string& why);
bool resume(pqxx::connection& connection, int generation);

}  // namespace daybook::sql
