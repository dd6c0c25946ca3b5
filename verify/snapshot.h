// What the database says of a view at one moment: definition, positions, dead letters and rows, copied in one
// short transaction that is closed before the log is read (a long snapshot slows every update down).
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "core/definition.h"
#include "core/position.h"
#include "postgres/connection.h"
#include "verify/compare.h"
#include "verify/recompute.h"

namespace daybook::verify {

struct Span {
  TopicPartition partition;
  std::int64_t start = 0;  // where the generation began
  std::int64_t next = 0;   // the next offset that it will read
  // [first, last) of what a person made it skip (`daybook positions move`), and that it did not read otherwise.
  std::vector<std::pair<std::int64_t, std::int64_t>> skipped;

  bool contains(std::int64_t offset) const {
    if (offset < start || offset >= next) return false;
    for (const auto& [first, last] : skipped) {
      if (offset >= first && offset < last) return false;
    }
    return true;
  }
};

// One move of a partition's position, from the next offset to read then to another.
struct Move {
  std::int64_t start = 0;  // where the generation began, before the move
  std::int64_t from = 0;
  std::int64_t to = 0;
};
// What of [start, next) was never read, after these moves in their order. Pure.
std::vector<std::pair<std::int64_t, std::int64_t>> skipped_by(std::int64_t start, std::int64_t next,
                                                              const std::vector<Move>& moves);

struct Snapshot {
  std::int64_t generation = 0;
  ViewDefinition definition;
  std::vector<Span> spans;
  std::vector<DeadLetter> dead_letters;  // from the start on
  TableRows rows;
  std::string rows_from;  // of a log: rows before were archived; empty: none were
};

// Throws StopError when there is no such view, RetryError when the database is away.
Snapshot take_snapshot(pqxx::connection& connection, const std::string& view);

}  // namespace daybook::verify
