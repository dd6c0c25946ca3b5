// Event schemas: routing, and the schema that checks an event.
#include "producer/event_schemas.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "core/error.h"
#include "producer/strict_json.h"

namespace daybook::publishing {
namespace {

using nlohmann::json;
namespace fs = std::filesystem;

std::string shown(const json& value) {
  std::string text = value.dump(-1, ' ', false, json::error_handler_t::replace);
  constexpr std::size_t most = 60;
  if (text.size() > most) {
    std::size_t end = most;
    while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) --end;  // not inside a character
    text = text.substr(0, end) + "…";
  }
  return text;
}

}  // namespace

const json* find_member(const json& event, const JsonPointer& pointer) {
  const json* here = &event;
  for (const std::string& token : pointer.tokens) {
    if (here->is_object()) {
      const auto found = here->find(token);
      if (found == here->end()) return nullptr;
      here = &*found;
    } else if (here->is_array() && !token.empty() && token.size() < 9 &&
               std::all_of(token.begin(), token.end(), [](char c) { return c >= '0' && c <= '9'; })) {
      const std::size_t index = std::stoul(token);
      if (index >= here->size()) return nullptr;
      here = &(*here)[index];
    } else {
      return nullptr;
    }
  }
  return here;
}

EventSchema::EventSchema(const std::string& file, const std::string& text) {
  const auto refuse = [&file](const std::string& why) -> void { throw UsageError(file + ": " + why); };
  json document;
  std::string reason;
  if (!parse_strict_json(text, document, reason)) refuse(reason);
  const json* routing = document.is_object() && document.contains("x-daybook") ? &document["x-daybook"] : nullptr;
  if (routing == nullptr || !routing->is_object()) {
    refuse(R"(/x-daybook: missing, expected an object such as )"
           R"({"type": "shop.sold", "topic": "shop.events", "key": "/data/shop"})");
  }
  for (const auto& [name, value] : routing->items()) {
    if (name != "type" && name != "topic" && name != "key")
      refuse("/x-daybook/" + name + ": unknown, expected type, topic, key");
    if (!value.is_string() || value.get_ref<const std::string&>().empty()) {
      refuse("/x-daybook/" + name + ": found " + shown(value) + ", expected a non-empty string");
    }
  }
  if (!routing->contains("type"))
    refuse("/x-daybook/type: missing, expected the event type that this schema describes");
  type_ = (*routing)["type"].get<std::string>();
  topic_ = routing->value("topic", "");
  if (routing->contains("key")) {
    key_ = parse_json_pointer((*routing)["key"].get<std::string>());
    if (!key_)
      refuse("/x-daybook/key: found " + shown((*routing)["key"]) + ", expected a JSON Pointer such as /data/shop");
  }
  try {
    schema_ = std::make_unique<JsonSchema>(std::move(document));
  } catch (const std::exception& error) {
    refuse(std::string("not a JSON Schema (draft 7): ") + error.what());
  }
}

std::vector<Refusal> EventSchema::check(const json& event) const {
  if (schema_->accepts(event)) return {};
  std::vector<Refusal> refusals = schema_->refusals(event);
  for (Refusal& refusal : refusals) {
    const std::optional<JsonPointer> pointer = parse_json_pointer(refusal.pointer);
    const json* value = pointer && !pointer->tokens.empty() ? find_member(event, *pointer) : nullptr;
    if (value != nullptr && !value->is_object()) refusal.reason = "found " + shown(*value) + ": " + refusal.reason;
  }
  if (refusals.empty()) refusals.push_back({"", "not valid by the schema of " + type_});
  return refusals;
}

EventSchemas load_event_schemas(const std::string& schemas_directory, const std::string& system) {
  const fs::path directory = fs::path(schemas_directory) / system / "events";
  std::error_code unreadable;
  std::vector<fs::path> files;
  for (fs::directory_iterator entry(directory, unreadable), end; !unreadable && entry != end;
       entry.increment(unreadable)) {
    if (entry->path().extension() == ".json") files.push_back(entry->path());
  }
  if (files.empty()) {
    throw UsageError("no event schemas for system " + system + ": " + directory.string() + "/*.json is not there" +
                     "; name the folder that has " + system + "/events with --schemas");
  }
  std::sort(files.begin(), files.end());
  EventSchemas schemas;
  std::string mistakes;
  const auto add_mistake = [&mistakes](const std::string& text) { mistakes += (mistakes.empty() ? "" : "\n") + text; };
  for (const fs::path& file : files) {
    std::ifstream stream(file, std::ios::binary);
    std::stringstream text;
    text << stream.rdbuf();
    if (!stream) {
      add_mistake(file.string() + ": can't be read");
      continue;
    }
    try {
      auto schema = std::make_unique<EventSchema>(file.string(), text.str());
      const std::string type = schema->type();
      if (!schemas.emplace(type, std::move(schema)).second)
        add_mistake(file.string() + ": a second schema of event type " + type);
    } catch (const UsageError& error) {
      add_mistake(error.what());
    }
  }
  if (!mistakes.empty()) throw UsageError(mistakes);
  return schemas;
}

std::string default_schemas_directory(const std::string& system) {
  std::error_code none;
  if (fs::is_directory(fs::path("schemas") / system, none)) return "schemas";
  const fs::path executable = fs::read_symlink("/proc/self/exe", none);
  const fs::path installed = executable.parent_path() / DAYBOOK_SCHEMAS_FROM_BIN;
  return fs::is_directory(installed / system, none) ? installed.lexically_normal().string() : "schemas";
}

}  // namespace daybook::publishing
