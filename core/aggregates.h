// How the columns of a summary are kept: as sums, which are added up, or as what was taken, which is merged by the
// column's own rule. The worker's cells, the commit's parameters and the table's hidden columns have these orders.
// Pure.
#pragma once

#include <cstdint>
#include <vector>

#include "core/definition.h"

namespace daybook {

// One number that is added up. A view with sums, counts and balances only has one for each column, in their order.
struct Sum {
  enum class Part { value, avg_sum, avg_count };
  std::size_t column = 0;
  Part part = Part::value;
};
std::vector<Sum> sums_of(const ViewDefinition& view);

// sum, count, balance: never NULL, changed by "add" and "subtract".
constexpr bool is_added(Aggregate aggregate) {
  return aggregate == Aggregate::sum || aggregate == Aggregate::count || aggregate == Aggregate::balance;
}
// Changed by "take".
inline bool is_taken(const ValueColumn& column) {
  return !is_added(column.aggregate) && column.aggregate != Aggregate::ratio && column.of.empty();
}
// Taken, and not kept as sums: min, max, last, quantile, distinct. In their order, as indexes.
std::vector<std::size_t> merged_columns(const ViewDefinition& view);
bool has_last(const ViewDefinition& view);

}  // namespace daybook
