#include "worker/decode/raw_json.h"

#include <algorithm>

namespace daybook {
namespace {

// Walks over text that was found to be valid JSON before: no mistake is looked for.
class Walker {
 public:
  explicit Walker(std::string_view text) : text_(text) {}

  // The next byte that is no white space; 0 at the end.
  char peek() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\n' || text_[at_] == '\r' || text_[at_] == '\t'))
      ++at_;
    return at_ < text_.size() ? text_[at_] : '\0';
  }
  void step() { ++at_; }

  // The string that begins here, with its quotes.
  std::string_view string() {
    const std::size_t begin = at_++;
    while (at_ < text_.size() && text_[at_] != '"') at_ += text_[at_] == '\\' ? 2 : 1;
    return text_.substr(begin, ++at_ - begin);
  }

  // The value that begins here.
  std::string_view value() {
    const char first = peek();
    const std::size_t begin = at_;
    if (first == '"') return string();
    if (first != '{' && first != '[') {
      at_ = std::min(text_.find_first_of(",]} \n\r\t", at_), text_.size());
      return text_.substr(begin, at_ - begin);
    }
    for (std::size_t depth = 0; at_ < text_.size();) {
      const char c = text_[at_];
      if (c == '"') {
        string();
        continue;
      }
      ++at_;
      if (c == '{' || c == '[') ++depth;
      if ((c == '}' || c == ']') && --depth == 0) break;
    }
    return text_.substr(begin, at_ - begin);
  }

 private:
  std::string_view text_;
  std::size_t at_ = 0;
};

// Whether a name, with its quotes, is this token.
bool is_name(std::string_view quoted, std::string_view token, simdjson::ondemand::parser& parser) {
  if (quoted.find('\\') == std::string_view::npos) return quoted.substr(1, quoted.size() - 2) == token;
  const simdjson::padded_string copy(quoted);
  simdjson::ondemand::document document;
  std::string_view name;
  return parser.iterate(copy).get(document) == simdjson::SUCCESS &&
         document.get_string().get(name) == simdjson::SUCCESS && name == token;
}

}  // namespace

std::optional<std::string_view> RawJson::find(std::string_view document, std::size_t,
                                              const std::vector<std::string_view>& tokens) {
  Walker walker(document);
  for (const std::string_view token : tokens) {
    const char first = walker.peek();
    if (first != '{' && first != '[') return std::nullopt;
    const char last = first == '{' ? '}' : ']';
    walker.step();
    // An index has no leading zeros (RFC 6901).
    std::size_t skip = 0;
    if (first == '[') {
      if (token.empty() || token.size() > 9 || (token[0] == '0' && token.size() > 1) ||
          !std::all_of(token.begin(), token.end(), [](char c) { return c >= '0' && c <= '9'; })) {
        return std::nullopt;
      }
      skip = std::stoul(std::string(token));
    }
    for (;; walker.step()) {  // over the comma
      if (walker.peek() == last) return std::nullopt;
      if (first == '{') {
        const bool is_it = is_name(walker.string(), token, parser_);
        walker.peek();
        walker.step();  // over the colon
        if (is_it) break;
      } else if (skip-- == 0) {
        break;
      }
      walker.value();
      if (walker.peek() == last) return std::nullopt;
    }
  }
  return walker.value();
}

}  // namespace daybook
