// A JSON text as it was written: members in order, duplicate names kept, so that each mistake in it can be
// named with its place. For what people write (definitions), not for events.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace daybook {

struct JsonNode {
  enum class Kind { null, boolean, integer, number, string, array, object };

  Kind kind = Kind::null;
  std::size_t order = 0;             // the how-manieth value of the text; a parent comes before its children
  const JsonNode* parent = nullptr;  // nullptr for the root
  std::string name;                  // the member's name; empty in arrays and for the root
  std::size_t index = 0;             // the place among the parent's children
  std::vector<const JsonNode*> children;

  bool boolean = false;
  std::int64_t integer = 0;  // Kind::integer: within int64
  double number = 0;         // Kind::number: any other number
  std::string text;          // a string's value; a number as written

  bool is(Kind wanted) const { return kind == wanted; }
  const JsonNode* member(std::string_view wanted) const;  // the first of this name, or nullptr
  std::string pointer() const;                            // JSON Pointer (RFC 6901); "" for the root
  std::string shown() const;  // for a message: scalars as JSON (shortened, ASCII only), else "an object" or "an array"
};

// Owns its nodes; they stay where they are.
struct JsonTree {
  std::deque<JsonNode> nodes;  // in the order of the text; the root comes first
};

// Why a text is no JSON that we read.
struct JsonProblem {
  std::string found;
  std::string expected;
};

// Refuses nesting deeper than `max_depth` containers.
std::variant<JsonTree, JsonProblem> parse_json_tree(std::string_view text, std::size_t max_depth);

// `text` in double quotes as a JSON string of ASCII characters only, cut after about 60 bytes.
std::string quoted_ascii(std::string_view text);

}  // namespace daybook
