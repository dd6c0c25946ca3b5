// The event schemas of one system: schemas/<system>/events/*.json. Each is a JSON Schema (draft 7) of a whole
// CloudEvent in structured form; its member "x-daybook" says where such events go.
#pragma once

#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "core/json_pointer.h"
#include "producer/json_schema.h"

namespace daybook::publishing {

// A schema and its routing.
class EventSchema {
 public:
  // Throws UsageError: `text` is no such schema; every message begins with `file`.
  EventSchema(const std::string& file, const std::string& text);

  const std::string& type() const { return type_; }
  const std::string& topic() const { return topic_; }             // empty: the schema names none
  const std::optional<JsonPointer>& key() const { return key_; }  // the member that becomes the message's key
  std::vector<Refusal> check(const nlohmann::json& event) const;  // empty: valid

 private:
  std::string type_;
  std::string topic_;
  std::optional<JsonPointer> key_;
  std::unique_ptr<JsonSchema> schema_;
};

// By event type.
using EventSchemas = std::map<std::string, std::unique_ptr<EventSchema>, std::less<>>;

// Reads every schema of a system. Throws UsageError naming all mistakes, one a line.
EventSchemas load_event_schemas(const std::string& schemas_directory, const std::string& system);

// Where the schemas are when --schemas doesn't say: ./schemas if it has the system, else what is installed
// beside the executable.
std::string default_schemas_directory(const std::string& system);

// The member a pointer names, or nullptr.
const nlohmann::json* find_member(const nlohmann::json& event, const JsonPointer& pointer);

}  // namespace daybook::publishing
