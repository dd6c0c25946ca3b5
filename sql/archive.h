// The partitions of a `log` view's table, as `daybook archive` takes them out.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/definition.h"
#include "postgres/connection.h"

namespace daybook::sql {

struct LogPartition {
  std::string begins, ends;         // "2026-01-31T00:00:00.000000Z"
  std::int64_t ends_at = 0;         // microseconds since 1970
  std::string table;                // schema and name, quoted
  bool is_detached = false;         // by a run that did not come to its end
  std::int64_t rows_estimated = 0;  // by PostgreSQL's statistics
};

// One run at a time for a view, until the connection ends. False: another one is at it. Throws RetryError.
bool lock_for_archiving(pqxx::connection& connection, int generation);

// In the order of time. Throws RetryError.
std::vector<LogPartition> log_partitions(pqxx::connection& connection, int generation);

// Takes it out of the view. Waits up to half a minute for those who read the view. Throws RetryError.
void detach_partition(pqxx::connection& connection, int generation, const LogPartition& partition);

// COPY of all rows as CSV with a header, in the order of the key: key and value columns, updated_at.
std::string render_copy_partition(const ViewDefinition& view, const LogPartition& partition);

// Drops it: it must be detached.
void drop_partition(pqxx::connection& connection, int generation, const LogPartition& partition);

}  // namespace daybook::sql
