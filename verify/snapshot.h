// What the database says of a view at one moment: definition, positions, dead letters and rows, copied in one
// short transaction that is closed before the log is read (a long snapshot slows every update down).
#pragma once

#include <cstdint>
#include <string>
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
};

struct Snapshot {
  std::int64_t generation = 0;
  ViewDefinition definition;
  std::vector<Span> spans;
  std::vector<DeadLetter> dead_letters;  // from the start on
  TableRows rows;
};

// Throws StopError when there is no such view, RetryError when the database is away.
Snapshot take_snapshot(pqxx::connection& connection, const std::string& view);

}  // namespace daybook::verify
