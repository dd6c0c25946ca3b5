#include "verify/event.h"

#include <algorithm>
#include <cctype>

namespace daybook::verify {
namespace {

using nlohmann::json;

// Builds the value while it is read and refuses what json::parse would let through: a member name given twice
// (the last one would win) and nesting without a bound.
class StrictBuilder : public nlohmann::json_sax<json> {
 public:
  explicit StrictBuilder(bool fractions_as_text) : fractions_as_text_(fractions_as_text) {}

  json root;
  std::string mistake;

  bool null() override { return put(nullptr); }
  bool boolean(bool value) override { return put(value); }
  bool number_integer(number_integer_t value) override { return put(value); }
  bool number_unsigned(number_unsigned_t value) override { return put(value); }
  bool number_float(number_float_t value, const string_t& text) override {
    if (text.find_first_of(".eE") == string_t::npos) {
      mistake = "the integer " + text.substr(0, 80) + " does not fit 64 bits";
      return false;
    }
    return fractions_as_text_ ? put(text) : put(value);
  }
  bool string(string_t& value) override { return put(std::move(value)); }
  bool binary(binary_t&) override { return false; }
  bool start_object(std::size_t) override { return open(json::object()); }
  bool start_array(std::size_t) override { return open(json::array()); }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }

  bool key(string_t& name) override {
    const auto [place, is_new] = open_.back()->get_ref<json::object_t&>().emplace(name, nullptr);
    if (!is_new) {
      mistake = "member \"" + name + "\" is given twice in one object";
      return false;
    }
    member_ = &place->second;
    return true;
  }

  bool parse_error(std::size_t, const std::string&, const nlohmann::detail::exception& error) override {
    mistake = error.what();
    return false;
  }

 private:
  // Where the next value goes: the root, the end of the open array, or the member just named.
  // nullptr when that is too deep.
  json* place(json value) {
    if (open_.size() > max_depth) {
      mistake = "a value inside more than " + std::to_string(max_depth) + " objects and arrays";
      return nullptr;
    }
    json* target = &root;
    if (!open_.empty()) {
      target = open_.back()->is_array() ? &open_.back()->emplace_back() : member_;
    }
    *target = std::move(value);
    return target;
  }
  bool put(json value) { return place(std::move(value)) != nullptr; }
  bool open(json empty) {
    json* container = place(std::move(empty));
    if (container != nullptr) open_.push_back(container);
    return container != nullptr;
  }
  bool close() {
    open_.pop_back();
    return true;
  }

  // Stays valid: while a container is open nothing is added to the containers around it.
  std::vector<json*> open_;
  json* member_ = nullptr;
  const bool fractions_as_text_;
};

bool equal_ignoring_case(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](unsigned char x, unsigned char y) { return std::tolower(x) == std::tolower(y); });
}

bool begins_ignoring_case(std::string_view text, std::string_view prefix) {
  return equal_ignoring_case(text.substr(0, prefix.size()), prefix);
}

bool is_utf8(std::string_view text) {
  try {
    json(std::string(text)).dump();  // throws for what is no UTF-8
    return true;
  } catch (const json::type_error&) {
    return false;
  }
}

// Binary mode: attributes are headers named ce_*, the body is the data.
std::variant<json, Rejection> read_binary(const LogRecord& record, json body) {
  json event = json::object();
  for (const auto& [name, value] : record.headers) {
    if (name.substr(0, 3) != "ce_") continue;
    if (!is_utf8(value)) return Rejection{"envelope", "header " + std::string(name) + " is no UTF-8"};
    event[std::string(name.substr(3))] = std::string(value);
  }
  event["data"] = std::move(body);
  return event;
}

std::optional<Rejection> check_attributes(const json& event) {
  if (!event.is_object()) return Rejection{"envelope", "the body is no JSON object"};
  for (const char* name : {"specversion", "id", "source", "type"}) {
    const auto found = event.find(name);
    if (found == event.end() || !found->is_string() || found->get_ref<const std::string&>().empty()) {
      return Rejection{"envelope", std::string("/") + name + " is missing, empty or no string"};
    }
  }
  if (event["specversion"] != "1.0") return Rejection{"envelope", "/specversion is not \"1.0\""};
  return std::nullopt;
}

}  // namespace

std::variant<json, Rejection> parse_json(std::string_view text, bool fractions_as_text) {
  // A zero byte is never part of JSON text, yet nlohmann_json takes it for the end of the input.
  if (text.find('\0') != std::string_view::npos) return Rejection{"malformed", "a zero byte"};
  // It also passes over a byte order mark, which RFC 8259 forbids to write.
  if (text.substr(0, 3) == "\xEF\xBB\xBF") return Rejection{"malformed", "a byte order mark"};
  StrictBuilder builder(fractions_as_text);
  if (!json::sax_parse(text.begin(), text.end(), &builder)) return Rejection{"malformed", builder.mistake};
  return std::move(builder.root);
}

std::variant<json, Rejection> read_event(const LogRecord& record,
                                         const std::function<bool(const std::string&)>& reads_type,
                                         bool fractions_as_text) {
  std::variant<json, Rejection> parsed = parse_json(*record.value, fractions_as_text);
  if (std::holds_alternative<Rejection>(parsed)) return parsed;
  json& body = std::get<json>(parsed);
  if (!check_attributes(body) && reads_type(body["type"].get_ref<const std::string&>())) return parsed;

  bool is_structured = false;
  bool has_attributes = false;
  for (const auto& [name, value] : record.headers) {
    if (name.substr(0, 3) == "ce_") has_attributes = true;
    if (!equal_ignoring_case(name, "content-type")) continue;
    if (begins_ignoring_case(value, "application/cloudevents-batch")) return Rejection{"envelope", "a batch of events"};
    if (begins_ignoring_case(value, "application/cloudevents")) is_structured = true;
  }
  std::variant<json, Rejection> event =
      has_attributes && !is_structured ? read_binary(record, std::move(body)) : std::move(parsed);
  if (std::holds_alternative<Rejection>(event)) return event;
  if (std::optional<Rejection> rejection = check_attributes(std::get<json>(event))) return std::move(*rejection);
  return event;
}

const json* find_member(const json& event, const JsonPointer& pointer) {
  const json* at = &event;
  for (const std::string& token : pointer.tokens) {
    if (at->is_object()) {
      const auto found = at->find(token);
      if (found == at->end()) return nullptr;
      at = &*found;
    } else if (at->is_array()) {
      // RFC 6901: digits without a leading zero.
      const bool digits =
          !token.empty() && token.size() <= 9 && token.find_first_not_of("0123456789") == std::string::npos;
      if (!digits || (token.size() > 1 && token[0] == '0')) return nullptr;
      const std::size_t index = std::stoul(token);
      if (index >= at->size()) return nullptr;
      at = &(*at)[index];
    } else {
      return nullptr;
    }
  }
  return at;
}

}  // namespace daybook::verify
