// Event schemas on valijson. Two keywords are taken out of its hands, because it would compile a regular
// expression for each value ("format") or run std::regex, which recurses, on values of any length ("pattern").
#include "producer/event_schemas.h"

#define VALIJSON_USE_EXCEPTIONS 1  // it aborts the process otherwise

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <regex>
#include <sstream>
#include <valijson/adapters/nlohmann_json_adapter.hpp>
#include <valijson/constraint_builder.hpp>
#include <valijson/constraints/concrete_constraints.hpp>
#include <valijson/schema.hpp>
#include <valijson/schema_parser.hpp>
#include <valijson/validation_results.hpp>
#include <valijson/validator.hpp>

#include "core/civil_time.h"
#include "core/error.h"
#include "producer/strict_json.h"

namespace daybook::publishing {
namespace {

using nlohmann::json;
namespace fs = std::filesystem;

constexpr std::size_t longest_pattern_subject = 4096;  // std::regex needs stack for each character
constexpr const char* format_keyword = "daybook-format";
constexpr const char* pattern_keyword = "daybook-pattern";

bool is_uuid(const std::string& text) {
  if (text.size() != 36) return false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool dash = i == 8 || i == 13 || i == 18 || i == 23;
    const unsigned char c = static_cast<unsigned char>(text[i]);
    if (dash ? c != '-' : !((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'))) return false;
  }
  return true;
}

// A keyword of ours on string values; others pass, as JSON Schema says.
template <typename Self>
class StringConstraint : public valijson::constraints::PolyConstraint {
 public:
  bool validate(const valijson::adapters::Adapter& target, const std::vector<std::string>& context,
                valijson::ValidationResults* results) const override {
    if (!target.isString()) return true;
    const Self& self = static_cast<const Self&>(*this);
    if (self.holds(target.asString())) return true;
    if (results != nullptr) results->pushError(context, "expected " + self.expectation());
    return false;
  }

 private:
  valijson::constraints::Constraint* cloneInto(void* memory) const override {
    return new (memory) Self(static_cast<const Self&>(*this));
  }
  std::size_t sizeOf() const override { return sizeof(Self); }
};

// Formats as the worker reads them. Unknown ones are annotations only.
class Format final : public StringConstraint<Format> {
 public:
  explicit Format(std::string name) : name_(std::move(name)) {}
  bool holds(const std::string& text) const {
    if (name_ == "date-time") return parse_instant(text).has_value();
    if (name_ == "date") return parse_date(text).has_value();
    if (name_ == "uuid") return is_uuid(text);
    return true;
  }
  std::string expectation() const {
    if (name_ == "date-time") return "a date-time with offset, as 2026-11-23T18:29:00+03:00";
    return name_ == "date" ? "a date, as 2026-11-23" : "a " + name_;
  }

 private:
  std::string name_;
};

class Pattern final : public StringConstraint<Pattern> {
 public:
  explicit Pattern(const std::string& pattern)
      : pattern_(pattern),
        regex_(std::make_shared<std::regex>(pattern, std::regex::ECMAScript | std::regex::optimize)) {}
  bool holds(const std::string& text) const {
    return text.size() <= longest_pattern_subject && std::regex_search(text, *regex_);
  }
  std::string expectation() const {
    return "a string of at most " + std::to_string(longest_pattern_subject) + " bytes that matches " + pattern_;
  }

 private:
  std::string pattern_;
  std::shared_ptr<const std::regex> regex_;
};

template <typename Constraint>
class Builder final : public valijson::ConstraintBuilder {
 public:
  valijson::constraints::Constraint* make(const valijson::adapters::Adapter& value) const override {
    return new Constraint(value.asString());
  }
};

// Renames the two keywords in every subschema, and nowhere else: names of members and plain values stay.
void rename_keywords(json& schema) {
  static const std::vector<std::string> named = {"properties", "patternProperties", "definitions", "dependencies"};
  static const std::vector<std::string> plain = {"const", "enum", "default", "examples", "required", "x-daybook"};
  if (schema.is_array()) {
    for (json& item : schema) rename_keywords(item);
  } else if (schema.is_object()) {
    for (auto& [keyword, value] : schema.items()) {
      if (std::find(plain.begin(), plain.end(), keyword) != plain.end()) continue;
      if (std::find(named.begin(), named.end(), keyword) != named.end()) {
        for (json& subschema : value) rename_keywords(subschema);
      } else {
        rename_keywords(value);
      }
    }
    for (const auto& [from, to] : {std::pair("format", format_keyword), std::pair("pattern", pattern_keyword)}) {
      const auto found = schema.find(from);
      if (found == schema.end()) continue;
      json value = std::move(*found);
      schema.erase(found);
      schema[to] = std::move(value);
    }
  }
}

// valijson's context is {"<root>", "[data]", "[quantity]"}.
std::string to_pointer(const std::vector<std::string>& context) {
  std::string pointer;
  for (std::size_t i = 1; i < context.size(); ++i) {
    const std::string& step = context[i];
    const bool bracketed = step.size() >= 2 && step.front() == '[' && step.back() == ']';
    pointer += "/" + escape_pointer_token(bracketed ? step.substr(1, step.size() - 2) : step);
  }
  return pointer;
}

// valijson reports each enclosing object too; those lines repeat what the inner one said.
bool is_repetition(const std::string& description) {
  return description.rfind("Failed to validate against schema associated with", 0) == 0;
}

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

struct EventSchema::Compiled {
  valijson::Schema schema;
  valijson::Validator validator;
};

EventSchema::EventSchema(const std::string& file, const std::string& text) : compiled_(std::make_unique<Compiled>()) {
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
  rename_keywords(document);
  try {
    valijson::SchemaParser parser(valijson::SchemaParser::kDraft7);
    parser.addConstraintBuilder(format_keyword, new Builder<Format>);
    parser.addConstraintBuilder(pattern_keyword, new Builder<Pattern>);
    parser.populateSchema(valijson::adapters::NlohmannJsonAdapter(document), compiled_->schema);
  } catch (const std::exception& error) {
    refuse(std::string("not a JSON Schema (draft 7): ") + error.what());
  }
}

EventSchema::~EventSchema() = default;

std::vector<Refusal> EventSchema::check(const json& event) const {
  const valijson::adapters::NlohmannJsonAdapter target(event);
  if (compiled_->validator.validate(compiled_->schema, target, nullptr)) return {};
  valijson::ValidationResults results;  // a second pass, for the reasons
  compiled_->validator.validate(compiled_->schema, target, &results);
  std::vector<Refusal> refusals;
  for (const valijson::ValidationResults::Error& error : results) {
    if (is_repetition(error.description)) continue;
    Refusal refusal{to_pointer(error.context), error.description};
    const std::optional<JsonPointer> pointer = parse_json_pointer(refusal.pointer);
    const json* value = pointer && !pointer->tokens.empty() ? find_member(event, *pointer) : nullptr;
    if (value != nullptr && !value->is_object()) refusal.reason = "found " + shown(*value) + ": " + refusal.reason;
    refusals.push_back(std::move(refusal));
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
