#include "worker/decode/raw_json.h"

#include <algorithm>

namespace daybook {
namespace {

using simdjson::ondemand::json_type;

std::string_view trimmed(std::string_view text) {
  const auto is_space = [](char c) { return c == ' ' || c == '\n' || c == '\r' || c == '\t'; };
  while (!text.empty() && is_space(text.back())) text.remove_suffix(1);
  while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
  return text;
}

std::optional<std::string_view> text_of(simdjson::ondemand::value value) {
  const json_type type = value.type();
  if (type == json_type::object) {
    simdjson::ondemand::object object = value.get_object();
    return trimmed(object.raw_json());
  }
  if (type == json_type::array) {
    simdjson::ondemand::array array = value.get_array();
    return trimmed(array.raw_json());
  }
  return trimmed(value.raw_json_token());
}

std::optional<std::string_view> find_below(simdjson::ondemand::value value, const std::vector<std::string_view>& tokens,
                                           std::size_t depth) {
  if (depth == tokens.size()) return text_of(value);
  const std::string_view token = tokens[depth];
  const json_type type = value.type();
  if (type == json_type::object) {
    for (auto field : value.get_object()) {
      const std::string_view name = field.unescaped_key();
      if (name == token) return find_below(field.value(), tokens, depth + 1);
    }
  } else if (type == json_type::array) {
    // An index without leading zeros (RFC 6901).
    if (token.empty() || token.size() > 9 || (token[0] == '0' && token.size() > 1) ||
        !std::all_of(token.begin(), token.end(), [](char c) { return c >= '0' && c <= '9'; })) {
      return std::nullopt;
    }
    std::size_t left = std::stoul(std::string(token));
    for (auto element : value.get_array()) {
      if (left-- == 0) return find_below(element.value(), tokens, depth + 1);
    }
  }
  return std::nullopt;
}

}  // namespace

std::optional<std::string_view> RawJson::find(std::string_view document, std::size_t capacity,
                                              const std::vector<std::string_view>& tokens) {
  if (tokens.empty()) return trimmed(document);
  try {
    auto iterated = parser_.iterate(simdjson::padded_string_view(document.data(), document.size(), capacity));
    simdjson::ondemand::document root = std::move(iterated).take_value();
    simdjson::ondemand::value value = root.get_value();
    return find_below(value, tokens, 0);
  } catch (const simdjson::simdjson_error&) {
    return std::nullopt;  // a scalar document has no members
  }
}

}  // namespace daybook
