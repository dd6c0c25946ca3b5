#include "sql/row_json.h"

#include <nlohmann/json.hpp>

#include "sql/render.h"

namespace daybook::sql {
namespace {

// A time in UTC, whatever the session's settings, with its quotes.
constexpr const char* json_moment = R"(\"YYYY-MM-DD"T"HH24:MI:SS.US"Z"\")";

// The begin of an hour or a minute: as HourZone and clients write it.
constexpr const char* json_begin = R"(\"YYYY-MM-DD"T"HH24:MI:SS"Z"\")";

// A text made of literals and SQL expressions, as one expression.
class Concatenation {
 public:
  void literal(const std::string& text) { literal_ += text; }
  void expression(const std::string& sql) {
    flush();
    append(sql);
  }
  // What `value` is in JSON. to_json() where there is something to escape, and for dates, whose cast to text depends on
  // the session; a plain cast, which costs less, for the rest.
  void json_of(KeyType type, const std::string& value) {
    switch (type) {
      case KeyType::uuid:
        literal("\"");
        expression(value + "::text");
        literal("\"");
        return;
      case KeyType::integer:
        expression(value + "::text");
        return;
      case KeyType::text:
      case KeyType::date:
        expression("to_json(" + value + ")::text");
        return;
      case KeyType::timestamp:
        expression("to_char(" + value + " AT TIME ZONE 'UTC', " + quote_literal(json_moment) + ")");
        return;
      case KeyType::hour:
      case KeyType::minute:
        expression("to_char(" + value + " AT TIME ZONE 'UTC', " + quote_literal(json_begin) + ")");
        return;
    }
  }
  // The same of a value column, which may be NULL.
  void json_of(const ValueColumn& column, bool can_be_null, const std::string& value) {
    switch (column.type) {
      case ColumnType::int4:
      case ColumnType::int8:
        if (!can_be_null) {
          expression(value + "::text");
          return;
        }
        [[fallthrough]];
      case ColumnType::decimal:
      case ColumnType::boolean:
      case ColumnType::json:
        expression("coalesce(" + value + "::text, 'null')");
        return;
      case ColumnType::uuid:
      case ColumnType::text:
      case ColumnType::date:
        expression("coalesce(to_json(" + value + ")::text, 'null')");
        return;
      case ColumnType::timestamp:
        expression("coalesce(to_char(" + value + " AT TIME ZONE 'UTC', " + quote_literal(json_moment) + "), 'null')");
        return;
    }
  }
  std::string take() {
    flush();
    return std::move(sql_);
  }

 private:
  void append(const std::string& sql) { sql_ += (sql_.empty() ? "" : " || ") + sql; }
  void flush() {
    if (!literal_.empty()) append(quote_literal(literal_));
    literal_.clear();
  }

  std::string sql_;
  std::string literal_;
};

}  // namespace

std::string row_json(const ViewDefinition& view, const std::string& alias) {
  Concatenation text;
  const auto member = [&](const char* before, const std::string& name) {
    text.literal(before + nlohmann::json(name).dump() + ":");
    return alias + "." + quote_identifier(name);
  };
  const char* before = "{";
  for (const KeyColumn& key : view.key) {
    text.json_of(key.type, member(before, key.name));
    before = ",";
  }
  for (const ValueColumn& value : view.columns)
    text.json_of(value, view.can_be_null(value), member(before, value.name));
  const std::string in_utc =
      view.updated_at_with_time_zone ? " AT TIME ZONE 'UTC'" : "";  // without a zone it is in UTC
  const std::string updated_at = member(before, "updated_at") + in_utc;
  text.literal("\"");
  text.expression("to_char(" + updated_at + ", 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')");
  text.literal("\"}");
  return text.take();
}

std::string key_json(const ViewDefinition& view, const std::vector<std::string>& values,
                     const std::vector<std::string>& dates) {
  Concatenation text;
  text.literal("[");
  for (std::size_t i = 0; i < view.key.size(); ++i) {
    if (i > 0) text.literal(",");
    text.json_of(view.key[i].type, values.at(i));
  }
  for (const std::string& date : dates)
    text.expression("CASE WHEN isfinite(" + date + ") THEN ',' || to_json(" + date + ")::text ELSE ',null' END");
  text.literal("]");
  return text.take();
}

}  // namespace daybook::sql
