#include "reader/api/served.h"

#include <algorithm>
#include <cstdio>

#include "core/json_tree.h"
#include "reader/change.h"

namespace daybook::reader {
namespace {

// Text is the client's choice: in quotes, so that it can't look like another field or begin a line.
std::string shown(const KeyColumn& column, const std::string& value) {
  return " " + column.name + "=" + (column.type == KeyType::text ? quoted_ascii(value) : value);
}

// The key columns whose value the request gave.
std::string key_columns(const Served& served) {
  std::string all;
  if (served.view == nullptr) return all;
  const std::vector<KeyColumn>& columns = served.view->key;
  if (!served.key.empty()) {
    const std::vector<std::string> values = key_texts(*served.view, served.key);
    for (std::size_t i = 0; i < columns.size(); ++i) all += shown(columns[i], values[i]);
  }
  if (served.filters == nullptr) return all;
  for (const KeyColumn& column : columns) {
    const auto filter = std::find_if(served.filters->begin(), served.filters->end(), [&](const Filter& one) {
      return one.column == column.name && one.test == Filter::Test::equal && one.operands.size() == 1;
    });
    if (filter != served.filters->end()) all += shown(column, filter->operands.front());
  }
  return all;
}

std::string seconds(std::chrono::milliseconds duration) {
  char text[32];
  std::snprintf(text, sizeof text, "%.3f", std::chrono::duration<double>(duration).count());
  return text;
}

std::string milliseconds(std::chrono::nanoseconds duration) {
  // Rounded up: 0 is said of what did not happen.
  return std::to_string(std::chrono::ceil<std::chrono::milliseconds>(duration).count());
}

const char* word(bool value) { return value ? "true" : "false"; }

}  // namespace

std::string slow_request(const Served& served, std::chrono::nanoseconds duration) {
  std::string line = "slow request: view=";
  line.append(served.view == nullptr ? "" : served.view->name).append(" route=").append(served.route);
  line += key_columns(served);
  line.append(" path=").append(served.path).append(" status=").append(std::to_string(served.status));
  line += " duration_ms=" + milliseconds(duration) + " query_duration_ms=" + milliseconds(served.cost.query);
  line.append(" cache_hit=").append(word(served.is_hit)).append(" triggered_refresh=");
  line.append(word(served.cost.began_load)).append(" cache_age_seconds=").append(seconds(served.age));
  return line;
}

}  // namespace daybook::reader
