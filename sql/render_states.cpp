#include "sql/render_states.h"

#include "sql/fill.h"
#include "sql/render.h"
#include "sql/row_json.h"

namespace daybook::sql {
namespace {

using Words = std::vector<std::string>;

// The type of a column in the arrays of the commit call.
std::string parameter_type(const ValueColumn& column) {
  switch (column.type) {
    case ColumnType::decimal:
      return "bigint";  // scaled
    case ColumnType::json:
      return "text";
    default:
      return sql_type(column);
  }
}

// A value of those arrays as one of the column. By multiplication: a quotient would have a limited number of digits.
std::string value_of(const ValueColumn& column, const std::string& parameter) {
  if (column.type == ColumnType::json) return parameter + "::jsonb";
  if (column.type != ColumnType::decimal) return parameter;
  return "(" + parameter + " * 0." + std::string(static_cast<std::size_t>(column.scale - 1), '0') +
         "1)::" + sql_type(column);
}

std::string place_of(std::size_t number) { return std::to_string(number + 1); }

struct StateWords {
  Words key_columns, key_arguments, key_names, key_values;  // "facility", p_k1, k1, b.k1
  Words row_matches, state_matches;                         // t."facility" = b.k1; s."facility" = b.k1
  Words value_columns, value_arguments, value_names;        // "quantity", p_c1, c1
};

StateWords words_of(const ViewDefinition& view) {
  StateWords w;
  for (std::size_t i = 0; i < view.key.size(); ++i) {
    const std::string k = "k" + place_of(i);
    const std::string column = quote_identifier(view.key[i].name);
    w.key_columns.push_back(column);
    w.key_arguments.push_back("p_" + k);
    w.key_names.push_back(k);
    w.key_values.push_back("b." + k);
    w.row_matches.push_back("t." + column + " = b." + k);
    w.state_matches.push_back("s." + column + " = b." + k);
  }
  for (std::size_t i = 0; i < view.columns.size(); ++i) {
    w.value_columns.push_back(quote_identifier(view.columns[i].name));
    w.value_arguments.push_back("p_c" + place_of(i));
    w.value_names.push_back("c" + place_of(i));
  }
  return w;
}

Words joined(Words all, const Words& more) {
  all.insert(all.end(), more.begin(), more.end());
  return all;
}

std::string latest_rows_step(const ViewDefinition& view, std::map<std::string, std::string> values) {
  const StateWords w = words_of(view);
  const std::vector<std::size_t> parts = view.parts();
  const bool whole_rows = view.part_count() == 1;
  const Words order_arguments = {"p_topic", "p_partition", "p_offset", "p_part", "p_version", "p_gone"};
  const Words order_names = {"topic", "partition", "record_offset", "part", "version", "gone"};
  Words assignments, insert_values, part_values, gone_keys;
  for (std::size_t i = 0; i < view.columns.size(); ++i) {
    const std::string part = "h" + place_of(parts[i]);
    const std::string name = w.value_names[i];
    const std::string value = value_of(view.columns[i], "b." + name);
    insert_values.push_back(value);
    if (whole_rows) {
      assignments.push_back(w.value_columns[i] + " = " + value);
      continue;
    }
    const std::string of_part = " FILTER (WHERE b.part = " + std::to_string(parts[i]) + ")";
    part_values.push_back("(array_agg(b." + name + ")" + of_part + ")[1] AS " + name);
    assignments.push_back(w.value_columns[i] + " = CASE WHEN b." + part + " THEN " + value + " ELSE t." +
                          w.value_columns[i] + " END");
  }
  for (std::size_t part = 0; !whole_rows && part < view.part_count(); ++part)
    part_values.push_back("bool_or(b.part = " + std::to_string(part) + ") AS h" + place_of(part));
  for (const std::string& column : w.key_columns) gone_keys.push_back("t." + column);

  values["key_columns"] = join(w.key_columns, ", ");
  values["key_arguments"] = join(w.key_arguments, ", ");
  values["key_names"] = join(w.key_names, ", ");
  values["key_values"] = join(w.key_values, ", ");
  values["order_arguments"] = join(joined(w.key_arguments, order_arguments), ", ");
  values["order_names"] = join(joined(w.key_names, order_names), ", ");
  values["row_arguments"] = join(joined(joined(w.key_arguments, order_arguments), w.value_arguments), ", ");
  values["row_names"] = join(joined(joined(w.key_names, order_names), w.value_names), ", ");
  values["row_matches"] = join(w.row_matches, " AND ");
  values["state_matches"] = join(w.state_matches, " AND ");
  values["state_is_in_place"] = join(w.state_matches, " AND ") +
                                " AND s._part = b.part AND (s._version, s._topic, s._partition, s._record_offset)"
                                " = (b.version, b.topic, b.partition, b.record_offset)";
  values["gone_json"] = key_json(view, gone_keys);
  values["assignments"] = join(assignments, ", ");
  values["insert_columns"] = join(joined(w.key_columns, w.value_columns), ", ");
  values["insert_values"] = join(joined(w.key_values, insert_values), ", ");
  values["parts"] = join(part_values, ", ");
  values["changes"] =
      fill(whole_rows ? "templates/changes_of_whole_rows.sql" : "templates/changes_of_parts.sql", values);
  while (values["changes"].ends_with('\n')) values["changes"].pop_back();
  return fill("templates/rows_latest.sql", values);
}

std::string log_rows_step(const ViewDefinition& view, std::map<std::string, std::string> values) {
  const StateWords w = words_of(view);
  Words assignments, insert_values;
  for (std::size_t i = 0; i < view.columns.size(); ++i) {
    insert_values.push_back(value_of(view.columns[i], "b." + w.value_names[i]));
    assignments.push_back(w.value_columns[i] + " = excluded." + w.value_columns[i]);
  }
  const std::size_t time = view.timestamp_key().value();
  values["unit"] = view.partition == PartitionBy::day ? "day" : "month";
  values["times"] = w.key_arguments[time];
  values["time"] = w.key_values[time];
  values["insert_columns"] = join(joined(w.key_columns, w.value_columns), ", ");
  values["insert_values"] = join(joined(w.key_values, insert_values), ", ");
  const Words place_arguments = {"p_topic", "p_partition", "p_offset"};
  const Words place_names = {"topic", "partition", "record_offset"};
  values["row_arguments"] = join(joined(joined(w.key_arguments, place_arguments), w.value_arguments), ", ");
  values["row_names"] = join(joined(joined(w.key_names, place_names), w.value_names), ", ");
  values["key_columns"] = join(w.key_columns, ", ");
  values["assignments"] = join(assignments, ", ");
  return fill("templates/rows_log.sql", values);
}

}  // namespace

std::vector<std::string> state_parameters(const ViewDefinition& view) {
  Words parameters;
  for (std::size_t i = 0; i < view.key.size(); ++i)
    parameters.push_back("p_k" + place_of(i) + " " + sql_type(view.key[i].type) + "[]");
  for (const char* parameter : {"p_topic int[]", "p_partition int[]", "p_offset bigint[]"})
    parameters.push_back(parameter);
  if (view.kind == ViewKind::latest) {
    for (const char* parameter : {"p_part int[]", "p_version bigint[]", "p_gone boolean[]"})
      parameters.push_back(parameter);
  }
  for (std::size_t i = 0; i < view.columns.size(); ++i)
    parameters.push_back("p_c" + place_of(i) + " " + parameter_type(view.columns[i]) + "[]");
  return parameters;
}

std::string state_rows_step(const ViewDefinition& view, int generation,
                            const std::map<std::string, std::string>& common) {
  std::map<std::string, std::string> values = common;
  values["state_table"] = "daybook.state_" + std::to_string(generation);
  return view.kind == ViewKind::log ? log_rows_step(view, values) : latest_rows_step(view, values);
}

std::string render_beside_table(const ViewDefinition& view, int generation) {
  if (view.kind != ViewKind::latest) return {};
  Words columns, key;
  for (const KeyColumn& column : view.key) {
    columns.push_back(column_definition(column));
    key.push_back(quote_identifier(column.name));
  }
  return fill(
      "templates/state_table.sql",
      {{"generation", std::to_string(generation)}, {"columns", join(columns, ",\n    ")}, {"key", join(key, ", ")}});
}

}  // namespace daybook::sql
