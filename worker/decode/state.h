// What an event says of rows that are states (`latest` and `log` views), and how its values are kept.
#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

#include "core/definition.h"
#include "worker/decode/json_event.h"

namespace daybook {

// Which of two states is the newer one, whatever the order they come in: total, since no two records share a place.
struct StateOrder {
  std::int64_t version = 0;  // `log`: always 0
  std::int32_t topic = 0;    // its place among the view's topics sorted by their names
  std::int32_t partition = 0;
  std::int64_t offset = 0;
  auto operator<=>(const StateOrder&) const = default;
};

// What one event says of one part of one row.
struct State {
  std::uint32_t key_begin = 0;  // the row's key: bytes of DecodedEvent::keys (row_key.h)
  std::uint32_t key_size = 0;
  std::uint32_t values_begin = 0;  // the part's values: bytes of DecodedEvent::values; none when it is gone
  std::uint32_t values_size = 0;
  std::uint32_t part = 0;
  bool gone = false;
  StateOrder order;
};

// A part's values, one after the other in the order of the columns, as a binary array of PostgreSQL has its elements:
// 4 bytes of size (big-endian; all ones: NULL), then the value in PostgreSQL's binary form. Decimals are their scaled
// integers, json is text.
namespace state_values {

// Appends the member's value; a member that is null or missing is NULL. False, with nothing appended, when it is no
// value of this column. `event` has the text of `value`, at `path`.
bool append(const ValueColumn& column, const MemberValue& value, JsonEvent& event, const MemberPath& path,
            std::string& out);
// What a value has to be, for a message.
std::string expected(const ValueColumn& column, TimeUnit unit);

// Takes the next value off `values`; nullopt: NULL.
std::optional<std::string_view> next(std::string_view& values);

}  // namespace state_values
}  // namespace daybook
