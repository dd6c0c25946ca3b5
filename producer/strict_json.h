// JSON as the worker will accept it: valid UTF-8, no member name twice in an object, not nested too deeply.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace daybook {

// simdjson's own bound is 1,024; what is published has to be below what any reader takes.
inline constexpr std::size_t max_json_depth = 1000;

// Parses `text` once. On failure returns false and says why in `reason`; `out` is undefined then.
bool parse_strict_json(std::string_view text, nlohmann::json& out, std::string& reason);

}  // namespace daybook
