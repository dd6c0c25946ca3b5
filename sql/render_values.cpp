#include "sql/render_values.h"

#include <algorithm>
#include <map>

#include "core/decimal.h"
#include "sql/render.h"

namespace daybook::sql {
namespace {

// A hidden column: no definition can give a name with a $.
std::string hidden(const ValueColumn& column, const char* what) { return quote_identifier(column.name + "$" + what); }

// 0.01 for scale 2: a scaled integer times this is the decimal, exactly.
std::string unit(int scale) { return scale == 0 ? "1" : decimal_text(1, scale); }

// An expression of a scaled integer as the column's type.
std::string unscaled(const ValueColumn& column, const std::string& number) {
  if (column.type == ColumnType::decimal) return "(" + number + " * " + unit(column.scale) + ")::" + sql_type(column);
  return "(" + number + ")::" + sql_type(column);
}

// a / b, rounded half away from zero to `scale` digits, as a scaled integer; b is not NULL for nothing: it is NULL for
// 0.
std::string divided(const std::string& a, const std::string& b, int scale) {
  return "sign(" + a + ") * sign(" + b + ") * div(2 * abs(" + a + ") * " + std::to_string(power_of_ten(scale)) +
         " + abs(" + b + "), 2 * abs(" + b + "))";
}

std::string ratio(const ValueColumn& column, const std::string& numerator, const std::string& denominator) {
  return unscaled(column, divided(numerator + "::numeric", "NULLIF(" + denominator + ", 0)::numeric", column.scale));
}

std::string generated(const ViewDefinition& view, const ValueColumn& column) {
  switch (column.aggregate) {
    case Aggregate::avg:
      return unscaled(column, divided(hidden(column, "sum"), "NULLIF(" + hidden(column, "count") + ", 0)::numeric", 0));
    case Aggregate::ratio:
      return ratio(column, quote_identifier(view.columns[column.of.at(0)].name),
                   quote_identifier(view.columns[column.of.at(1)].name));
    case Aggregate::quantile: {
      const ValueColumn& sketched = column.of.empty() ? column : view.columns[column.of.front()];
      return unscaled(column, "daybook.quantile_of(" + hidden(sketched, "sketch") + ", " +
                                  std::to_string(column.quantile_millionths) + ")");
    }
    case Aggregate::distinct:
      return "daybook.distinct_of(" + hidden(column, "sketch") + ")::" + sql_type(column);
    default:
      return {};
  }
}

}  // namespace

std::string sum_column(const ViewDefinition& view, const Sum& sum) {
  const ValueColumn& column = view.columns[sum.column];
  switch (sum.part) {
    case Sum::Part::avg_sum:
      return hidden(column, "sum");
    case Sum::Part::avg_count:
      return hidden(column, "count");
    case Sum::Part::value:
      break;
  }
  return quote_identifier(column.name);
}

std::string sum_type(const ViewDefinition& view, const Sum& sum) {
  switch (sum.part) {
    case Sum::Part::avg_sum:
      return "numeric";  // of scaled integers: more of them than 64 bits hold
    case Sum::Part::avg_count:
      return "bigint";
    case Sum::Part::value:
      break;
  }
  return sql_type(view.columns[sum.column]);
}

std::string sum_amount(const ViewDefinition& view, const Sum& sum, const std::string& amount) {
  const ValueColumn& column = view.columns[sum.column];
  if (sum.part != Sum::Part::value || column.type != ColumnType::decimal) return amount;
  return amount + " * " + unit(column.scale);
}

std::vector<WrittenColumn> merged_words(const ViewDefinition& view) {
  std::vector<WrittenColumn> words;
  for (const std::size_t at : merged_columns(view)) {
    const ValueColumn& column = view.columns[at];
    const std::string number = std::to_string(at + 1);
    const std::string m = "m" + number;
    const std::string name = quote_identifier(column.name);
    switch (column.aggregate) {
      case Aggregate::min:
      case Aggregate::max:
      case Aggregate::last: {
        const bool is_number = column.type != ColumnType::timestamp && column.type != ColumnType::text;
        const std::string value = is_number ? unscaled(column, "b." + m) : "b." + m;
        const std::string type = is_number ? "bigint" : sql_type(column);
        if (column.aggregate != Aggregate::last) {
          // LEAST and GREATEST pass over NULL.
          const char* const better = column.aggregate == Aggregate::min ? "LEAST" : "GREATEST";
          words.push_back({name, m, type, name + " = " + better + "(t." + name + ", " + value + ")", value});
          break;
        }
        const std::string order = hidden(column, "order");
        const std::string o = "o" + number;
        words.push_back({name, m, type,
                         name + " = CASE WHEN b." + o + " > t." + order + " OR t." + order + " IS NULL THEN " + value +
                             " ELSE t." + name + " END",
                         value});
        words.push_back({order, o, "bytea", order + " = GREATEST(t." + order + ", b." + o + ")", "b." + o});
        break;
      }
      case Aggregate::quantile:
      case Aggregate::distinct: {
        // As text: rows have arrays of different sizes, which no array of PostgreSQL holds.
        const std::string sketch = hidden(column, "sketch");
        const char* const merge = column.aggregate == Aggregate::quantile ? "merge_counts" : "merge_ranks";
        const std::string value = "b." + m + "::bigint[]";
        words.push_back({sketch, m, "text",
                         sketch + " = CASE WHEN b." + m + " IS NULL THEN t." + sketch + " WHEN t." + sketch +
                             " IS NULL THEN " + value + " ELSE daybook." + merge + "(t." + sketch + ", " + value +
                             ") END",
                         value});
        break;
      }
      default:
        break;
    }
  }
  return words;
}

std::vector<std::string> value_columns(const ViewDefinition& view) {
  std::vector<std::string> columns;
  for (const ValueColumn& column : view.columns) {
    std::string text = quote_identifier(column.name) + " " + sql_type(column);
    if (is_added(column.aggregate)) text += " NOT NULL";
    const std::string expression = generated(view, column);
    if (!expression.empty()) text += " GENERATED ALWAYS AS (" + expression + ") STORED";
    columns.push_back(std::move(text));
  }
  return columns;
}

std::vector<std::string> hidden_columns(const ViewDefinition& view) {
  std::vector<std::string> columns;
  for (const Sum& sum : sums_of(view)) {
    if (sum.part != Sum::Part::value)
      columns.push_back(sum_column(view, sum) + " " + sum_type(view, sum) + " NOT NULL");
  }
  for (const std::size_t at : merged_columns(view)) {
    const ValueColumn& column = view.columns[at];
    if (column.aggregate == Aggregate::last) columns.push_back(hidden(column, "order") + " bytea");
    if (column.aggregate == Aggregate::quantile || column.aggregate == Aggregate::distinct)
      columns.push_back(hidden(column, "sketch") + " bigint[]");
  }
  return columns;
}

bool has_sketches(const ViewDefinition& view) {
  return std::any_of(view.columns.begin(), view.columns.end(), [](const ValueColumn& column) {
    return column.aggregate == Aggregate::quantile || column.aggregate == Aggregate::distinct;
  });
}

std::string carried_value(const ViewDefinition& view, const ValueColumn& column, const std::string& alias) {
  const auto added = [&](const ValueColumn& of) {
    return of.aggregate == Aggregate::balance ? alias + "." + quote_identifier(of.name) : "0::" + sql_type(of);
  };
  if (is_added(column.aggregate)) return added(column);
  if (column.aggregate == Aggregate::ratio)
    return ratio(column, added(view.columns[column.of.at(0)]), added(view.columns[column.of.at(1)]));
  if (column.aggregate == Aggregate::distinct) return "0::" + sql_type(column);
  return "NULL::" + sql_type(column);
}

}  // namespace daybook::sql
