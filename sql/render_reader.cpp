#include "sql/render_reader.h"

#include <map>
#include <stdexcept>

#include "sql/embedded.h"
#include "sql/fill.h"
#include "sql/render.h"
#include "sql/render_values.h"
#include "sql/row_json.h"

namespace daybook::sql {
namespace {

using Words = std::vector<std::string>;

std::string render_rows(const ViewDefinition& view, int generation, const std::string& table) {
  Words arguments, names, matches, same_entity, carried_columns;
  std::string date, date_name;
  for (std::size_t i = 0; i < view.key.size(); ++i) {
    const std::string name = "k" + std::to_string(i + 1);
    const std::string column = quote_identifier(view.key[i].name);
    arguments.push_back("$" + std::to_string(i + 1) + "::" + sql_type(view.key[i].type) + "[]");
    names.push_back(name);
    matches.push_back("t." + column + " = b." + name);
    if (view.key[i].type == KeyType::date) {
      date = column;
      date_name = name;
      carried_columns.push_back("b." + name + " AS " + column);
    } else {
      same_entity.push_back("o." + column + " = b." + name);
      carried_columns.push_back("o." + column);
    }
  }
  for (const ValueColumn& value : view.columns) {
    const std::string column = quote_identifier(value.name);
    carried_columns.push_back(
        value.aggregate == Aggregate::balance ? "o." + column : carried_value(view, value, "o") + " AS " + column);
  }
  carried_columns.push_back("o.updated_at");

  const std::string first_key = quote_identifier(view.key.front().name);
  std::map<std::string, std::string> words = {{"first_key", first_key},
                                              {"carried_kind", ""},
                                              {"carried_json", ""},
                                              {"carried", ""},
                                              {"row_json", row_json(view, "t")},
                                              {"arguments", join(arguments, ", ")},
                                              {"names", join(names, ", ")},
                                              {"generation", std::to_string(generation)},
                                              {"table", table},
                                              {"matches", join(matches, " AND ")}};
  if (view.has_balance()) {
    // A view whose key is the date alone has one entity.
    if (same_entity.empty()) same_entity.push_back("true");
    words["carried_kind"] = "WHEN c." + first_key + " IS NOT NULL THEN 'carried' ";
    words["carried_json"] = "WHEN c." + first_key + " IS NOT NULL THEN " + row_json(view, "c") + " ";
    words["carried"] = fill("templates/reader_carried.sql", {{"carried_columns", join(carried_columns, ", ")},
                                                             {"table", table},
                                                             {"first_key", first_key},
                                                             {"same_entity", join(same_entity, " AND ")},
                                                             {"date", date},
                                                             {"date_name", date_name}});
  }
  return fill("templates/reader_rows.sql", words);
}

}  // namespace

ReaderStatements::ReaderStatements(const ViewDefinition& view, int generation, const std::string& table)
    : state(fill("templates/reader_state.sql", {{"generation", std::to_string(generation)}})),
      rows(render_rows(view, generation, table)),
      view_(view),
      generation_(generation),
      table_(table) {}

std::string ReaderStatements::warm(std::size_t limit) const {
  std::string order;
  if (view_.has_time()) order = "ORDER BY t." + quote_identifier(view_.key.back().name) + " DESC";
  // The newest of a log only where its lists have an index for that.
  if (view_.kind == ViewKind::log && !view_.reader_json.empty() && view_.reader.descending)
    order = "ORDER BY t." + quote_identifier(view_.list_order().front()) + " DESC";
  return fill("templates/reader_warm.sql", {{"row_json", row_json(view_, "t")},
                                            {"table", table_},
                                            {"order", order},
                                            {"limit", std::to_string(limit)},
                                            {"generation", std::to_string(generation_)}});
}

std::string ReaderStatements::list(const std::vector<std::string>& order, bool descending,
                                   const std::string& conditions, std::size_t limit) const {
  Words places, place_names, terms;
  for (const std::string& name : order) {
    const std::string place = "p" + std::to_string(places.size() + 1);
    places.push_back(text_of(name) + " AS " + place);
    place_names.push_back("page." + place);
    terms.push_back(column(name) + (descending ? " DESC" : ""));
  }
  return fill("templates/reader_list.sql", {{"row_json", row_json(view_, "t")},
                                            {"places", join(places, ", ")},
                                            {"place_names", join(place_names, ", ")},
                                            {"table", table_},
                                            {"conditions", conditions.empty() ? "true" : conditions},
                                            {"order", join(terms, ", ")},
                                            {"limit", std::to_string(limit)},
                                            {"generation", std::to_string(generation_)}});
}

std::string ReaderStatements::column(const std::string& name) const {
  type_of(name);  // it is one of this view's
  return "t." + quote_identifier(name);
}

// A value in one form whatever the session's settings, which a cast of dates and times to text depends on.
std::string ReaderStatements::text_of(const std::string& name) const {
  const std::string type = type_of(name);
  const bool is_moment = type == "date" || type == "timestamptz" || type == "timestamp";
  return is_moment ? "to_json(" + column(name) + ") #>> '{}'" : column(name) + "::text";
}

std::string ReaderStatements::type_of(const std::string& column) const {
  for (const KeyColumn& key : view_.key) {
    if (key.name == column) return sql_type(key.type);
  }
  for (const ValueColumn& value : view_.columns) {
    if (value.name == column) return sql_type(value);
  }
  if (column == "updated_at") return view_.updated_at_with_time_zone ? "timestamptz" : "timestamp";
  throw std::out_of_range("view " + view_.name + " has no column " + column);
}

std::string render_feed_poll(const std::vector<std::pair<int, std::int64_t>>& generations, std::size_t limit) {
  std::string poll = fill("templates/reader_heads.sql", {});
  for (const auto& [generation, seq] : generations) {
    poll += fill(
        "templates/reader_entries.sql",
        {{"generation", std::to_string(generation)}, {"seq", std::to_string(seq)}, {"limit", std::to_string(limit)}});
  }
  return poll;
}

const std::string& reader_generations() { return embedded().at("queries/reader_generations.sql"); }

const std::string& reader_standby() { return embedded().at("queries/reader_standby.sql"); }

std::string reader_listen(int generation) {
  return fill("templates/reader_listen.sql", {{"generation", std::to_string(generation)}});
}

std::string array_text(const std::vector<std::string>& elements) {
  std::string text = "{";
  for (const std::string& element : elements) {
    text += text.size() == 1 ? "\"" : ",\"";
    for (const char c : element) {
      if (c == '"' || c == '\\') text.push_back('\\');
      text.push_back(c);
    }
    text += "\"";
  }
  return text + "}";
}

}  // namespace daybook::sql
