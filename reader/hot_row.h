// Makes the ready answers of a row. Pure.
#pragma once

#include <string>

#include "reader/rows.h"

namespace daybook::reader {

// What all answers of one view share.
struct AnswerStyle {
  explicit AnswerStyle(std::string view, std::string cache_control = "no-cache");

  std::string view;
  std::string cache_control;
  std::shared_ptr<const std::string> row_begin;  // how each row's head begins
};

// The same bytes have the same tag in every reader: 128 bits of a hash whose key never changes.
std::string etag_of(std::string_view body);

// A row that is there, or one carried forward. `json` is the body, byte for byte.
HotRowPtr make_row(const AnswerStyle& style, HotRow::Kind kind, std::string json);
// The 404. It is the same for all keys of a view: make it once, share it.
HotRowPtr make_absent(const AnswerStyle& style);

// What it takes in memory, about.
std::size_t bytes_of(const HotRow& row);

}  // namespace daybook::reader
