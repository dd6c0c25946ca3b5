// How a record of a topic says what event it is: a view definition's member `envelope` (docs/envelopes.md).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "core/json_pointer.h"

namespace daybook {

// What a time is written in: text (RFC 3339), or a number of these since 1970-01-01 UTC.
enum class TimeUnit { text, seconds, milliseconds, microseconds, nanoseconds, days };

// Where a record has a value: a member of the event, or a header of the record (plain envelopes only).
struct Place : JsonPointer {
  std::string header;  // when not empty, the header of this name; the pointer is empty then
  TimeUnit unit = TimeUnit::text;

  Place() = default;
  Place(JsonPointer pointer) : JsonPointer(std::move(pointer)) {}  // a pointer is a place
  bool operator==(const Place&) const = default;
  // "member /data/x" or "header x", for messages.
  std::string shown() const { return header.empty() ? "member " + text : "header " + header; }
};

// What Debezium writes in place of a large value that an update left as it was (unavailable.value.placeholder).
inline constexpr std::string_view unavailable_value = "__debezium_unavailable_value";

struct Envelope {
  enum class Kind { cloudevents, debezium, plain };

  // A part of a plain envelope: a place, or the same text for all records of the topic, or nothing.
  struct Part {
    std::optional<Place> place;
    std::string constant;
    bool operator==(const Part&) const = default;
  };

  Kind kind = Kind::cloudevents;
  Part id, type, source;  // plain only; without an id the record's position is the identity, without a source its topic
  std::optional<Place> time;  // when the event happened; nothing: a plain envelope that does not say

  bool operator==(const Envelope&) const = default;
};

// The instant `number` units after 1970-01-01 00:00 UTC, in microseconds (floor); nothing outside the years 1 to 9999
// and for TimeUnit::text, which counts nothing.
std::optional<std::int64_t> instant_of(std::int64_t number, TimeUnit unit);

// "milliseconds since 1970", for messages.
const char* name_of(TimeUnit unit);

}  // namespace daybook
