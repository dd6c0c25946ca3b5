// The table of a `latest` or `log` view beside the recomputation.
#include "verify/compare.h"
#include "verify/event.h"

namespace daybook::verify {
namespace {

// A cell as the recomputation writes it.
std::optional<std::string> normal_cell(const ValueColumn& column, const std::optional<std::string>& cell) {
  if (!cell || column.type != ColumnType::json) return cell;
  const std::variant<nlohmann::json, Rejection> parsed = parse_json(*cell, true);
  return std::holds_alternative<Rejection>(parsed) ? *cell : normal_json(std::get<nlohmann::json>(parsed));
}

RowDifference compare_row(const ViewDefinition& definition, const Key& key,
                          const std::vector<std::optional<std::string>>* table, const States::Row* log) {
  RowDifference difference;
  difference.key = key;
  const bool in_log = log != nullptr && log->is_there();
  if (table == nullptr) {
    difference.kind = RowDifference::Kind::only_in_log;
  } else if (!in_log) {
    difference.kind = RowDifference::Kind::only_in_table;
  }
  difference.uncertain = log != nullptr && log->is_uncertain();
  for (std::size_t c = 0; c < definition.columns.size(); ++c) {
    std::optional<std::string> stored;
    if (table != nullptr) stored = normal_cell(definition.columns[c], (*table)[c]);
    if (table != nullptr && in_log && stored == log->value(c)) continue;
    difference.cells.push_back({definition.columns[c].name, table == nullptr ? "" : stored.value_or("NULL"),
                                in_log ? log->value(c).value_or("NULL") : ""});
  }
  return difference;
}

}  // namespace

Comparison compare_states(const TableRows& table, const Recomputation& recomputation, std::size_t limit) {
  Comparison found;
  const States& states = recomputation.states();
  const std::map<States::Key, States::Row>& log = states.rows();
  const auto judge = [&](const Key& key, const std::vector<std::optional<std::string>>* row,
                         const States::Row* expected) {
    if (row == nullptr && !expected->is_there()) return;
    RowDifference difference = compare_row(recomputation.definition(), key, row, expected);
    if (difference.kind == RowDifference::Kind::values && difference.cells.empty()) return;
    ++(difference.uncertain ? found.uncertain_rows : found.differing_rows);
    if (found.rows.size() < limit) found.rows.push_back(std::move(difference));
  };
  auto row = table.begin();
  auto expected = log.begin();
  while (row != table.end() || expected != log.end()) {
    if (expected != log.end() && states.is_archived(expected->first)) {
      ++expected;
      continue;
    }
    if (expected == log.end() || (row != table.end() && row->first < expected->first)) {
      judge(row->first, &row->second, nullptr);
      ++row;
    } else if (row == table.end() || expected->first < row->first) {
      judge(expected->first, nullptr, &expected->second);
      ++expected;
    } else {
      judge(row->first, &row->second, &expected->second);
      ++row;
      ++expected;
    }
  }
  return found;
}

}  // namespace daybook::verify
