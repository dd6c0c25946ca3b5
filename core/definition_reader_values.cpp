#include "core/definition_reader_values.h"

#include <algorithm>
#include <charconv>

#include "core/aggregates.h"
#include "core/decimal.h"
#include "core/definition_members.h"

namespace daybook {
namespace {

using Kind = JsonNode::Kind;

constexpr int max_scale = 9;

std::string_view word_of(Aggregate aggregate) {
  static constexpr std::string_view words[] = {"sum", "count", "balance", "min",      "max",
                                               "avg", "last",  "ratio",   "quantile", "distinct"};
  return words[static_cast<std::size_t>(aggregate)];
}

// A definition is stored as JSON whose numbers are doubles: one that does not come back as it was written is refused.
std::optional<std::int64_t> exact_number(const JsonNode& node, int scale) {
  char shortest[40];
  const auto end = std::to_chars(shortest, shortest + sizeof shortest, node.number).ptr;
  const std::optional<std::int64_t> written = parse_decimal(node.text, scale);
  const std::optional<std::int64_t> stored = parse_decimal({shortest, static_cast<std::size_t>(end - shortest)}, scale);
  return written == stored ? written : std::nullopt;
}

struct Types {
  std::vector<ColumnType> allowed;
  std::string_view expected;
};
Types types_of(Aggregate aggregate) {
  using enum ColumnType;
  switch (aggregate) {
    case Aggregate::count:
    case Aggregate::distinct:
      return {{int4, int8}, "\"int\" or \"bigint\", since the column counts"};
    case Aggregate::sum:
    case Aggregate::balance:
    case Aggregate::avg:
    case Aggregate::quantile:
      return {{int4, int8, decimal}, "\"int\", \"bigint\" or \"decimal\", since the column holds numbers"};
    case Aggregate::min:
    case Aggregate::max:
      return {{int4, int8, decimal, timestamp}, "\"int\", \"bigint\", \"decimal\" or \"timestamp\""};
    case Aggregate::last:
      return {{int4, int8, decimal, timestamp, text}, "\"int\", \"bigint\", \"decimal\", \"timestamp\" or \"text\""};
    case Aggregate::ratio:
      return {{decimal}, "\"decimal\", since a ratio has a fraction"};
  }
  return {};
}

}  // namespace

void ValuesReader::read_column(const JsonNode& node, std::size_t column, std::optional<ColumnType> type,
                               std::optional<Aggregate> aggregate) {
  known_.resize(column + 1);
  known_[column] = {type, aggregate};
  read_scale(node, view_.columns[column], type);
  read_quantile(node, view_.columns[column], aggregate);
  if (type && aggregate) check_type(*node.member("type"), *type, *aggregate);
}

void ValuesReader::read_scale(const JsonNode& node, ValueColumn& column, std::optional<ColumnType> type) {
  const JsonNode* scale = node.member("scale");
  if (scale != nullptr) {
    column.scale = static_cast<int>(integer(*scale, column_members, 1, max_scale).value_or(1));
    if (type && *type != ColumnType::decimal) mistake(*scale, "a scale", "none, since only decimals have one");
  } else if (type == ColumnType::decimal) {
    missing(node, "scale", expectation(column_members, "scale"));
    column.scale = 1;
  }
}

void ValuesReader::read_quantile(const JsonNode& node, ValueColumn& column, std::optional<Aggregate> aggregate) {
  const std::string_view expected = expectation(column_members, "quantile");
  const JsonNode* quantile = node.member("quantile");
  if (quantile == nullptr) {
    if (aggregate == Aggregate::quantile) missing(node, "quantile", expected);
    return;
  }
  const std::optional<std::int64_t> millionths =
      quantile->is(Kind::number) ? parse_decimal(quantile->text, 6) : std::nullopt;
  if (!millionths || *millionths <= 0 || *millionths >= 1'000'000) {
    wrong(*quantile, expected);
  } else if (aggregate && *aggregate != Aggregate::quantile) {
    mistake(*quantile, "a quantile", "none, since only columns of value \"quantile\" have one");
  }
  column.quantile_millionths = static_cast<int>(millionths.value_or(1));
}

void ValuesReader::check_type(const JsonNode& node, ColumnType type, Aggregate aggregate) {
  const Types types = types_of(aggregate);
  if (std::find(types.allowed.begin(), types.allowed.end(), type) != types.allowed.end()) return;
  mistake(node, node.shown() + " for a column of value \"" + std::string(word_of(aggregate)) + "\"", types.expected);
}

void ValuesReader::read_references(std::span<const JsonNode* const> columns, bool columns_known) {
  const std::string_view expected = expectation(column_members, "of");
  for (std::size_t i = 0; i < known_.size(); ++i) {
    const JsonNode* of = columns[i]->member("of");
    const std::optional<Aggregate> aggregate = known_[i].aggregate;
    if (of == nullptr) {
      if (aggregate == Aggregate::ratio) missing(*columns[i], "of", expected);
      continue;
    }
    const bool is_ratio = aggregate == Aggregate::ratio;
    if (aggregate && !is_ratio && aggregate != Aggregate::quantile) {
      mistake(*of, "other columns", "none, since only a ratio or a quantile is computed from others");
      continue;
    }
    const auto names = elements(of, expected);
    if (!names.empty() && aggregate && names.size() != (is_ratio ? 2u : 1u)) {
      mistake(*of, std::to_string(names.size()) + (names.size() == 1 ? " column" : " columns"),
              is_ratio ? "two columns: the numerator and the denominator" : "one column, whose sketch this one reads");
      continue;
    }
    for (const JsonNode* name : names) read_reference(*name, i, columns_known && aggregate.has_value());
  }
}

void ValuesReader::read_reference(const JsonNode& node, std::size_t column, bool columns_known) {
  const std::string* name = string(node, "the name of a column");
  if (name == nullptr) return;
  std::vector<std::string_view> names;
  for (const ValueColumn& other : view_.columns) names.push_back(other.name);
  const auto found = std::find(names.begin(), names.end(), *name);
  if (found == names.end()) {
    if (columns_known) mistake(node, "an unknown column", one_of(*name, names));
    return;
  }
  const auto other = static_cast<std::size_t>(found - names.begin());
  ValueColumn& own = view_.columns[column];
  own.of.push_back(other);
  if (!columns_known || !known_[other].aggregate) return;
  const Aggregate aggregate = *known_[other].aggregate;
  if (own.aggregate == Aggregate::ratio) {
    if (!is_added(aggregate))
      mistake(node, "a column of value \"" + std::string(word_of(aggregate)) + "\"",
              "a column of value \"sum\", \"count\" or \"balance\"");
    return;
  }
  const ValueColumn& sketched = view_.columns[other];
  if (aggregate != Aggregate::quantile || other == column || !sketched.of.empty()) {
    mistake(node, node.shown() + ", which has no sketch of its own", "a column of value \"quantile\" without \"of\"");
  } else if (sketched.type != own.type || sketched.scale != own.scale) {
    mistake(node, node.shown() + " of another type", "a column of the same type and scale");
  }
}

bool ValuesReader::may_change(const JsonNode& node, std::size_t column, int sign) {
  const std::optional<Aggregate> aggregate = column < known_.size() ? known_[column].aggregate : std::nullopt;
  if (!aggregate || is_added(*aggregate)) return true;
  const std::string found = "a column of value \"" + std::string(word_of(*aggregate)) + "\"";
  if (*aggregate == Aggregate::ratio || !view_.columns[column].of.empty()) {
    mistake(node, found + ", which is computed from other columns", "no source that changes it");
  } else if (sign > 0) {
    mistake(node, found, "\"take\" instead of \"add\", since its values are not added up");
  } else {
    mistake(
        node, found,
        "\"take\", and never \"subtract\": what it took can't be taken back; corrections need sum, count or balance");
  }
  return false;
}

std::int64_t ValuesReader::read_constant(const JsonNode& node, std::size_t column) {
  const int scale = view_.columns[column].scale;
  const std::optional<std::int64_t> constant = node.is(Kind::integer)  ? scale_integer(node.integer, scale)
                                               : node.is(Kind::number) ? exact_number(node, scale)
                                                                       : std::nullopt;
  if (!constant) {
    wrong(node, "a JSON Pointer such as \"/data/amount\", or a number of at most 15 digits, at most " +
                    std::to_string(scale) + " of them behind the point");
  }
  return constant.value_or(0);
}

void ValuesReader::read_takes(const JsonNode& node, SourceRule& rule, bool columns_known, std::vector<bool>& used) {
  if (!node.is(Kind::object) || node.children.empty()) {
    wrong(node, expectation(source_members, "take"));
    return;
  }
  std::vector<std::string_view> names;
  for (const ValueColumn& column : view_.columns) names.push_back(column.name);
  for (const JsonNode* child : node.children) {
    const auto found = std::find(names.begin(), names.end(), child->name);
    std::optional<JsonPointer> member = pointer(*child, pointer_expected);
    if (found == names.end()) {
      if (columns_known) mistake(*child, "an unknown column", one_of(child->name, names));
      continue;
    }
    const auto column = static_cast<std::size_t>(found - names.begin());
    used[column] = true;
    const std::optional<Aggregate> aggregate = column < known_.size() ? known_[column].aggregate : std::nullopt;
    if (aggregate && !is_taken(view_.columns[column])) {
      const std::string what = "a column of value \"" + std::string(word_of(*aggregate)) + "\"";
      if (is_added(*aggregate)) {
        mistake(*child, what, "\"add\" or \"subtract\" instead of \"take\", since its amounts are added up");
      } else {
        mistake(*child, what + ", which is computed from other columns", "no source that changes it");
      }
    } else if (member) {
      rule.takes.push_back({column, *std::move(member)});
    }
  }
}

}  // namespace daybook
