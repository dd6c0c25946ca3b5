// JSON Pointer (RFC 6901): how a view definition names a member of an event.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace daybook {

struct JsonPointer {
  std::string text;                 // as written: "/data/facility_id"
  std::vector<std::string> tokens;  // unescaped: {"data", "facility_id"}; empty names the whole event

  bool operator==(const JsonPointer& other) const { return text == other.text; }
};

// nullopt when `text` is no JSON Pointer (neither empty nor starting with '/', or '~' not followed by 0 or 1).
std::optional<JsonPointer> parse_json_pointer(std::string_view text);

// One reference token, escaped for use in a pointer ("a/b" -> "a~1b").
std::string escape_pointer_token(std::string_view token);

}  // namespace daybook
