#include "verify/compare.h"

#include <charconv>
#include <sstream>

namespace daybook::verify {
namespace {

std::string print(const absl::int128& number) {
  std::ostringstream text;
  text << number;
  return text.str();
}

// The number in a cell; false for NULL and anything that is no 64-bit integer.
bool read_integer(const std::optional<std::string>& text, absl::int128& number) {
  std::int64_t found = 0;
  if (!text) return false;
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
    absl::int128 stored = 0;
    const bool is_integer = table != nullptr && read_integer((*table)[c], stored);
    if (table != nullptr) cell.table = (*table)[c].value_or("NULL");
    if (log != nullptr) {
      cell.log =
          log->low[c] == log->high[c] ? print(log->values[c]) : print(log->low[c]) + " to " + print(log->high[c]);
    }
    if (table != nullptr && log != nullptr) {
      explained = explained && is_integer && stored >= log->low[c] && stored <= log->high[c];
      if (in_log && is_integer && stored == log->values[c]) continue;
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
