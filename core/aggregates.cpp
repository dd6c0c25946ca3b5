#include "core/aggregates.h"

#include <algorithm>

namespace daybook {

std::vector<Sum> sums_of(const ViewDefinition& view) {
  std::vector<Sum> sums;
  for (std::size_t i = 0; i < view.columns.size(); ++i) {
    const Aggregate aggregate = view.columns[i].aggregate;
    if (is_added(aggregate)) sums.push_back({i, Sum::Part::value});
    if (aggregate != Aggregate::avg) continue;
    sums.push_back({i, Sum::Part::avg_sum});
    sums.push_back({i, Sum::Part::avg_count});
  }
  return sums;
}

std::vector<std::size_t> merged_columns(const ViewDefinition& view) {
  std::vector<std::size_t> merged;
  for (std::size_t i = 0; i < view.columns.size(); ++i) {
    if (is_taken(view.columns[i]) && view.columns[i].aggregate != Aggregate::avg) merged.push_back(i);
  }
  return merged;
}

bool has_last(const ViewDefinition& view) {
  return std::any_of(view.columns.begin(), view.columns.end(),
                     [](const ValueColumn& column) { return column.aggregate == Aggregate::last; });
}

}  // namespace daybook
