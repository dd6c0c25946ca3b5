// Reads one view definition. The order of reading is key, columns, sources, whatever the file's order; the
// mistakes are sorted by their place in the file at the end.
#include "core/definition_reader.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <set>

#include "core/aggregates.h"
#include "core/civil_time.h"
#include "core/definition_members.h"
#include "core/definition_reader_envelope.h"
#include "core/definition_reader_member.h"
#include "core/definition_reader_states.h"
#include "core/definition_reader_values.h"
#include "core/names.h"

namespace daybook {
namespace {

using Kind = JsonNode::Kind;

constexpr std::size_t max_depth = 16;
constexpr std::size_t max_text_keys = 2;  // 1,000 bytes each; an entry of PostgreSQL's index holds 2,704

class Reader : private StateMembers {
 public:
  explicit Reader(const JsonTree& tree) : tree_(tree) {}

  using DefinitionShape::mistakes;

  void read() {
    find_duplicate_members(tree_);
    const JsonNode& root = tree_.nodes.front();
    if (!members(root, root_members, "an object: a view definition")) return;
    for (const char* ignored : {"$schema", "description"}) {
      if (const JsonNode* node = root.member(ignored)) string(*node, "a string");
    }
    if (const JsonNode* node = root.member("description"); node != nullptr) view_.description = node->text;
    if (const JsonNode* node = root.member("view")) read_view_name(*node);
    if (const JsonNode* node = root.member("kind")) {
      view_.kind =
          choice<ViewKind>(*node, root_members,
                           {{"summary", ViewKind::summary}, {"latest", ViewKind::latest}, {"log", ViewKind::log}})
              .value_or(ViewKind::summary);
    }
    if (const JsonNode* node = root.member("updated_at")) {
      view_.updated_at_with_time_zone =
          choice<bool>(*node, root_members, {{"timestamptz", true}, {"timestamp", false}}).value_or(true);
    }
    if (const JsonNode* node = root.member("max_future_seconds")) {
      view_.max_future_seconds = integer(*node, root_members, 0, 1'000'000'000'000);
    }
    if (const JsonNode* node = root.member("deduplication_window_events")) {
      view_.deduplication_window_events =
          static_cast<std::uint64_t>(integer(*node, root_members, 1000, 1'000'000'000).value_or(0));
    }
    read_key(root.member("key"));
    read_log_members(root, view_, key_known_ && key_types_known_);
    read_columns(root.member("columns"));
    read_sources(root.member("sources"));
    if (const JsonNode* node = root.member("reader")) {
      ReaderMember member(view_, key_known_ && key_types_known_, key_known_ && columns_known_);
      view_.reader = member.read(*node);
      take_mistakes(member);
    }
    take_mistakes(values_);
  }

  ViewDefinition& view() { return view_; }

 private:
  void read_view_name(const JsonNode& node) {
    const std::string* name = string(node, name_expected);
    if (name == nullptr) return;
    if (!is_plain_name(*name)) {
      wrong(node, name_expected);
    } else if (is_reserved_word(*name)) {
      mistake(node, node.shown() + ", a reserved word of PostgreSQL", "a name that needs no quotes");
    } else if (name->starts_with("pg_") || name->starts_with("daybook")) {
      wrong(node, "a name that starts neither with pg_ nor with daybook");
    }
    view_.name = *name;
  }

  // The name of a key or value column; as written, so that sources can refer to it even when it is wrong.
  std::string read_column_name(const JsonNode& column, bool& names_known) {
    const JsonNode* node = column.member("name");
    const std::string* name = node == nullptr ? nullptr : string(*node, name_expected);
    if (name == nullptr) {
      names_known = false;
      return "";
    }
    if (!is_plain_name(*name)) {
      wrong(*node, name_expected);
    } else if (is_reserved_word(*name)) {
      mistake(*node, node->shown() + ", a reserved word of PostgreSQL", "a name that needs no quotes");
    } else if (is_system_column(*name)) {
      mistake(*node, node->shown() + ", a column that each PostgreSQL table has", "another name");
    } else if (*name == "updated_at") {
      mistake(*node, node->shown() + ", which each view has", "another name");
    }
    if (!column_names_.insert(*name).second) {
      mistake(*node, node->shown() + " a second time", "a name of its own for each column");
      names_known = false;
    }
    return *name;
  }

  void read_key(const JsonNode* array) {
    const auto columns = elements(array, expectation(root_members, "key"), max_key_columns);
    key_known_ = !columns.empty();
    std::size_t texts = 0;
    for (const JsonNode* node : columns) {
      KeyColumn& column = view_.key.emplace_back();
      if (!members(*node, key_members, "an object: a key column")) {
        key_known_ = false;
        continue;
      }
      column.name = read_column_name(*node, key_known_);
      const JsonNode* type = node->member("type");
      const JsonNode* zone = node->member("time_zone");
      const std::optional<KeyType> read = type == nullptr ? std::nullopt
                                                          : choice<KeyType>(*type, key_members,
                                                                            {{"uuid", KeyType::uuid},
                                                                             {"text", KeyType::text},
                                                                             {"int", KeyType::integer},
                                                                             {"date", KeyType::date},
                                                                             {"hour", KeyType::hour},
                                                                             {"minute", KeyType::minute},
                                                                             {"timestamp", KeyType::timestamp}});
      if (!read) {
        key_types_known_ = false;
        continue;
      }
      column.type = *read;
      if (*read == KeyType::text && ++texts == max_text_keys + 1) {
        mistake(*node, "a third text column", "at most two, since PostgreSQL's index entries are bounded");
      }
      // What is the type of one kind only.
      if (*read == KeyType::timestamp && view_.kind != ViewKind::log)
        mistake(*type, "a timestamp in the key of a view that is no log", "a date, or another type");
      const bool is_time = *read == KeyType::date || *read == KeyType::hour || *read == KeyType::minute;
      const std::string a_time = *read == KeyType::date ? "a date" : *read == KeyType::hour ? "an hour" : "a minute";
      if (is_time && view_.kind == ViewKind::log) {
        mistake(*type, a_time + " in the key of a log view", "a timestamp, or another type");
      } else if (is_time && node != columns.back()) {
        mistake(*node, a_time + " column before the last place",
                "at most one column of type date, hour or minute, as the last of the key");
      }
      if (!is_time || *read == KeyType::minute) {
        if (zone != nullptr) mistake(*zone, "a time zone", "none, since only date and hour columns have one");
        continue;
      }
      const std::string_view expected = expectation(key_members, "time_zone");
      if (zone == nullptr) {
        missing(*node, "time_zone", expected);
      } else if (const std::string* name = string(*zone, expected); name != nullptr) {
        column.time_zone = *name;
        if (!is_zone_name(*name) || !DayZone::exists(*name)) wrong(*zone, expected);
      }
    }
    has_date_ =
        std::any_of(view_.key.begin(), view_.key.end(), [](const KeyColumn& k) { return k.type == KeyType::date; });
  }

  void read_columns(const JsonNode* array) {
    const auto columns = elements(array, expectation(root_members, "columns"), max_columns);
    columns_known_ = !columns.empty();
    for (const JsonNode* node : columns) {
      ValueColumn& column = view_.columns.emplace_back();
      column_types_.emplace_back();
      if (!members(*node, column_members_of(view_.kind), "an object: a column")) {
        columns_known_ = false;
        continue;
      }
      column.name = read_column_name(*node, columns_known_);
      if (view_.has_states()) {
        read_state_column(*node, column);
        continue;
      }
      if (const JsonNode* type = node->member("type")) {
        column_types_.back().type = choice<ColumnType>(*type, column_members,
                                                       {{"int", ColumnType::int4},
                                                        {"bigint", ColumnType::int8},
                                                        {"decimal", ColumnType::decimal},
                                                        {"timestamp", ColumnType::timestamp},
                                                        {"text", ColumnType::text}});
        column.type = column_types_.back().type.value_or(ColumnType::int8);
      }
      const JsonNode* value = node->member("value");
      if (value != nullptr) {
        column_types_.back().aggregate = choice<Aggregate>(*value, column_members,
                                                           {{"sum", Aggregate::sum},
                                                            {"count", Aggregate::count},
                                                            {"balance", Aggregate::balance},
                                                            {"min", Aggregate::min},
                                                            {"max", Aggregate::max},
                                                            {"avg", Aggregate::avg},
                                                            {"last", Aggregate::last},
                                                            {"ratio", Aggregate::ratio},
                                                            {"quantile", Aggregate::quantile},
                                                            {"distinct", Aggregate::distinct}});
        column.aggregate = column_types_.back().aggregate.value_or(Aggregate::sum);
      }
      values_.read_column(*node, view_.columns.size() - 1, column_types_.back().type, column_types_.back().aggregate);
      if (column.aggregate == Aggregate::balance && key_known_ && key_types_known_ && !has_date_) {
        mistake(*value, "\"balance\" in a view without a date",
                "a date as the last key column, since a balance is a level by date");
      }
    }
    values_.read_references(columns, columns_known_);
  }

  void read_sources(const JsonNode* array) {
    const auto sources = elements(array, expectation(root_members, "sources"));
    used_.assign(view_.columns.size(), false);
    for (const JsonNode* node : sources) read_source(*node);
    if (sources.empty() || !columns_known_) return;
    for (std::size_t i = 0; i < used_.size(); ++i) {
      const ValueColumn& column = view_.columns[i];
      const JsonNode& node = *tree_.nodes.front().member("columns")->children[i];
      if (!used_[i] && column.aggregate != Aggregate::ratio && node.member("of") == nullptr)
        mistake(node, "a column that no source changes",
                view_.has_states()           ? "at least one source that sets it"
                : is_added(column.aggregate) ? "at least one source that adds to it"
                                             : "at least one source that takes a value for it");
    }
  }

  void read_source(const JsonNode& node) {
    SourceRule& rule = view_.sources.emplace_back();
    if (!members(node, source_members_of(view_.kind), "an object: a source")) return;
    if (const JsonNode* topic = node.member("topic")) {
      if (topic->is(Kind::string) && is_topic_name(topic->text)) {
        rule.topic = topic->text;
      } else {
        wrong(*topic, expectation(source_members, "topic"));
      }
    }
    EnvelopeMember envelope(node.member("envelope"));
    rule.envelope = envelope.envelope();
    std::vector<std::string> types;
    if (const JsonNode* event = node.member("event")) types = envelope.event_types(*event);
    if (const JsonNode* where = node.member("where")) {
      if (!where->is(Kind::array)) wrong(*where, expectation(source_members, "where"));
      for (const JsonNode* condition : where->children) {
        if (where->is(Kind::array)) read_condition(*condition, rule);
      }
    }
    if (const JsonNode* key = node.member("key")) read_source_key(*key, rule, envelope);
    if (view_.has_states()) {
      read_state_source(node, view_, columns_known_, envelope, rule, used_);
    } else {
      const JsonNode* add = node.member("add");
      const JsonNode* subtract = node.member("subtract");
      const JsonNode* take = node.member("take");
      if (add == nullptr && subtract == nullptr && take == nullptr)
        missing(node, "add", "\"add\", \"subtract\" or \"take\", or several of them");
      if (add != nullptr) read_amounts(*add, 1, rule);
      if (subtract != nullptr) read_amounts(*subtract, -1, rule);
      if (take != nullptr) values_.read_takes(*take, rule, columns_known_, used_);
      const bool takes_last = std::any_of(rule.takes.begin(), rule.takes.end(), [&](const Take& one) {
        return view_.columns[one.column].aggregate == Aggregate::last;
      });
      if (takes_last && !rule.envelope.time && envelope.mistakes().empty())
        mistake(*take, "a column of value last, and an envelope without a time", "a \"time\" in the \"envelope\"");
    }
    const bool other_envelope = std::any_of(view_.sources.begin(), view_.sources.end(), [&](const SourceRule& other) {
      return other.topic == rule.topic && !(other.envelope == rule.envelope);
    });
    if (other_envelope && envelope.mistakes().empty()) {
      mistake(node.member("envelope") == nullptr ? node : *node.member("envelope"),
              "another envelope than in an earlier source of the same topic",
              "the same envelope in all sources of a topic");
    }
    take_mistakes(envelope);
    const SourceRule read = rule;  // `rule` itself moves when others come behind it
    for (std::size_t i = 0; i < types.size(); ++i) {
      if (i > 0) view_.sources.push_back(read);
      view_.sources.back().event_type = types[i];
    }
  }

  void read_source_key(const JsonNode& node, SourceRule& rule, EnvelopeMember& envelope) {
    if (!node.is(Kind::object)) {
      wrong(node, expectation(source_members, "key"));
      return;
    }
    std::vector<std::string_view> names;
    for (const KeyColumn& column : view_.key) names.push_back(column.name);
    rule.key.resize(names.size());
    for (const JsonNode* child : node.children) {
      const auto known = std::find(names.begin(), names.end(), child->name);
      const bool is_typed = known != names.end() && key_types_known_;
      const auto type =
          is_typed ? std::optional(view_.key[static_cast<std::size_t>(known - names.begin())].type) : std::nullopt;
      std::optional<Place> member = envelope.key_place(*child, type);
      if (known == names.end()) {
        if (key_known_) mistake(*child, "an unknown key column", one_of(child->name, names));
      } else if (member) {
        rule.key[static_cast<std::size_t>(known - names.begin())] = *std::move(member);
      }
    }
    for (const std::string_view name : names) {
      if (key_known_ && node.member(name) == nullptr) missing(node, name, pointer_expected);
    }
  }

  void read_amounts(const JsonNode& node, int sign, SourceRule& rule) {
    if (!node.is(Kind::object) || node.children.empty()) {
      wrong(node, expectation(source_members, node.name));
      return;
    }
    std::vector<std::string_view> names;
    for (const ValueColumn& column : view_.columns) names.push_back(column.name);
    for (const JsonNode* child : node.children) {
      const auto found = std::find(names.begin(), names.end(), child->name);
      if (found == names.end()) {
        if (columns_known_) mistake(*child, "an unknown column", one_of(child->name, names));
        continue;
      }
      const auto column = static_cast<std::size_t>(found - names.begin());
      used_[column] = true;
      if (!values_.may_change(*child, column, sign)) continue;
      const bool before = std::any_of(rule.amounts.begin(), rule.amounts.end(),
                                      [&](const Amount& a) { return a.column == column && a.sign != sign; });
      if (before) mistake(*child, "a column that this source adds to as well", "each column once in a source");
      rule.amounts.push_back({column, sign, read_amount(*child, column, sign)});
    }
  }

  std::variant<std::int64_t, JsonPointer> read_amount(const JsonNode& node, std::size_t column, int sign) {
    const bool count = column_types_[column].aggregate == Aggregate::count;
    if (column_types_[column].type == ColumnType::decimal && !count && !node.is(Kind::string))
      return values_.read_constant(node, column);
    const bool whole = node.is(Kind::integer);
    if (count ? !whole : !whole && !node.is(Kind::string)) {
      wrong(node, count ? "an integer, since the column counts events"
                        : "a JSON Pointer such as \"/data/quantity\", or an integer");
      return std::int64_t{0};
    }
    if (!whole) {
      std::optional<JsonPointer> member = pointer(node, pointer_expected);
      return member ? *std::move(member) : JsonPointer{};
    }
    const bool int4 = column_types_[column].type == ColumnType::int4;
    const std::int64_t most = int4 ? INT32_MAX : INT64_MAX;
    // What is subtracted has to fit after its sign is turned.
    const bool fits =
        sign > 0 ? node.integer <= most && node.integer >= -most - 1 : node.integer <= most && node.integer >= -most;
    if (!fits)
      wrong(node, int4 ? "an amount within the column's type, int" : "an amount within the column's type, bigint");
    return node.integer;
  }

  void read_condition(const JsonNode& node, SourceRule& rule) {
    if (!members(node, condition_members, "an object: a condition")) return;
    Condition& condition = rule.where.emplace_back();
    if (const JsonNode* member = node.member("member")) {
      if (std::optional<JsonPointer> read = pointer(*member, pointer_expected)) condition.member = *std::move(read);
    }
    std::size_t tests = 0;
    for (const auto& [word, test] :
         {std::pair{"equals", Condition::Test::in}, std::pair{"not_equals", Condition::Test::not_in},
          std::pair{"in", Condition::Test::in}, std::pair{"not_in", Condition::Test::not_in},
          std::pair{"null", Condition::Test::is_null}}) {
      const JsonNode* operand = node.member(word);
      if (operand == nullptr) continue;
      ++tests;
      condition.test = test;
      if (test == Condition::Test::is_null) {
        if (!operand->is(Kind::boolean)) wrong(*operand, expectation(condition_members, word));
        if (!operand->boolean) condition.test = Condition::Test::is_not_null;
      } else if (word == std::string_view("equals") || word == std::string_view("not_equals")) {
        read_operand(*operand, scalar_expected, condition);
      } else {
        for (const JsonNode* element : elements(operand, list_expected)) {
          read_operand(*element, scalar_expected, condition);
        }
      }
    }
    if (tests != 1) {
      mistake(node, tests == 0 ? "a condition without a test" : std::to_string(tests) + " tests in one condition",
              "exactly one of equals, not_equals, in, not_in and null");
    }
  }

  void read_operand(const JsonNode& node, std::string_view expected, Condition& condition) {
    switch (node.kind) {
      case Kind::boolean:
        condition.operands.emplace_back(node.boolean);
        return;
      case Kind::integer:
        condition.operands.emplace_back(node.integer);
        return;
      case Kind::string:
        if (string(node, expected) != nullptr) condition.operands.emplace_back(node.text);
        return;
      case Kind::number:
        if (node.text.find_first_of(".eE") == std::string::npos) {
          wrong(node, "an integer of 64 bits");
        } else if (std::abs(node.number) <= 9007199254740992.0 && std::trunc(node.number) == node.number) {
          condition.operands.emplace_back(static_cast<std::int64_t>(node.number));  // 5.0 is 5
        } else {
          condition.operands.emplace_back(node.number);
        }
        return;
      case Kind::null:
        wrong(node, std::string(expected) + " (\"null\": true tests for null)");
        return;
      case Kind::array:
      case Kind::object:
        wrong(node, expected);
        return;
    }
  }

  const JsonTree& tree_;
  ViewDefinition view_;
  std::set<std::string> column_names_;

  // What is known in spite of mistakes, so that one mistake is not reported again wherever it is referred to.
  struct ColumnTypes {
    std::optional<ColumnType> type;
    std::optional<Aggregate> aggregate;
  };
  bool key_known_ = false;
  bool key_types_known_ = true;
  bool has_date_ = false;
  bool columns_known_ = false;
  std::vector<ColumnTypes> column_types_;  // beside view_.columns
  std::vector<bool> used_;                 // beside view_.columns
  ValuesReader values_{view_};
};

void set_canonical_forms(ViewDefinition& view, std::string_view text) {
  nlohmann::json definition = nlohmann::json::parse(text);
  definition.erase("$schema");
  definition.erase("description");
  if (const auto reader = definition.find("reader"); reader != definition.end()) {
    view.reader_json = reader->dump();
    definition.erase(reader);
  }
  view.canonical_json = definition.dump();
}

}  // namespace

DefinitionOrMistakes read_definition(std::string_view text) {
  if (text.size() > max_definition_bytes) {
    return std::vector<DefinitionMistake>{
        {"", "more than " + std::to_string(max_definition_bytes) + " bytes", "a view definition, which is short"}};
  }
  const std::variant<JsonTree, JsonProblem> parsed = parse_json_tree(text, max_depth);
  if (const auto* problem = std::get_if<JsonProblem>(&parsed)) {
    return std::vector<DefinitionMistake>{{"", problem->found, problem->expected}};
  }
  Reader reader(std::get<JsonTree>(parsed));
  reader.read();
  if (std::vector<DefinitionMistake> mistakes = reader.mistakes(); !mistakes.empty()) return mistakes;
  set_canonical_forms(reader.view(), text);
  return std::move(reader.view());
}

DefinitionOrMistakes read_stored_definition(std::string_view canonical_json, std::string_view served_json) {
  std::string text(canonical_json);
  const std::size_t end = text.rfind('}');
  const std::size_t begin = served_json.find('"');  // of the first member
  if (begin != std::string_view::npos && end != std::string::npos)
    text.replace(end, std::string::npos, "," + std::string(served_json.substr(begin)));
  return read_definition(text);
}

}  // namespace daybook
