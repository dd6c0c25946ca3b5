#include "reader/api/query.h"

#include <algorithm>
#include <charconv>
#include <map>
#include <optional>

#include "core/decimal.h"
#include "core/names.h"
#include "reader/api/cursor.h"
#include "reader/api/key.h"
#include "reader/api/text.h"

namespace daybook::reader {
namespace {

constexpr std::size_t max_operands = 100;
constexpr const char* wrong_encoding = "the query has a wrong encoding, expected NAME=VALUE joined by '&', and %XX";

std::optional<std::int64_t> whole_number(std::string_view text) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < 0) return std::nullopt;
  return value;
}

// Takes `after` and `wait`; false: it is neither. `problem` says what is wrong with it.
bool take_await(const std::string& name, const std::string& value, Await& await, std::string& problem) {
  if (name == "after") {
    const std::size_t at = value.rfind('@');
    const std::size_t slash = at == std::string::npos ? std::string::npos : value.rfind('/', at);
    std::optional<std::int64_t> partition, offset;
    if (slash != std::string::npos) {
      partition = whole_number(std::string_view(value).substr(slash + 1, at - slash - 1));
      offset = whole_number(std::string_view(value).substr(at + 1));
    }
    const std::string topic = slash == std::string::npos ? "" : value.substr(0, slash);
    if (!partition || *partition > INT32_MAX || !offset || *offset == INT64_MAX || !is_topic_name(topic)) {
      problem = "after=" + value + " is no position, expected TOPIC/PARTITION@OFFSET as `daybook publish` prints it";
    } else {
      std::int64_t& known = await.positions[{topic, static_cast<std::int32_t>(*partition)}];
      known = std::max(known, *offset);
    }
    if (await.positions.size() > max_operands) problem = "more than 100 partitions in after=";
    return true;
  }
  if (name != "wait") return false;
  const std::optional<std::int64_t> milliseconds = whole_number(value);
  if (!milliseconds || *milliseconds > max_wait.count()) {
    problem = "wait=" + value + " is no time, expected milliseconds from 0 to " + std::to_string(max_wait.count());
  } else {
    await.wait = std::chrono::milliseconds(*milliseconds);
  }
  return true;
}

// A column by its name: its type, and its place in the key if it has one.
struct Column {
  KeyType type;
  std::optional<std::size_t> key;
  bool is_int4 = false;
  int scale = 0;  // of a decimal

  std::optional<std::string> value(std::string_view text) const {
    if (scale > 0) {
      const std::optional<std::int64_t> number = parse_decimal(text, scale);
      return number ? std::optional(decimal_text(*number, scale)) : std::nullopt;
    }
    std::optional<std::string> canonical = canonical_value(type, text);
    if (canonical && is_int4 &&
        (canonical->size() > 11 || std::stoll(*canonical) != static_cast<std::int32_t>(std::stoll(*canonical))))
      return std::nullopt;
    return canonical;
  }
  std::string expected() const {
    if (scale > 0) return "a number with at most " + std::to_string(scale) + " digits behind the point";
    return is_int4 ? "an integer of 32 bits" : std::string(expected_value(type));
  }
};
std::optional<Column> find_column(const ViewDefinition& view, std::string_view name) {
  for (std::size_t i = 0; i < view.key.size(); ++i)
    if (view.key[i].name == name) return Column{view.key[i].type, i, false, 0};
  for (const ValueColumn& column : view.columns)
    if (column.name == name)
      return Column{KeyType::integer, std::nullopt, column.type == ColumnType::int4, column.scale};
  return std::nullopt;
}

bool contains(const std::vector<std::string>& all, std::string_view wanted) {
  return std::find(all.begin(), all.end(), wanted) != all.end();
}

// What a list can be asked for, for the answer to one that asks for something else.
std::string allowed_parameters(const ViewDefinition& view) {
  std::string all;
  for (const KeyColumn& column : view.key) all += column.name + ", ";
  for (const std::string& name : view.reader.filters)
    if (find_column(view, name)->key == std::nullopt) all += name + ", ";
  return "expected " + all +
         "each also with .eq, .from, .to, .above or .below behind its name, limit, cursor, after or wait";
}

class ListReader {
 public:
  ListReader(const ViewDefinition& view, const std::vector<RowLimit>& limits) : view_(view), limits_(limits) {
    request_.query.order = view.list_order();
    request_.query.descending = view.reader.descending;
    request_.query.limit = view.reader.limit;
  }

  Checked<ListRequest> read(const Route& route, std::string_view query) {
    const std::optional<Parameters> parameters = read_parameters(query);
    if (!parameters) return BadRequest{wrong_encoding};
    for (std::size_t i = 0; i < view_.key.size(); ++i) {
      if ((route.given >> i & 1) == 0) continue;
      const std::optional<std::string> value = decode_percent(route.values[i]);
      if (!value) return BadRequest{"the path has a wrong encoding, expected %XX"};
      add(view_.key[i].name, Filter::Test::equal, *value);
    }
    in_path_ = std::move(filters_);
    filters_.clear();
    std::string cursor;
    for (const auto& [name, value] : *parameters) take(name, value, cursor);
    for (const auto& [place, filter] : in_path_) {
      if (filters_.contains(place)) problem_ = filter.column + " is in the path already";
    }
    link_filters();
    filters_.merge(in_path_);
    apply_limits();
    check_indexes();
    for (auto& [place, filter] : filters_) request_.query.filters.push_back(std::move(filter));
    request_.mark = query_mark(view_.name, request_.query);
    if (!cursor.empty() && problem_.empty()) take_cursor(cursor);
    if (!problem_.empty()) return BadRequest{problem_};
    return std::move(request_);
  }

 private:
  using Place = std::pair<std::string, Filter::Test>;

  void take(const std::string& name, const std::string& value, std::string& cursor) {
    if (!problem_.empty() || take_await(name, value, request_.await, problem_)) return;
    if (name == "limit") {
      const std::optional<std::int64_t> limit = whole_number(value);
      if (!limit || *limit < 1 || *limit > static_cast<std::int64_t>(view_.reader.limit)) {
        problem_ = "limit=" + value + ", expected 1 to " + std::to_string(view_.reader.limit);
      } else {
        request_.query.limit = static_cast<std::size_t>(*limit);
        limit_ = "limit=" + std::to_string(*limit);
      }
      return;
    }
    if (name == "cursor") {
      if (!cursor.empty() || value.empty()) problem_ = "cursor, expected one, as the page before gave it";
      cursor = value;
      return;
    }
    static constexpr std::pair<std::string_view, Filter::Test> tests[] = {{".eq", Filter::Test::equal},
                                                                          {".from", Filter::Test::at_least},
                                                                          {".above", Filter::Test::greater},
                                                                          {".to", Filter::Test::at_most},
                                                                          {".below", Filter::Test::less}};
    const std::size_t dot = std::min(name.find('.'), name.size());
    const std::string_view suffix = std::string_view(name).substr(dot);
    Filter::Test test = Filter::Test::equal;
    bool known = suffix.empty();
    for (const auto& [word, meaning] : tests) {
      if (suffix == word) {
        test = meaning;
        known = true;
      }
    }
    if (!known || !find_column(view_, name.substr(0, dot))) {
      problem_ = "the parameter " + name + " is unknown, " + allowed_parameters(view_);
      return;
    }
    add(name.substr(0, dot), test, value);
  }

  void add(const std::string& name, Filter::Test test, const std::string& text) {
    const Column column = *find_column(view_, name);
    std::optional<std::string> value = column.value(text);
    if (!value) {
      problem_ = name + " is not " + column.expected();
      return;
    }
    Filter& filter = filters_[{name, test}];
    filter.column = name;
    filter.test = test;
    if (test != Filter::Test::equal && !filter.operands.empty()) {
      problem_ = "two bounds of one kind for " + name + ", expected one";
    } else if (!contains(filter.operands, *value)) {
      filter.operands.push_back(*std::move(value));
    }
    if (filter.operands.size() > max_operands) problem_ = "more than 100 values for " + name;
  }

  // As the client wrote them, so that the next page's address looks like this one's.
  void link_filters() {
    static constexpr std::string_view suffix[] = {"", ".from", ".above", ".to", ".below"};
    for (const auto& [place, filter] : filters_) {
      for (const std::string& operand : filter.operands) {
        // .eq: a column may be called like a parameter of ours.
        const bool is_ours = filter.column == "limit" || filter.column == "cursor" || filter.column == "after" ||
                             filter.column == "wait";
        const std::string_view end =
            filter.test == Filter::Test::equal && is_ours ? ".eq" : suffix[static_cast<std::size_t>(filter.test)];
        request_.link += filter.column + std::string(end) + "=" + encode_percent(operand) + "&";
      }
    }
    if (!limit_.empty()) request_.link += limit_ + "&";
  }

  // Nobody sees more for asking: what one may see is one more filter, or makes the same filter stricter.
  void apply_limits() {
    for (const RowLimit& limit : limits_) {
      const std::string& name = view_.key[limit.column].name;
      Filter& filter = filters_[{name, Filter::Test::equal}];
      const bool is_new = filter.operands.empty();
      filter.column = name;
      if (is_new) {
        filter.operands = limit.values;
      } else {
        std::erase_if(filter.operands, [&](const std::string& value) { return !contains(limit.values, value); });
      }
      if (filter.operands.empty()) request_.sees_nothing = true;
    }
  }

  // Each filter has to have an index: one of its own, or the key's, which helps when the columns before are given.
  void check_indexes() {
    bool all_before = true;
    for (const KeyColumn& column : view_.key) {
      const auto first = filters_.lower_bound({column.name, Filter::Test::equal});
      const bool is_filtered = first != filters_.end() && first->first.first == column.name;
      if (is_filtered && !all_before && !contains(view_.reader.filters, column.name) && problem_.empty()) {
        problem_ = "a filter on " + column.name +
                   " alone has no index, expected values of the key columns before it, too, or that the definition's "
                   "reader.filters names it";
      }
      all_before = all_before && is_filtered && first->second.test == Filter::Test::equal;
    }
    for (const ValueColumn& column : view_.columns) {
      const auto first = filters_.lower_bound({column.name, Filter::Test::equal});
      const bool is_filtered = first != filters_.end() && first->first.first == column.name;
      if (is_filtered && !contains(view_.reader.filters, column.name) && problem_.empty())
        problem_ = "a filter on " + column.name + " has no index, " + allowed_parameters(view_);
    }
  }

  void take_cursor(const std::string& cursor) {
    std::optional<std::vector<std::string>> after = read_cursor(cursor, request_.mark);
    const std::vector<std::string>& order = request_.query.order;
    bool right = after && after->size() == order.size();
    for (std::size_t i = 0; right && i < order.size(); ++i) {
      std::optional<std::string> value = find_column(view_, order[i])->value((*after)[i]);
      right = value.has_value();
      if (right) (*after)[i] = *std::move(value);
    }
    if (!right) {
      problem_ = "the cursor is none of this query, expected the one that the page before gave, with the same filters";
    } else {
      request_.query.after = *std::move(after);
    }
  }

  const ViewDefinition& view_;
  const std::vector<RowLimit>& limits_;
  ListRequest request_;
  std::map<Place, Filter> filters_;
  std::map<Place, Filter> in_path_;
  std::string limit_;
  std::string problem_;
};

}  // namespace

std::vector<RowLimit> row_limits(const ViewDefinition& view, const Identity& who) {
  std::vector<RowLimit> limits;
  if (view.reader.rows_by_claim.empty() || who.has_scope("rows:all")) return limits;
  for (std::size_t i = 0; i < view.key.size(); ++i) {
    const auto claim = view.reader.rows_by_claim.find(view.key[i].name);
    if (claim == view.reader.rows_by_claim.end()) continue;
    RowLimit& limit = limits.emplace_back();
    limit.column = i;
    const auto own = who.claims.find(claim->second);
    if (own == who.claims.end()) continue;
    for (const std::string& value : own->second) {
      // A claim that is no value of the column is one of no row.
      std::optional<std::string> canonical = canonical_value(view.key[i].type, value);
      if (canonical && !contains(limit.values, *canonical)) limit.values.push_back(*std::move(canonical));
    }
  }
  return limits;
}

Checked<Await> read_row_parameters(std::string_view query) {
  const std::optional<Parameters> parameters = read_parameters(query);
  if (!parameters) return BadRequest{wrong_encoding};
  Await await;
  for (const auto& [name, value] : *parameters) {
    std::string problem;
    if (!take_await(name, value, await, problem))
      problem = "the parameter " + name + " is unknown, expected after or wait";
    if (!problem.empty()) return BadRequest{problem};
  }
  return await;
}

Checked<ListRequest> read_list(const ViewDefinition& view, const Route& route, std::string_view query,
                               const std::vector<RowLimit>& limits) {
  return ListReader(view, limits).read(route, query);
}

bool KeyFilter::passes(const ViewDefinition& view, std::string_view key) const {
  if (sees_nothing) return false;
  KeyParts parts;
  if (!find_parts(view.key, key, parts)) return false;
  for (std::size_t i = 0; i < allowed.size(); ++i) {
    const std::string_view own = part(key, parts, i);
    if (!allowed[i].empty() && std::find(allowed[i].begin(), allowed[i].end(), own) == allowed[i].end()) return false;
  }
  return true;
}

Checked<KeyFilter> read_changes_parameters(const ViewDefinition& view, std::string_view query,
                                           const std::vector<RowLimit>& limits) {
  const std::optional<Parameters> parameters = read_parameters(query);
  if (!parameters) return BadRequest{wrong_encoding};
  KeyFilter filter;
  filter.allowed.resize(view.key.size());
  for (const auto& [name, value] : *parameters) {
    const std::optional<Column> column = find_column(view, name);
    if (!column || !column->key) {
      std::string names;
      for (const KeyColumn& key : view.key) names += (names.empty() ? "" : ", ") + key.name;
      return BadRequest{"the parameter " + name + " is unknown, expected " + names};
    }
    std::string bytes;
    if (!append_value(bytes, column->type, value))
      return BadRequest{name + " is not " + std::string(expected_value(column->type))};
    std::vector<std::string>& allowed = filter.allowed[*column->key];
    if (!contains(allowed, bytes)) allowed.push_back(std::move(bytes));
    if (allowed.size() > max_operands) return BadRequest{"more than 100 values for " + name};
  }
  for (const RowLimit& limit : limits) {
    std::vector<std::string> may_see;
    for (const std::string& value : limit.values)
      append_value(may_see.emplace_back(), view.key[limit.column].type, value);
    std::vector<std::string>& asked = filter.allowed[limit.column];
    if (asked.empty()) {
      asked = std::move(may_see);
    } else {
      std::erase_if(asked, [&](const std::string& bytes) { return !contains(may_see, bytes); });
    }
    if (asked.empty()) filter.sees_nothing = true;
  }
  return filter;
}

}  // namespace daybook::reader
