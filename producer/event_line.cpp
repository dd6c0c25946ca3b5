#include "producer/event_line.h"

#include <chrono>

#include "core/civil_time.h"
#include "producer/producer.h"
#include "producer/strict_json.h"

namespace daybook::publishing {
namespace {

using nlohmann::json;

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view space = " \t\r\n";
  const std::size_t begin = text.find_first_not_of(space);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(space) - begin + 1);
}

// What every CloudEvent needs, whatever its schema says.
std::vector<Refusal> check_envelope(const json& event) {
  std::vector<Refusal> refusals;
  for (const char* name : {"id", "source", "type"}) {
    const auto found = event.find(name);
    if (found == event.end()) {
      const bool is_source = std::string_view(name) == "source";
      refusals.push_back({std::string("/") + name, std::string("missing, expected a non-empty string") +
                                                       (is_source ? "; --source adds one" : "")});
    } else if (!found->is_string() || found->get_ref<const std::string&>().empty()) {
      refusals.push_back(
          {std::string("/") + name, "found " + found->dump().substr(0, 60) + ", expected a non-empty string"});
    }
  }
  if (event.at("specversion") != "1.0") {
    refusals.push_back(
        {"/specversion", "found " + event.at("specversion").dump().substr(0, 60) + ", expected \"1.0\""});
  }
  const auto time = event.find("time");
  if (time != event.end() && (!time->is_string() || !parse_instant(time->get_ref<const std::string&>()))) {
    refusals.push_back({"/time", "found " + time->dump().substr(0, 60) + ", expected a date-time with offset"});
  }
  return refusals;
}

// The message key: a string as it stands, an integer in digits. False: the member is something else.
bool take_key(const json* member, std::optional<std::string>& key) {
  key.reset();
  if (member == nullptr || member->is_null()) return true;
  if (member->is_string()) {
    key = member->get<std::string>();
  } else if (member->is_number_integer()) {
    key = member->dump();
  } else {
    return false;
  }
  return true;
}

}  // namespace

// Adds the absent attributes both to the parsed event and, at the front, to its text.
void EventLines::complete(std::string_view line, json& event) {
  const bool is_data = !settings_.type.empty() && !(event.is_object() && event.contains("specversion"));
  text_ = "{";
  const auto add = [this, &event](const char* name, const std::string& value) {
    event[name] = value;
    if (text_.size() > 1) text_ += ',';
    text_ += std::string("\"") + name + "\":" + event[name].dump();
  };
  if (is_data) {
    json data = std::move(event);
    event = json::object();
    event["data"] = std::move(data);
  }
  const bool had_members = !event.empty();
  if (!event.contains("specversion")) add("specversion", "1.0");
  if (!event.contains("id")) add("id", random_uuid());
  if (!event.contains("source") && !settings_.source.empty()) add("source", settings_.source);
  if (is_data) add("type", settings_.type);
  if (!event.contains("time")) add("time", rfc3339(std::chrono::system_clock::now()));
  if (is_data) {
    text_ += R"(,"datacontenttype":"application/json","data":)";
    text_ += line;
    text_ += '}';
  } else if (text_.size() > 1) {
    if (had_members) text_ += ',';
    text_ += line.substr(1);  // after its opening brace
  } else {
    text_ = line;
  }
}

std::vector<Refusal> EventLines::convert(std::string_view line, OutgoingEvent& out) {
  line = trimmed(line);
  json event;
  std::string reason;
  if (!parse_strict_json(line, event, reason)) return {{"", reason}};
  if (!event.is_object() && settings_.type.empty()) {
    return {{"", std::string("found ") + event.type_name() +
                     ", expected an object (an event), or --type for lines that are data"}};
  }
  complete(line, event);

  std::vector<Refusal> refusals = check_envelope(event);
  const auto type = event.find("type");
  const std::string* name = type != event.end() ? type->get_ptr<const std::string*>() : nullptr;
  const EventSchema* schema = nullptr;
  if (schemas_ != nullptr && !schemas_->empty() && name != nullptr) {
    const auto found = schemas_->find(*name);
    if (found == schemas_->end()) {
      if (!name->empty()) refusals.push_back({"/type", "found " + type->dump() + ", no event schema declares it"});
    } else {
      schema = found->second.get();
    }
  }
  if (schema != nullptr && refusals.empty()) refusals = schema->check(event);
  if (!refusals.empty()) return refusals;

  static const JsonPointer partition_key = *parse_json_pointer("/partitionkey");
  const JsonPointer& key = schema != nullptr && schema->key() ? *schema->key() : partition_key;
  if (!take_key(find_member(event, key), out.key))
    return {{key.text, "is the message's key, expected a string or an integer"}};
  out.topic = settings_.topic.empty() && schema != nullptr ? schema->topic() : settings_.topic;
  if (out.topic.empty()) return {{"/type", "the schema of " + *name + " names no topic; give --topic"}};
  out.value = text_;
  return {};
}

}  // namespace daybook::publishing
