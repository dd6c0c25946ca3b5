#include "core/json_tree.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>

#include "core/json_pointer.h"

namespace daybook {
namespace {

// Builds a JsonTree from nlohmann's events. A handler that returns false ends the parse.
class TreeBuilder {
 public:
  using number_integer_t = nlohmann::json::number_integer_t;
  using number_unsigned_t = nlohmann::json::number_unsigned_t;
  using number_float_t = nlohmann::json::number_float_t;
  using string_t = nlohmann::json::string_t;
  using binary_t = nlohmann::json::binary_t;

  TreeBuilder(std::string_view text, std::size_t max_depth) : text_(text), max_depth_(max_depth) {}

  JsonTree tree;
  std::optional<JsonProblem> problem;

  bool null() {
    add(JsonNode::Kind::null);
    return true;
  }
  bool boolean(bool value) {
    add(JsonNode::Kind::boolean).boolean = value;
    return true;
  }
  bool number_integer(number_integer_t value) {
    JsonNode& node = add(JsonNode::Kind::integer);
    node.integer = value;
    node.text = std::to_string(value);
    return true;
  }
  bool number_unsigned(number_unsigned_t value) {
    if (value <= static_cast<number_unsigned_t>(INT64_MAX)) return number_integer(static_cast<number_integer_t>(value));
    return number_float(static_cast<number_float_t>(value), std::to_string(value));
  }
  bool number_float(number_float_t value, const string_t& written) {
    JsonNode& node = add(JsonNode::Kind::number);
    node.number = value;
    node.text = written;
    return true;
  }
  bool string(string_t& value) {
    add(JsonNode::Kind::string).text = std::move(value);
    return true;
  }
  bool binary(binary_t&) { return false; }  // JSON text has none
  bool key(string_t& name) {
    name_ = std::move(name);
    return true;
  }
  bool start_object(std::size_t) { return open(JsonNode::Kind::object); }
  bool start_array(std::size_t) { return open(JsonNode::Kind::array); }
  bool end_object() { return close(); }
  bool end_array() { return close(); }

  bool parse_error(std::size_t position, const std::string&, const nlohmann::detail::exception& error) {
    problem = describe(position, error.what());
    return false;
  }

 private:
  JsonNode& add(JsonNode::Kind kind) {
    JsonNode& node = tree.nodes.emplace_back();
    node.kind = kind;
    node.order = tree.nodes.size() - 1;
    if (!open_.empty()) {
      JsonNode* parent = open_.back();
      node.parent = parent;
      node.index = parent->children.size();
      if (parent->is(JsonNode::Kind::object)) node.name = std::move(name_);
      parent->children.push_back(&node);
    }
    return node;
  }

  bool open(JsonNode::Kind kind) {
    if (open_.size() == max_depth_) {
      problem = JsonProblem{"nesting deeper than " + std::to_string(max_depth_) + " levels",
                            "at most " + std::to_string(max_depth_)};
      return false;
    }
    open_.push_back(&add(kind));
    return true;
  }

  bool close() {
    open_.pop_back();
    return true;
  }

  // `what` reads "[json.exception…] parse error at line 3, column 5: syntax error while parsing object key -
  // unexpected '}'; expected string literal"; of a number that is too large it names no line.
  JsonProblem describe(std::size_t position, std::string what) const {
    const std::string_view read = text_.substr(0, position == 0 ? 0 : position - 1);
    const auto line = 1 + std::count(read.begin(), read.end(), '\n');
    const std::size_t line_start = read.rfind('\n') == std::string_view::npos ? 0 : read.rfind('\n') + 1;
    const std::string place =
        "line " + std::to_string(line) + ", column " + std::to_string(read.size() - line_start + 1) + ": ";
    for (const std::string_view before : {"] ", ": ", " - "}) {
      if (const std::size_t at = what.find(before); at != std::string::npos && at < 120)
        what.erase(0, at + before.size());
    }
    std::string expected = "JSON";
    if (const std::size_t at = what.find("; expected "); at != std::string::npos) {
      expected = what.substr(at + 11);
      what.erase(at);
    }
    // Both may quote what was read: of any length, and any bytes.
    for (std::string* words : {&what, &expected}) {
      if (words->size() > 200) *words = words->substr(0, 200) + "...";
      for (char& c : *words) {
        if (const auto byte = static_cast<unsigned char>(c); byte < 0x20 || byte > 0x7e) c = '?';
      }
    }
    return JsonProblem{place + what, expected};
  }

  std::string_view text_;
  std::size_t max_depth_;
  std::vector<JsonNode*> open_;
  std::string name_;
};

}  // namespace

const JsonNode* JsonNode::member(std::string_view wanted) const {
  if (kind != Kind::object) return nullptr;
  const auto found =
      std::find_if(children.begin(), children.end(), [&](const JsonNode* c) { return c->name == wanted; });
  return found == children.end() ? nullptr : *found;
}

std::string JsonNode::pointer() const {
  if (parent == nullptr) return "";
  const bool in_object = parent->is(Kind::object);
  return parent->pointer() + "/" + (in_object ? escape_pointer_token(name) : std::to_string(index));
}

std::string JsonNode::shown() const {
  switch (kind) {
    case Kind::null:
      return "null";
    case Kind::boolean:
      return boolean ? "true" : "false";
    case Kind::integer:
    case Kind::number:
      return text.size() > 60 ? text.substr(0, 60) + "..." : text;
    case Kind::string:
      return quoted_ascii(text);
    case Kind::array:
      return children.empty() ? "an empty array" : "an array";
    case Kind::object:
      return children.empty() ? "an empty object" : "an object";
  }
  return "";
}

std::variant<JsonTree, JsonProblem> parse_json_tree(std::string_view text, std::size_t max_depth) {
  TreeBuilder builder(text, max_depth);
  nlohmann::json::sax_parse(text.begin(), text.end(), &builder);
  if (builder.problem) return *std::move(builder.problem);
  // nlohmann_json takes a zero byte for the end of the text and does not look at what follows.
  if (text.find('\0') != std::string_view::npos) return JsonProblem{"a zero byte", "JSON text, which has none"};
  return std::move(builder.tree);
}

std::string quoted_ascii(std::string_view text) {
  const bool cut = text.size() > 60;
  std::size_t length = cut ? 60 : text.size();
  while (cut && length > 0 && (static_cast<unsigned char>(text[length]) & 0xc0) == 0x80) --length;
  const nlohmann::json value(std::string(text.substr(0, length)) + (cut ? "..." : ""));
  return value.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
}

}  // namespace daybook
