// The table beside the recomputation: which rows differ, and which of these only where it is uncertain
// what the worker had to count. Pure.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "verify/recompute.h"

namespace daybook::verify {

// Value columns as PostgreSQL prints them; nullopt: NULL.
using TableRows = std::map<Key, std::vector<std::optional<std::string>>>;

struct CellDifference {
  std::string column;
  std::string table;
  std::string log;  // "100", or "90 to 100" in an uncertain row
};

struct RowDifference {
  enum class Kind { values, only_in_table, only_in_log };
  Kind kind = Kind::values;
  Key key;
  std::vector<CellDifference> cells;
  bool uncertain = false;  // within what the uncertain events can explain
};

struct Comparison {
  std::int64_t differing_rows = 0;
  std::int64_t uncertain_rows = 0;  // rows that differ, within what uncertain events can explain
  std::vector<RowDifference> rows;  // the first `limit`, in key order, differing ones and uncertain ones
};

Comparison compare(const TableRows& table, const Recomputation& recomputation, std::size_t limit);
// The part of it for `latest` and `log` views.
Comparison compare_states(const TableRows& table, const Recomputation& recomputation, std::size_t limit);

// "facility_id 0f8f…, date 2026-11-23".
std::string describe_key(const ViewDefinition& definition, const Key& key);

}  // namespace daybook::verify
