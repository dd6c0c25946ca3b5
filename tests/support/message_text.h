// A record as a text that people and fuzzers can edit, like an HTTP message: a head of lines, an empty line, the body.
//
//   @time 1790000000000       the record's timestamp
//   @topic 1                  the index of its topic
//   @key {"id": 7}            its key
//   @null ce_subject          a header without a value
//   ce_id: 7                  a header with one
//
//   {"any": "bytes"}
//
// Without an empty line the record has no value: a tombstone. Every byte string is a message.
#pragma once

#include <charconv>
#include <string_view>

#include "tests/support/referee.h"

namespace daybook::test {

// Refers to `text`.
inline Message read_message(std::string_view text) {
  Message message;
  const auto number_of = [](std::string_view digits, auto fallback) {
    std::from_chars(digits.data(), digits.data() + digits.size(), fallback);
    return fallback;
  };
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    if (line.empty()) {
      message.value = text;
      return message;
    }
    if (line.starts_with("@time ")) {
      message.timestamp_ms = number_of(line.substr(6), message.timestamp_ms);
    } else if (line.starts_with("@topic ")) {
      message.topic = number_of(line.substr(7), message.topic);
    } else if (line.starts_with("@key ")) {
      message.key = line.substr(5);
    } else if (line.starts_with("@null ")) {
      message.headers.push_back({line.substr(6), {}});
    } else if (const std::size_t colon = line.find(": "); colon != std::string_view::npos) {
      message.headers.push_back({line.substr(0, colon), line.substr(colon + 2)});
    } else {
      message.headers.push_back({line, line.substr(line.size())});
    }
  }
  return message;
}

}  // namespace daybook::test
