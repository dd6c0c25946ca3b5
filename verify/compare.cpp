#include "verify/compare.h"

#include <charconv>

#include "core/aggregates.h"
#include "verify/gathered.h"

namespace daybook::verify {
namespace {

// The number in a cell; false for NULL and anything that is no 64-bit integer, or decimal of 18 digits.
bool read_number(const ValueColumn& column, const std::optional<std::string>& text, absl::int128& number) {
  std::int64_t found = 0;
  if (!text) return false;
  if (column.type == ColumnType::decimal) {
    const std::optional<std::int64_t> scaled = scaled_of(*text, column.scale);
    number = scaled.value_or(0);
    return scaled.has_value();
  }
  const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), found);
  number = found;
  return error == std::errc() && end == text->data() + text->size();
}

RowDifference compare_row(const ViewDefinition& definition, const Key& key,
                          const std::vector<std::optional<std::string>>* table, const ExpectedRow* log) {
  RowDifference difference;
  difference.key = key;
  const bool in_log = log != nullptr && log->in_log;
  bool explained = log != nullptr && log->uncertain;
  if (table == nullptr) {
    difference.kind = RowDifference::Kind::only_in_log;
    explained = explained && log->may_be_absent;
  } else if (!in_log) {
    difference.kind = RowDifference::Kind::only_in_table;
  }
  for (std::size_t c = 0; c < definition.columns.size(); ++c) {
    CellDifference cell;
    cell.column = definition.columns[c].name;
    if (table != nullptr) cell.table = (*table)[c].value_or("NULL");
    if (!is_added(definition.columns[c].aggregate)) {
      if (log != nullptr) cell.log = log->doubtful[c] ? "uncertain" : log->texts[c].value_or("NULL");
      const bool equal = table != nullptr && log != nullptr && (*table)[c] == log->texts[c];
      explained = explained && (equal || log->doubtful[c]);
      if (in_log && equal) continue;
      difference.cells.push_back(std::move(cell));
      continue;
    }
    const int scale = definition.columns[c].scale;
    absl::int128 stored = 0;
    const bool is_number = table != nullptr && read_number(definition.columns[c], (*table)[c], stored);
    if (log != nullptr) {
      cell.log = log->low[c] == log->high[c]
                     ? number_text(log->values[c], scale)
                     : number_text(log->low[c], scale) + " to " + number_text(log->high[c], scale);
    }
    if (table != nullptr && log != nullptr) {
      explained = explained && is_number && stored >= log->low[c] && stored <= log->high[c];
      if (in_log && is_number && stored == log->values[c]) continue;
    }
    difference.cells.push_back(std::move(cell));
  }
  difference.uncertain = explained;
  return difference;
}

}  // namespace

Comparison compare(const TableRows& table, const Recomputation& recomputation, std::size_t limit) {
  if (recomputation.definition().has_states()) return compare_states(table, recomputation, limit);
  Comparison found;
  const std::map<Key, ExpectedRow> log = recomputation.expected_rows();
  const auto judge = [&](const Key& key, const std::vector<std::optional<std::string>>* row,
                         const ExpectedRow* expected) {
    RowDifference difference = compare_row(recomputation.definition(), key, row, expected);
    if (difference.kind == RowDifference::Kind::values && difference.cells.empty()) return;
    ++(difference.uncertain ? found.uncertain_rows : found.differing_rows);
    if (found.rows.size() < limit) found.rows.push_back(std::move(difference));
  };
  // Two sorted maps, side by side.
  auto row = table.begin();
  auto expected = log.begin();
  while (row != table.end() || expected != log.end()) {
    if (expected == log.end() || (row != table.end() && row->first < expected->first)) {
      judge(row->first, &row->second, nullptr);
      ++row;
    } else if (row == table.end() || expected->first < row->first) {
      // A row that only uncertain events touched need not be there.
      if (expected->second.in_log) judge(expected->first, nullptr, &expected->second);
      ++expected;
    } else {
      judge(row->first, &row->second, &expected->second);
      ++row;
      ++expected;
    }
  }
  return found;
}

std::string describe_key(const ViewDefinition& definition, const Key& key) {
  std::string text;
  for (std::size_t i = 0; i < key.size(); ++i) {
    text += (i == 0 ? "" : ", ") + definition.key[i].name + " " + key[i];
  }
  return text;
}

}  // namespace daybook::verify
