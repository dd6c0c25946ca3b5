// The one file that includes valijson, which takes long to compile. Two keywords are taken out of its hands, because
// it would compile a regular expression for each value ("format") or run std::regex, which recurses, on values of
// any length ("pattern").
#include "producer/json_schema.h"

#define VALIJSON_USE_EXCEPTIONS 1  // it aborts the process otherwise

#include <algorithm>
#include <regex>
#include <valijson/adapters/nlohmann_json_adapter.hpp>
#include <valijson/constraint_builder.hpp>
#include <valijson/constraints/concrete_constraints.hpp>
#include <valijson/schema.hpp>
#include <valijson/schema_parser.hpp>
#include <valijson/validation_results.hpp>
#include <valijson/validator.hpp>

#include "core/civil_time.h"
#include "core/json_pointer.h"

namespace daybook::publishing {
namespace {

using nlohmann::json;

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

}  // namespace

struct JsonSchema::Compiled {
  valijson::Schema schema;
  valijson::Validator validator;
};

JsonSchema::JsonSchema(json document) : compiled_(std::make_unique<Compiled>()) {
  rename_keywords(document);
  valijson::SchemaParser parser(valijson::SchemaParser::kDraft7);
  parser.addConstraintBuilder(format_keyword, new Builder<Format>);
  parser.addConstraintBuilder(pattern_keyword, new Builder<Pattern>);
  parser.populateSchema(valijson::adapters::NlohmannJsonAdapter(document), compiled_->schema);
}

JsonSchema::~JsonSchema() = default;

bool JsonSchema::accepts(const json& value) const {
  const valijson::adapters::NlohmannJsonAdapter target(value);
  return compiled_->validator.validate(compiled_->schema, target, nullptr);
}

std::vector<Refusal> JsonSchema::refusals(const json& value) const {
  const valijson::adapters::NlohmannJsonAdapter target(value);
  valijson::ValidationResults results;
  compiled_->validator.validate(compiled_->schema, target, &results);
  std::vector<Refusal> refusals;
  for (const valijson::ValidationResults::Error& error : results) {
    if (!is_repetition(error.description)) refusals.push_back({to_pointer(error.context), error.description});
  }
  return refusals;
}

}  // namespace daybook::publishing
