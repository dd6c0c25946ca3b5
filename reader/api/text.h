// Percent-encoding and query strings (RFC 3986), read strictly. Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace daybook::reader {

// Nothing when a '%' is not followed by two hexadecimal digits.
std::optional<std::string> decode_percent(std::string_view text);
// All but A-Z, a-z, 0-9, '-', '.', '_' and '~' becomes %XX.
std::string encode_percent(std::string_view text);

using Parameters = std::vector<std::pair<std::string, std::string>>;
// "a=1&b=2", in order, decoded; in values '+' is a space, as forms write it. Nothing for a wrong encoding, a parameter
// without a name or without '='.
std::optional<Parameters> read_parameters(std::string_view query);

// UTF-8 without overlong forms, surrogates and U+0000.
bool is_plain_utf8(std::string_view text);

}  // namespace daybook::reader
