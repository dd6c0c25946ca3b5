// A record of the log read as a CloudEvent, by verify's own plain code: a strict JSON reader on
// nlohmann_json and the two modes of the CloudEvents Kafka binding. Shares nothing with worker/decode, so
// that a mistake there shows as a difference here.
#pragma once

#include <cstdint>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "core/error.h"
#include "core/json_pointer.h"

namespace daybook::verify {

// What verify needs to know of a record. The views live as long as the caller's bytes do.
struct LogRecord {
  std::string_view topic;
  std::int32_t partition = 0;
  std::int64_t offset = 0;
  std::int64_t timestamp_ms = -1;  // the log's own time; -1: none
  std::vector<std::pair<std::string_view, std::string_view>> headers;
  std::optional<std::string_view> value;  // nullopt: a tombstone
};

// How many objects and arrays may stand around a value of an event.
inline constexpr std::size_t max_depth = 1023;

// The JSON value of `text`, or what is wrong with it (code "malformed"): no JSON, no UTF-8, a member name twice
// in one object, too deep, a number beyond a double, an integer beyond 64 bits.
// With `fractions_as_text` a number with a point or an exponent is the string of its digits as they were written.
std::variant<nlohmann::json, Rejection> parse_json(std::string_view text, bool fractions_as_text = false);

// The event in its structured form, whichever mode it came in, with the required attributes checked (code
// "envelope"). The record's value must be there. A body that is by itself a complete event of a type that the view
// reads is that event, whatever the headers say; all else is judged by its headers.
std::variant<nlohmann::json, Rejection> read_event(const LogRecord& record,
                                                   const std::function<bool(const std::string&)>& reads_type,
                                                   bool fractions_as_text = false);

// The member that `pointer` names; nullptr when there is none.
const nlohmann::json* find_member(const nlohmann::json& event, const JsonPointer& pointer);

}  // namespace daybook::verify
