#include "tests/support/definition_probe.h"

#include <simdjson.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "core/definition_reader.h"
#include "tests/support/referee.h"

namespace daybook::test {
namespace {

using nlohmann::json;

// Sets the member that `pointer` names, unless another one is in the way.
void put(json& event, const JsonPointer& pointer, const json& value) {
  const bool long_index = std::any_of(pointer.tokens.begin(), pointer.tokens.end(), [](const std::string& token) {
    return token.size() > 3 && token.find_first_not_of("0123456789") == std::string::npos;
  });
  if (long_index) return;  // it would make a long array
  try {
    event[json::json_pointer(pointer.text)] = value;
  } catch (const json::exception&) {
  }
}

json operand_of(const Condition& condition) {
  if (condition.test == Condition::Test::is_null) return nullptr;
  if (condition.test != Condition::Test::in || condition.operands.empty()) return 17;
  const Scalar& operand = condition.operands.front();
  if (const auto* text = std::get_if<std::string>(&operand)) return *text;
  if (const auto* truth = std::get_if<bool>(&operand)) return *truth;
  if (const auto* integer = std::get_if<std::int64_t>(&operand)) return *integer;
  if (const auto* number = std::get_if<double>(&operand)) return *number;
  return nullptr;
}

json key_of(KeyType type) {
  switch (type) {
    case KeyType::uuid:
      return "6f1c7ab0-3d0c-4f5e-9d2b-1f0e5a7c9b42";
    case KeyType::text:
      return "a text";
    case KeyType::integer:
      return -7;
    case KeyType::date:
    case KeyType::timestamp:
    case KeyType::hour:
    case KeyType::minute:
      return "2026-03-10T23:45:00+05:45";
  }
  return nullptr;
}

// A value of the column, and now and then another one.
json value_of(const ValueColumn& column, const json& amount) {
  if (amount.is_null() || amount.is_number_unsigned()) return amount;
  switch (column.type) {
    case ColumnType::int4:
    case ColumnType::int8:
      return -7;
    case ColumnType::decimal:
      return amount.is_string() ? json("0.1") : json(0.5);
    case ColumnType::text:
      return "a text";
    case ColumnType::boolean:
      return true;
    case ColumnType::timestamp:
      return "2026-03-10T23:45:00.1234567+05:45";
    case ColumnType::date:
      return "2026-03-10";
    case ColumnType::uuid:
      return "6F1C7AB0-3d0c-4f5e-9d2b-1f0e5a7c9b42";
    case ColumnType::json:
      return {{"b", {1.50, "x", nullptr}}, {"a", amount}};
  }
  return nullptr;
}

// What says that it is an event of the rule's type; what the rule reads in headers is left out.
json envelope_for(const SourceRule& rule) {
  if (rule.envelope.kind == Envelope::Kind::debezium) return {{"op", rule.event_type}, {"source", {{"lsn", 1}}}};
  if (rule.envelope.kind == Envelope::Kind::cloudevents)
    return {{"specversion", "1.0"}, {"id", "1"}, {"source", "/s"}, {"type", rule.event_type}};
  json event = json::object();
  for (const auto& [part, value] : {std::pair{&rule.envelope.id, std::string("1")},
                                    {&rule.envelope.source, std::string("/s")},
                                    {&rule.envelope.type, rule.event_type}}) {
    if (part->place && part->place->header.empty()) put(event, *part->place, value);
  }
  return event;
}

json event_for(const ViewDefinition& view, const SourceRule& rule, const json& amount) {
  json event = envelope_for(rule);
  for (const Amount& a : rule.amounts) {
    if (const auto* pointer = std::get_if<JsonPointer>(&a.value)) put(event, *pointer, amount);
  }
  if (!rule.version.tokens.empty()) put(event, rule.version, 5);
  for (const Setting& setting : rule.settings)
    put(event, setting.member, value_of(view.columns[setting.column], amount));
  if (const std::optional<Place>& time = rule.envelope.time; !rule.takes.empty() && time && time->header.empty())
    put(event, *time, time->unit == TimeUnit::text ? json("2026-03-10T23:45:00.123456789+05:45") : json(20'000));
  for (const Take& take : rule.takes) put(event, take.member, amount);
  for (std::size_t i = 0; i < rule.key.size(); ++i) put(event, rule.key[i], key_of(view.key[i].type));
  for (const Condition& condition : rule.where) put(event, condition.member, operand_of(condition));
  return event;
}

std::string probe_events(const ViewDefinition& view) {
  static const json amounts[] = {1,    -5.0,    nullptr, 9223372036854775807, 9223372036854775808U,    1e19, "x",
                                 0.25, "-12.5", 1e-7,    -2147483649,         "2026-03-10T23:45:00.5Z"};
  const std::vector<std::string> topics = view.topics();
  Referee referee(view);
  std::size_t rules = 0;
  for (const SourceRule& rule : view.sources) {
    if (++rules > 20) break;  // a definition may have thousands
    for (const json& amount : amounts) {
      const std::string value = event_for(view, rule, amount).dump();
      Message message;
      message.topic = static_cast<std::size_t>(std::find(topics.begin(), topics.end(), rule.topic) - topics.begin());
      message.value = value;
      if (const std::string found = referee.disagreement(message); !found.empty()) return value + ": " + found;
    }
  }
  return "";
}

}  // namespace

std::string probe_definition(std::string_view text) {
  const DefinitionOrMistakes read = read_definition(text);
  if (const auto* mistakes = std::get_if<std::vector<DefinitionMistake>>(&read)) {
    if (mistakes->empty() || mistakes->size() > 100) return std::to_string(mistakes->size()) + " mistakes";
    for (const DefinitionMistake& mistake : *mistakes) {
      const std::string line = to_string(mistake);
      const bool one_line = std::none_of(line.begin(), line.end(), [](unsigned char c) { return c < ' ' || c == 127; });
      if (!one_line || !simdjson::validate_utf8(line.data(), line.size()))
        return "a mistake that is no line of UTF-8: " + json(line).dump(-1, ' ', true, json::error_handler_t::replace);
    }
    return "";
  }
  const auto& view = std::get<ViewDefinition>(read);
  const DefinitionOrMistakes again = read_definition(view.canonical_json);
  const auto* same = std::get_if<ViewDefinition>(&again);
  if (same == nullptr) return "the canonical form is refused: " + view.canonical_json;
  if (same->canonical_json != view.canonical_json) return "the canonical form has another one: " + view.canonical_json;
  if (same->topics() != view.topics()) return "the canonical form reads other topics";
  return probe_events(view);
}

}  // namespace daybook::test
