// What became of a request, for metrics and the log of slow ones. Pure.
#pragma once

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

#include "core/definition.h"
#include "reader/rows.h"

namespace daybook::reader {

struct Served {
  const ViewDefinition* view = nullptr;  // null: none, or one that must not be told of
  std::string_view route;                // row, list, changes, views, openapi, none
  unsigned status = 0;
  bool is_hit = false;                           // answered from memory
  std::string_view path;                         // as sent
  std::string_view key = {};                     // of a row: as core/row_key.h has it; empty: it was not read
  const std::vector<Filter>* filters = nullptr;  // of a list
  std::chrono::milliseconds age{0};              // that the answer guaranteed
  Cost cost = {};
};

// The log's line: what was asked for, as far as it was understood, and where the time went.
std::string slow_request(const Served& served, std::chrono::nanoseconds duration);

}  // namespace daybook::reader
