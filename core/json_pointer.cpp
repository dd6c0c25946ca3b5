#include "core/json_pointer.h"

namespace daybook {

std::optional<JsonPointer> parse_json_pointer(std::string_view text) {
  JsonPointer pointer{std::string(text), {}};
  if (text.empty()) return pointer;
  if (text.front() != '/') return std::nullopt;
  std::string token;
  for (std::size_t i = 1; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '/') {
      pointer.tokens.push_back(std::move(token));
      token.clear();
    } else if (c == '~') {
      if (++i == text.size() || (text[i] != '0' && text[i] != '1')) return std::nullopt;
      token.push_back(text[i] == '0' ? '~' : '/');
    } else {
      token.push_back(c);
    }
  }
  pointer.tokens.push_back(std::move(token));
  return pointer;
}

std::string escape_pointer_token(std::string_view token) {
  std::string escaped;
  for (const char c : token) {
    if (c == '~') {
      escaped += "~0";
    } else if (c == '/') {
      escaped += "~1";
    } else {
      escaped.push_back(c);
    }
  }
  return escaped;
}

}  // namespace daybook
