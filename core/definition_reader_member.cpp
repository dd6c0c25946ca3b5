#include "core/definition_reader_member.h"

#include <algorithm>

#include "core/aggregates.h"
#include "core/definition_members.h"

namespace daybook {
namespace {

using Kind = JsonNode::Kind;

constexpr std::size_t max_line = 200;

// One directive of Cache-Control (RFC 9111, 5861, 8246), so that a slip of the pen is found here and not by a cache.
bool is_cache_directive(std::string_view text) {
  static constexpr std::string_view plain[] = {"no-cache", "no-store",        "no-transform",     "private",
                                               "public",   "must-revalidate", "proxy-revalidate", "immutable"};
  if (std::find(std::begin(plain), std::end(plain), text) != std::end(plain)) return true;
  const std::size_t equals = text.find('=');
  if (equals == std::string_view::npos) return false;
  static constexpr std::string_view timed[] = {"max-age", "s-maxage", "stale-while-revalidate", "stale-if-error"};
  if (std::find(std::begin(timed), std::end(timed), text.substr(0, equals)) == std::end(timed)) return false;
  const std::string_view seconds = text.substr(equals + 1);
  return !seconds.empty() && seconds.size() <= 9 && seconds.find_first_not_of("0123456789") == std::string_view::npos;
}

bool is_cache_control(std::string_view text) {
  if (text.size() > max_line) return false;
  for (;;) {
    const std::size_t comma = text.find(", ");
    if (!is_cache_directive(text.substr(0, comma))) return false;
    if (comma == std::string_view::npos) return true;
    text.remove_prefix(comma + 2);
  }
}

bool is_segment(std::string_view text) {
  if (text.empty() || text == "." || text == "..") return false;
  return std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' ||
           c == '~' || c == '-';
  });
}

}  // namespace

bool is_reserved_path(std::string_view path) {
  static constexpr std::string_view reserved[] = {"/v1",     "/page",    "/api/admin", "/openapi.json", "/livez",
                                                  "/readyz", "/healthz", "/health",    "/metrics"};
  return std::any_of(std::begin(reserved), std::end(reserved), [&](std::string_view own) {
    return path.starts_with(own) && (path.size() == own.size() || path[own.size()] == '/');
  });
}

Serving ReaderMember::read(const JsonNode& node) {
  if (!members(node, reader_members, expectation(root_members, "reader"))) return {};
  if (const JsonNode* member = node.member("cache_control")) read_cache_control(*member);
  if (const JsonNode* member = node.member("filters")) settings_.filters = read_columns(*member, reader_members);
  if (const JsonNode* member = node.member("order")) {
    read_order(*member);
  } else if (view_.has_time()) {
    settings_.order = {view_.key.back().name};  // the newest first
    settings_.descending = true;
  } else if (const std::optional<std::size_t> timestamp = view_.timestamp_key()) {
    settings_.order = {view_.key[*timestamp].name};
    settings_.descending = true;
  }
  if (const JsonNode* member = node.member("limit")) {
    settings_.limit = static_cast<std::size_t>(integer(*member, reader_members, 1, 1000).value_or(1));
  }
  if (const JsonNode* member = node.member("routes")) read_routes(*member);
  if (const JsonNode* member = node.member("rows_by_claim")) read_claims(*member);
  return std::move(settings_);
}

void ReaderMember::read_cache_control(const JsonNode& node) {
  const std::string_view expected = expectation(reader_members, "cache_control");
  const std::string* text = string(node, expected);
  if (text == nullptr) return;
  if (!is_cache_control(*text)) wrong(node, expected);
  settings_.cache_control = *text;
}

bool ReaderMember::is_json(const std::string& name) const {
  return std::any_of(view_.columns.begin(), view_.columns.end(),
                     [&](const ValueColumn& column) { return column.name == name && column.type == ColumnType::json; });
}

// Places in a list are compared as rows of values, which NULL has no place in.
bool ReaderMember::may_be_null(const std::string& name) const {
  return view_.kind == ViewKind::summary && std::any_of(view_.columns.begin(), view_.columns.end(), [&](const auto& c) {
           return c.name == name && !is_added(c.aggregate);
         });
}

// Names of key and value columns, each once.
std::vector<std::string> ReaderMember::read_columns(const JsonNode& array, Members known) {
  std::vector<std::string_view> names;
  for (const KeyColumn& column : view_.key) names.push_back(column.name);
  for (const ValueColumn& column : view_.columns) names.push_back(column.name);
  std::vector<std::string> read;
  for (const JsonNode* node : elements(&array, expectation(known, array.name))) {
    const std::string* name = string(*node, "the name of a column");
    if (name == nullptr) continue;
    if (std::find(names.begin(), names.end(), *name) == names.end()) {
      if (columns_known_) mistake(*node, "an unknown column", one_of(*name, names));
    } else if (may_be_null(*name)) {
      mistake(*node, "a column that may be NULL", "a key column, or one of value sum, count or balance");
    } else if (std::find(read.begin(), read.end(), *name) != read.end()) {
      mistake(*node, node->shown() + " a second time", "each column once");
    } else if (is_json(*name)) {
      mistake(*node, node->shown() + ", a column of type json", "a column whose values have an order");
    } else {
      read.push_back(*name);
    }
  }
  return read;
}

void ReaderMember::read_order(const JsonNode& node) {
  if (!members(node, order_members, expectation(reader_members, "order"))) return;
  if (const JsonNode* by = node.member("by")) settings_.order = read_columns(*by, order_members);
  if (const JsonNode* descending = node.member("descending")) {
    if (!descending->is(Kind::boolean)) wrong(*descending, expectation(order_members, "descending"));
    settings_.descending = descending->boolean;
  }
}

void ReaderMember::read_routes(const JsonNode& array) {
  for (const JsonNode* node : elements(&array, expectation(reader_members, "routes"), 100)) read_route(*node);
}

void ReaderMember::read_route(const JsonNode& node) {
  const std::string* path = string(node, route_expected);
  if (path == nullptr) return;
  if (path->size() > max_line || !path->starts_with('/')) {
    wrong(node, route_expected);
    return;
  }
  std::vector<std::string> named;
  std::string shape;
  for (std::size_t at = 0; at < path->size();) {
    const std::size_t end = std::min(path->find('/', at + 1), path->size());
    const std::string segment = path->substr(at + 1, end - at - 1);
    at = end;
    const bool braces = segment.size() > 2 && segment.front() == '{' && segment.back() == '}';
    if (braces) named.push_back(segment.substr(1, segment.size() - 2));
    if (!is_segment(braces ? named.back() : segment)) {
      wrong(node, route_expected);
      return;
    }
    shape += "/" + (braces ? "{}" : segment);
  }
  if (is_reserved_path(*path)) mistake(node, node.shown() + ", a path of the reader itself", "another path");
  if (const auto [other, is_new] = shapes_.emplace(shape, *path); !is_new) {
    mistake(node, node.shown() + " beside \"" + other->second + "\"", "paths that can be told apart");
  }
  check_route_columns(node, named);
  settings_.routes.push_back(*path);
}

// A route with the whole key is a row, one with less of it a list: then what it names must be what lists can be
// filtered by.
void ReaderMember::check_route_columns(const JsonNode& node, const std::vector<std::string>& named) {
  if (!key_known_) return;
  std::vector<std::string_view> names;
  for (const KeyColumn& column : view_.key) names.push_back(column.name);
  for (std::size_t i = 0; i < named.size(); ++i) {
    if (std::find(names.begin(), names.end(), named[i]) == names.end()) {
      mistake(node, "{" + named[i] + "}, an unknown key column", one_of(named[i], names));
      return;
    }
    if (std::find(named.begin(), named.begin() + static_cast<std::ptrdiff_t>(i), named[i]) !=
        named.begin() + static_cast<std::ptrdiff_t>(i)) {
      mistake(node, "{" + named[i] + "} a second time", "each key column once");
      return;
    }
  }
  bool all_before = true;
  for (const std::string_view name : names) {
    const bool is_named = std::find(named.begin(), named.end(), name) != named.end();
    const bool is_filter =
        std::find(settings_.filters.begin(), settings_.filters.end(), name) != settings_.filters.end();
    if (is_named && !all_before && !is_filter) {
      mistake(node, "{" + std::string(name) + "} without the key columns before it",
              "the first columns of the key, or columns that \"filters\" names");
      return;
    }
    all_before = all_before && is_named;
  }
}

void ReaderMember::read_claims(const JsonNode& node) {
  if (!node.is(Kind::object) || node.children.empty()) {
    wrong(node, expectation(reader_members, "rows_by_claim"));
    return;
  }
  std::vector<std::string_view> names;
  for (const KeyColumn& column : view_.key) names.push_back(column.name);
  for (const JsonNode* child : node.children) {
    const std::string* claim = string(*child, claim_expected);
    if (std::find(names.begin(), names.end(), child->name) == names.end()) {
      if (key_known_) mistake(*child, "an unknown key column", one_of(child->name, names));
      continue;
    }
    if (claim == nullptr) continue;
    if (claim->empty() || claim->size() > max_line) wrong(*child, claim_expected);
    settings_.rows_by_claim[child->name] = *claim;
  }
  // The lists of one who is limited have these filters, whether they were asked for or not: they need an index.
  bool all_before = true;
  for (const KeyColumn& column : view_.key) {
    const bool is_limited = settings_.rows_by_claim.count(column.name) > 0;
    const bool is_filter =
        std::find(settings_.filters.begin(), settings_.filters.end(), column.name) != settings_.filters.end();
    if (is_limited && !all_before && !is_filter) {
      mistake(*node.member(column.name), "a claim for a key column without one for those before it",
              "claims for the first columns of the key, or for columns that \"filters\" names");
    }
    all_before = all_before && is_limited;
  }
}

}  // namespace daybook
