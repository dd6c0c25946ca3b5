// What a source's rule takes from events beyond whole numbers that are added up: decimals, and the values of columns
// that are no sums. Compiled from the definition; read by the decoder.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>

#include "core/aggregates.h"
#include "core/definition.h"
#include "worker/decode/json_event.h"

namespace daybook {

struct ValueRule {
  MemberPath path;
  std::string pointer;  // as written, for messages
  Aggregate aggregate;
  ColumnType type;
  int scale;
  int sign;              // of an amount
  std::uint32_t column;  // of the view
  std::uint32_t sum;     // the first cell, when it is added up
};

// The number that `value`, found at the rule's path, is for its column: an integer within the column's type, or scaled.
std::optional<std::int64_t> number_of(const ValueRule& rule, JsonEvent& event, const MemberValue& value);
// What number_of() expects, for messages.
std::string number_expected(const ValueRule& rule);

// The entry of a sketch of distinct values; nullopt for what is neither a string nor an integer.
std::optional<std::int64_t> distinct_entry(const MemberValue& value);

}  // namespace daybook
