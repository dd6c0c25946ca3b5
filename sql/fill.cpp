#include "sql/fill.h"

#include <stdexcept>

#include "sql/embedded.h"

namespace daybook::sql {

std::string join(const std::vector<std::string>& words, const std::string& separator) {
  std::string joined;
  for (const std::string& word : words) joined += (joined.empty() ? "" : separator) + word;
  return joined;
}

std::string fill(const std::string& name, const std::map<std::string, std::string>& values) {
  const std::string& text = embedded().at(name);
  std::string filled;
  std::size_t at = 0;
  for (;;) {
    const std::size_t open = text.find("{{", at);
    if (open == std::string::npos) return filled + text.substr(at);
    const std::size_t close = text.find("}}", open);
    const auto value = values.find(text.substr(open + 2, close - open - 2));
    if (value == values.end()) throw std::logic_error(name + ": no value for " + text.substr(open, close + 2 - open));
    filled += text.substr(at, open - at) + value->second;
    at = close + 2;
  }
}

}  // namespace daybook::sql
