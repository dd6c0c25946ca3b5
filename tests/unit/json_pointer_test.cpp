// JSON Pointer (RFC 6901).
#include "core/json_pointer.h"

#include <doctest/doctest.h>

#include <random>

namespace daybook {
namespace {

using Tokens = std::vector<std::string>;

Tokens tokens(std::string_view text) {
  const std::optional<JsonPointer> pointer = parse_json_pointer(text);
  REQUIRE_MESSAGE(pointer.has_value(), text);
  CHECK(pointer->text == text);
  return pointer->tokens;
}

TEST_CASE("pointers as RFC 6901 has them") {
  CHECK(tokens("") == Tokens{});
  CHECK(tokens("/") == Tokens{""});
  CHECK(tokens("//") == Tokens{"", ""});
  CHECK(tokens("/foo") == Tokens{"foo"});
  CHECK(tokens("/foo/0") == Tokens{"foo", "0"});
  CHECK(tokens("/foo/") == Tokens{"foo", ""});
  CHECK(tokens("/a~1b") == Tokens{"a/b"});
  CHECK(tokens("/m~0n") == Tokens{"m~n"});
  CHECK(tokens("/~01") == Tokens{"~1"});  // not "/": ~0 is read once
  CHECK(tokens("/~10") == Tokens{"/0"});
  CHECK(tokens("/c%d") == Tokens{"c%d"});
  CHECK(tokens("/ ") == Tokens{" "});
  CHECK(tokens("/k\"l/i\\j/ü") == Tokens{"k\"l", "i\\j", "ü"});
  CHECK(tokens(std::string_view("/a\0b", 4)) == Tokens{std::string("a\0b", 3)});
}

TEST_CASE("what is no pointer") {
  for (const char* text :
       {"a", "a/b", "data/quantity", "#/a", "$.a", " /a", "~0", "/~", "/a~", "/~2", "/~a", "/a/~/b", "/~~"}) {
    CHECK_MESSAGE(!parse_json_pointer(text).has_value(), text);
  }
}

TEST_CASE("escaped tokens come back") {
  CHECK(escape_pointer_token("") == "");
  CHECK(escape_pointer_token("a/b~c") == "a~1b~0c");
  std::mt19937 random(6901);
  for (int i = 0; i < 10'000; ++i) {
    Tokens written(random() % 5);
    std::string text;
    for (std::string& token : written) {
      for (std::size_t n = random() % 6; n > 0; --n) token += "~/01a "[random() % 6];
      text += "/" + escape_pointer_token(token);
    }
    REQUIRE(tokens(text) == written);
  }
}

}  // namespace
}  // namespace daybook
