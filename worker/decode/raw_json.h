// The text of a member of a JSON document as it was written: a number with all its digits, which a parsed double has
// lost. For the few columns that need it; everything else reads the parsed document.
#pragma once

#include <simdjson.h>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace daybook {

// Not shared between threads: it keeps parser memory.
class RawJson {
 public:
  // `document` is valid JSON without a member name twice in one object, and at least simdjson::SIMDJSON_PADDING bytes
  // behind it may be read (`capacity` counts them). `tokens`: from the document's root, unescaped. Without white space
  // at the ends; nullopt: there is no such member.
  std::optional<std::string_view> find(std::string_view document, std::size_t capacity,
                                       const std::vector<std::string_view>& tokens);

 private:
  simdjson::ondemand::parser parser_;
};

}  // namespace daybook
