// What a row's events gave to one column that is no sum, and what the table has to show then; verify's own plain code.
// Pure.
#pragma once

#include <absl/numeric/int128.h>

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <tuple>

#include "core/definition.h"

namespace daybook::verify {

// Where a `last` stands among the others: event time, then topic, partition and offset.
using Order = std::tuple<std::int64_t, std::string, std::int32_t, std::int64_t>;

struct Gathered {
  bool any = false;
  bool doubtful = false;                       // it is uncertain what the worker had to take
  std::int64_t number = 0;                     // min, max; last: of its newest event
  Order newest;                                // last
  std::int64_t rivals = 0;                     // last: events with the newest's time
  std::set<std::int64_t> copied;               // last: times of events that came on another partition as well
  std::map<std::int64_t, std::int64_t> parts;  // quantile: events by bucket; distinct: rank by register

  void take(Aggregate aggregate, std::int64_t value, const Order& order);
  // The worker may have met another copy than the first: the order between events of one time is then uncertain.
  bool is_doubtful() const { return doubtful || (any && rivals > 1 && copied.contains(std::get<0>(newest))); }
};

// The bucket of a value, and the register of a text with its rank: register * 256 + rank. core/sketch.h describes them;
// this is computed another way.
std::int64_t bucket_of(std::int64_t value);
std::int64_t register_of(const std::string& text);

std::int64_t quantile_of(const Gathered& gathered, int millionths);
std::int64_t distinct_of(const Gathered& gathered);

// a / b rounded half away from zero, b not 0.
absl::int128 rounded(absl::int128 a, absl::int128 b);

// As PostgreSQL prints them: an integer, "7.25", "2026-11-23 18:05:00.25+00" of microseconds since 1970.
std::string number_text(absl::int128 scaled, int scale);
std::string time_text(std::int64_t micros);

// A decimal as JSON writes numbers, scaled; nullopt: it is none, or needs more digits than 18 or than the scale.
std::optional<std::int64_t> scaled_of(std::string_view text, int scale);

}  // namespace daybook::verify
