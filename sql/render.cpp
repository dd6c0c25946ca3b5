#include "sql/render.h"

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <iterator>
#include <map>
#include <set>
#include <stdexcept>
#include <vector>

#include "core/error.h"
#include "sql/embedded.h"
#include "sql/fill.h"
#include "sql/render_states.h"
#include "sql/render_values.h"
#include "sql/row_json.h"

namespace daybook::sql {
namespace {

// A worker further behind than this many bytes of fingerprints (a million events) catches up before it commits, so that
// nobody looks through more than that while holding the lock. Several of the largest batches fit in, so that a worker
// which has just caught up is not behind again at once.
constexpr int unseen_bytes_max = 16 * 1'000'000;

// A commit that changes at most this many rows tells readers the rows, one of at most this many keys the keys; of a
// larger one they only learn that it was there.
constexpr int feed_rows_max = 2000;
constexpr int feed_keys_max = 8000;

constexpr std::size_t max_function_parameters = 100;  // PostgreSQL's FUNC_MAX_ARGS, fixed when it is built

using Words = std::vector<std::string>;

// How many parameters the commit function has before those of the rows, counted in its template: names p_… outside of
// comments.
std::size_t fixed_parameters() {
  const std::string& text = embedded().at("templates/commit.sql");
  const std::size_t end = text.find("{{row_parameters}}");
  std::size_t count = 0;
  for (std::size_t at = text.find("daybook.commit_{{generation}}("); at < end; ++at) {
    if (text.compare(at, 2, "--") == 0) {
      at = text.find('\n', at);
    } else if (text.compare(at, 2, "p_") == 0 && (text[at - 1] == ' ' || text[at - 1] == '(')) {
      ++count;
    }
  }
  return count;
}

std::string reader_index_prefix(int generation) { return "daybook_reader_" + std::to_string(generation) + "_"; }

// The words that the templates need, put together from the definition. Parameters and aliases are numbered
// rather than named after columns, so that no two names can collide.
struct SummaryWords {
  Words parameters, arguments, names, matches;           // rows: k1, k2, c1, c2, v1
  Words ripple_arguments, ripple_names, ripple_matches;  // ripple: k1, k2, until, v1
  Words range_arguments, range_names;                    // the first of these: k1, k2, until
  Words assignments, ripple_assignments;
  Words columns, values;            // of the INSERT
  Words partition, before_columns;  // of a new balance
  std::string date;                 // the date column's alias, kN
};

SummaryWords words_of(const ViewDefinition& view) {
  SummaryWords w;
  Words ripple_parameters;
  const auto add_parameter = [](Words& list, const std::string& name, const std::string& type) {
    list.push_back("p_" + name + " " + type + "[]");
  };
  const bool ripples = view.has_balance();

  for (std::size_t i = 0; i < view.key.size(); ++i) {
    const std::string k = "k" + std::to_string(i + 1);
    const std::string column = quote_identifier(view.key[i].name);
    const std::string type = sql_type(view.key[i].type);
    const bool is_date = view.key[i].type == KeyType::date;
    add_parameter(w.parameters, k, type);
    w.arguments.push_back("p_" + k);
    w.names.push_back(k);
    w.matches.push_back("t." + column + " = b." + k);
    w.columns.push_back(column);
    w.values.push_back("b." + k);
    add_parameter(ripple_parameters, "l" + k, type);
    w.ripple_arguments.push_back("p_l" + k);
    w.ripple_names.push_back(k);
    if (is_date) {
      w.date = k;
      w.ripple_matches.push_back("t." + column + " > b." + k + " AND t." + column + " < b.until_date");
    } else {
      w.ripple_matches.push_back("t." + column + " = b." + k);
      w.partition.push_back("b." + k);
    }
  }
  add_parameter(ripple_parameters, "until", "date");
  w.ripple_arguments.push_back("p_until");
  w.ripple_names.push_back("until_date");
  w.range_arguments = w.ripple_arguments;
  w.range_names = w.ripple_names;

  Words level_parameters, level_arguments, level_names;
  const std::vector<Sum> sums = sums_of(view);
  for (std::size_t i = 0; i < sums.size(); ++i) {
    const std::string number = std::to_string(i + 1);
    const std::string column = sum_column(view, sums[i]);
    const std::string type = sum_type(view, sums[i]);
    const bool is_integer = type == "int" || type == "bigint";
    add_parameter(w.parameters, "c" + number, "bigint");
    w.arguments.push_back("p_c" + number);
    w.names.push_back("c" + number);
    w.columns.push_back(column);
    const std::string stored = "t." + column + (is_integer ? "::bigint" : "");
    const auto raised_by = [&](const std::string& alias) {
      return column + " = (" + stored + " + " + sum_amount(view, sums[i], "b." + alias + number) + ")::" + type;
    };
    if (sums[i].part == Sum::Part::value && view.columns[sums[i].column].aggregate == Aggregate::balance) {
      add_parameter(level_parameters, "v" + number, "bigint");
      level_arguments.push_back("p_v" + number);
      level_names.push_back("v" + number);
      w.assignments.push_back(raised_by("v"));
      w.values.push_back("(coalesce(before.b" + number + ", 0) + " +
                         sum_amount(view, sums[i], "sum(b.c" + number + ") OVER before_and_since") + ")::" + type);
      w.before_columns.push_back(stored + " AS b" + number);
      add_parameter(ripple_parameters, "lv" + number, "bigint");
      w.ripple_arguments.push_back("p_lv" + number);
      w.ripple_names.push_back("v" + number);
      w.ripple_assignments.push_back(raised_by("v"));
    } else {
      w.assignments.push_back(raised_by("c"));
      const std::string amount = sum_amount(view, sums[i], "b.c" + number);
      w.values.push_back((is_integer ? amount : "(" + amount + ")") + "::" + type);
    }
  }
  for (const WrittenColumn& column : merged_words(view)) {
    add_parameter(w.parameters, column.parameter, column.type);
    w.arguments.push_back("p_" + column.parameter);
    w.names.push_back(column.parameter);
    w.columns.push_back(column.column);
    w.assignments.push_back(column.assignment);
    w.values.push_back(column.value);
  }
  const auto append = [](Words& to, const Words& from) { to.insert(to.end(), from.begin(), from.end()); };
  append(w.parameters, level_parameters);
  append(w.arguments, level_arguments);
  append(w.names, level_names);
  if (ripples) append(w.parameters, ripple_parameters);
  return w;
}

Words row_parameters(const ViewDefinition& view) {
  return view.has_states() ? state_parameters(view) : words_of(view).parameters;
}

// The last step of the commit function.
std::string feed_step(const ViewDefinition& view, int generation, const std::string& table) {
  Words key_arguments, key_names, of_batch;
  for (std::size_t i = 1; i <= view.key.size(); ++i) {
    key_names.push_back("k" + std::to_string(i));
    key_arguments.push_back("p_" + key_names.back());
    of_batch.push_back("b." + key_names.back());
  }
  std::map<std::string, std::string> values{
      {"generation", std::to_string(generation)},
      {"table", table},
      {"feed_rows_max", std::to_string(feed_rows_max)},
      {"feed_keys_max", std::to_string(feed_keys_max)},
      {"nothing_changed", view.has_states() ? "v_updated = 0" : "cardinality(p_k1) = 0"},
      {"key_arguments", join(key_arguments, ", ")},
      {"key_names", join(key_names, ", ")},
      {"row_json", row_json(view, "t")},
      {"key_json", key_json(view, of_batch)},
      {"feed_rippled_rows", ""},
      {"feed_ranges", ""}};
  if (view.has_balance()) {
    const SummaryWords w = words_of(view);
    values["range_arguments"] = join(w.range_arguments, ", ");
    values["range_names"] = join(w.range_names, ", ");
    values["range_json"] = key_json(view, of_batch, {"b.until_date"});
    values["ripple_matches"] = join(w.ripple_matches, " AND ");
    values["feed_rippled_rows"] = fill("templates/feed_rippled_rows.sql", values);
    values["feed_ranges"] = fill("templates/feed_ranges.sql", values);
  }
  return fill("templates/feed.sql", values);
}

}  // namespace

std::string sql_type(KeyType type) {
  switch (type) {
    case KeyType::uuid:
      return "uuid";
    case KeyType::text:
      return "text";
    case KeyType::integer:
      return "bigint";
    case KeyType::date:
      return "date";
    case KeyType::timestamp:
    case KeyType::hour:
    case KeyType::minute:
      return "timestamptz";
  }
  return {};
}

std::string column_definition(const KeyColumn& column) {
  // "C": keys are compared as bytes, in the order in which the worker writes them.
  const std::string collation = column.type == KeyType::text ? " COLLATE \"C\"" : "";
  return quote_identifier(column.name) + " " + sql_type(column.type) + collation + " NOT NULL";
}

std::string sql_type(const ValueColumn& column) {
  switch (column.type) {
    case ColumnType::int4:
      return "int";
    case ColumnType::int8:
      return "bigint";
    case ColumnType::decimal: {
      // What is computed may have more digits than what it is computed from.
      const bool is_computed = column.aggregate == Aggregate::ratio || column.aggregate == Aggregate::quantile;
      return std::string(is_computed ? "numeric(38," : "numeric(18,") + std::to_string(column.scale) + ")";
    }
    case ColumnType::text:
      return "text";
    case ColumnType::boolean:
      return "boolean";
    case ColumnType::timestamp:
      return "timestamptz";
    case ColumnType::date:
      return "date";
    case ColumnType::uuid:
      return "uuid";
    case ColumnType::json:
      return "jsonb";
  }
  return {};
}

std::string quote_identifier(const std::string& name) {
  std::string quoted = "\"";
  for (const char c : name) quoted += c == '"' ? "\"\"" : std::string(1, c);
  return quoted + "\"";
}

std::string quote_literal(const std::string& text) {
  // E'' with both escapes, so that it is right whatever standard_conforming_strings says.
  std::string quoted = "E'";
  for (const char c : text) {
    if (c == '\'' || c == '\\') quoted.push_back(c);
    quoted.push_back(c);
  }
  return quoted + "'";
}

std::string render_create_view(const ViewDefinition& view, const std::string& table) {
  Words columns, key;
  for (const KeyColumn& column : view.key) {
    columns.push_back(column_definition(column));
    key.push_back(quote_identifier(column.name));
  }
  if (view.has_states()) {
    for (const ValueColumn& column : view.columns)
      columns.push_back(quote_identifier(column.name) + " " + sql_type(column) +
                        (view.can_be_null(column) ? "" : " NOT NULL"));
  } else {
    for (std::string& column : value_columns(view)) columns.push_back(std::move(column));
  }
  // Which event a row of a log is of.
  if (view.kind == ViewKind::log)
    columns.insert(columns.end(), {"_topic int NOT NULL", "_partition int NOT NULL", "_offset bigint NOT NULL"});
  columns.push_back(std::string("updated_at ") + (view.updated_at_with_time_zone ? "timestamptz" : "timestamp") +
                    " NOT NULL");
  for (std::string& column : hidden_columns(view)) columns.push_back(std::move(column));
  std::string storage =
      "WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.05)";
  if (view.kind == ViewKind::log)
    storage = "PARTITION BY RANGE (" + quote_identifier(view.key[view.timestamp_key().value()].name) + ")";
  const std::string functions = has_sketches(view) ? fill("templates/sketches.sql", {}) : std::string();
  return functions + fill("templates/create_view.sql", {{"table", table},
                                                        {"columns", join(columns, ",\n    ")},
                                                        {"key", join(key, ", ")},
                                                        {"storage", storage},
                                                        {"view_literal", quote_literal(view.name)},
                                                        {"table_literal", quote_literal(table)},
                                                        {"definition_literal", quote_literal(view.canonical_json)}});
}

namespace {

// The step of a `summary` view that writes rows.
std::string summary_rows_step(const ViewDefinition& view, std::map<std::string, std::string> values) {
  const SummaryWords w = words_of(view);
  const std::string& table = values.at("table");
  const std::string& to_updated_at = values.at("to_updated_at");
  std::string ripple;
  std::string insert_before;
  std::string insert_window;
  if (view.has_balance()) {
    ripple = fill("templates/ripple.sql", {{"table", table},
                                           {"to_updated_at", to_updated_at},
                                           {"ripple_assignments", join(w.ripple_assignments, ", ")},
                                           {"ripple_arguments", join(w.ripple_arguments, ", ")},
                                           {"ripple_names", join(w.ripple_names, ", ")},
                                           {"ripple_matches", join(w.ripple_matches, " AND ")}});
    const std::string date = quote_identifier(view.key.back().name);
    Words same_key;
    for (std::size_t i = 0; i + 1 < view.key.size(); ++i) same_key.push_back(w.matches[i]);
    same_key.push_back("t." + date + " < b." + w.date);
    insert_before = fill("templates/row_before.sql", {{"table", table},
                                                      {"date", date},
                                                      {"before_columns", join(w.before_columns, ", ")},
                                                      {"same_key", join(same_key, " AND ")}});
    Words partition = w.partition;
    partition.push_back("before.on_date");
    insert_window = "\n            WINDOW before_and_since AS (PARTITION BY " + join(partition, ", ") + " ORDER BY b." +
                    w.date + ")";
  }
  values["row_arguments"] = join(w.arguments, ", ");
  values["row_names"] = join(w.names, ", ");
  values["row_matches"] = join(w.matches, " AND ");
  values["update_assignments"] = join(w.assignments, ", ");
  values["ripple"] = ripple;
  values["insert_columns"] = join(w.columns, ", ");
  values["insert_values"] = join(w.values, ", ");
  values["insert_before"] = insert_before;
  values["insert_window"] = insert_window;
  values["update"] = fill("templates/update.sql", values);
  return fill("templates/rows_summary.sql", values);
}

}  // namespace

std::string render_commit(const ViewDefinition& view, int generation, const std::string& table) {
  std::map<std::string, std::string> values{
      {"generation", std::to_string(generation)},
      {"unseen_bytes_max", std::to_string(unseen_bytes_max)},
      {"table", table},
      {"table_literal", quote_literal(table)},
      {"to_updated_at", view.updated_at_with_time_zone ? "" : " AT TIME ZONE 'UTC'"},
      {"row_parameters", join(row_parameters(view), ", ")},
      {"row_json", row_json(view, "t")},
      {"feed_rows_max", std::to_string(feed_rows_max)}};
  values["rows"] = view.has_states() ? state_rows_step(view, generation, values) : summary_rows_step(view, values);
  values["feed"] = feed_step(view, generation, table);
  return fill("templates/commit.sql", values);
}

std::string render_reader_settings(const ViewDefinition& view, int generation) {
  return fill("templates/reader_settings.sql",
              {{"generation", std::to_string(generation)},
               {"description", quote_literal(view.description)},
               {"reader", view.reader_json.empty() ? "NULL::jsonb" : quote_literal(view.reader_json) + "::jsonb"}});
}

std::vector<ReaderIndex> render_reader_indexes(const ViewDefinition& view, int generation, const std::string& table) {
  if (view.reader_json.empty()) return {};  // lists in the key's order, filtered by the first columns of the key
  Words key;
  for (const KeyColumn& column : view.key) key.push_back(column.name);
  const Words order = view.list_order();
  std::vector<Words> needed = {order};
  for (const std::string& filter : view.reader.filters) {
    Words columns = {filter};
    std::copy_if(order.begin(), order.end(), std::back_inserter(columns),
                 [&](const std::string& column) { return column != filter; });
    needed.push_back(std::move(columns));
  }
  std::vector<ReaderIndex> indexes;
  std::set<Words> made = {key};
  for (const Words& columns : needed) {
    if (!made.insert(columns).second) continue;
    Words quoted;
    std::uint32_t hash = 2166136261;  // FNV-1a: a short name that is the same for the same columns
    for (const std::string& column : columns) {
      quoted.push_back(quote_identifier(column));
      for (const char c : column + ",") hash = (hash ^ static_cast<unsigned char>(c)) * 16777619;
    }
    char digits[9];
    std::snprintf(digits, sizeof digits, "%08x", hash);
    const std::string name = reader_index_prefix(generation) + digits;
    indexes.push_back(
        {name, fill("templates/reader_index.sql",
                    {{"index", quote_identifier(name)}, {"table", table}, {"columns", join(quoted, ", ")}})});
  }
  return indexes;
}

std::string render_reader_indexes_query(int generation, const std::string& table) {
  std::string pattern;
  for (const char c : reader_index_prefix(generation)) pattern += c == '_' ? "\\_" : std::string(1, c);
  return fill("templates/reader_indexes.sql",
              {{"table_literal", quote_literal(table)}, {"pattern_literal", quote_literal(pattern + "%")}});
}

std::size_t commit_parameter_count(const ViewDefinition& view) {
  static const std::size_t fixed = fixed_parameters();
  return fixed + row_parameters(view).size();
}

std::optional<DefinitionMistake> beyond_parameters(const ViewDefinition& view) {
  const std::size_t count = commit_parameter_count(view);
  if (count <= max_function_parameters) return std::nullopt;
  const auto balances = std::count_if(view.columns.begin(), view.columns.end(),
                                      [](const ValueColumn& c) { return c.aggregate == Aggregate::balance; });
  return DefinitionMistake{"/columns",
                           std::to_string(view.columns.size()) + " columns, " + std::to_string(balances) +
                               " of them balances, beside " + std::to_string(view.key.size()) +
                               " key columns: " + std::to_string(count) + " parameters for the commit function",
                           "at most " + std::to_string(max_function_parameters) +
                               ", PostgreSQL's limit: a balance takes 3, an avg or last 2, a ratio none, any other"
                               " column 1, a key column 1 (2 in a view with balances); divide it into several views"};
}

std::string render_commit_call(const ViewDefinition& view, int generation) {
  std::string call = "SELECT outcome, seq, nonce, hits, detail FROM daybook.commit_" + std::to_string(generation) + "(";
  const std::size_t parameters = commit_parameter_count(view);
  for (std::size_t i = 1; i <= parameters; ++i) call += (i == 1 ? "$" : ", $") + std::to_string(i);
  return call + ")";
}

}  // namespace daybook::sql
