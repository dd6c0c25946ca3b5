// The values that a view takes from events, by verify's own plain code: integers, key columns as PostgreSQL
// prints them, conditions. Civil time is absl's; core/civil_time is not used.
#pragma once

#include <absl/time/time.h>

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "core/definition.h"

namespace daybook::verify {

// A JSON integer of 64 bits, or a number without fraction of at most 2^53 (5.0 is 5).
std::optional<std::int64_t> integer_of(const nlohmann::json& value);

// "0F8FAD5B-D9CB-469F-A165-70867728950E" in lower case; nullopt for any other form than 8-4-4-4-12.
std::optional<std::string> uuid_of(std::string_view text);

// "2026-11-23": that day. An RFC 3339 date-time with an offset: the civil day of that instant in `zone`, with the
// instant. nullopt for anything else and outside the years 1 to 9999.
struct Day {
  absl::CivilDay day;
  std::optional<std::int64_t> instant;  // seconds since 1970 UTC, the fraction dropped
};
std::optional<Day> day_of(std::string_view text, const absl::TimeZone& zone);

// An RFC 3339 date-time with an offset: seconds since 1970 UTC, the fraction dropped.
std::optional<std::int64_t> instant_of(std::string_view text);

// The time so many units after 1970 (never TimeUnit::text); infinite when that is too far away.
absl::Time time_of(std::int64_t count, TimeUnit unit);
// Seconds since 1970 UTC, the fraction dropped: of a date-time with an offset, or of a count of units since 1970 within
// the years 1 to 9999 in UTC.
std::optional<std::int64_t> instant_of(const nlohmann::json& value, TimeUnit unit);
// As day_of() of a time that counts units since 1970 (never TimeUnit::text).
std::optional<Day> day_of(const nlohmann::json& count, TimeUnit unit, const absl::TimeZone& zone);

// The begin of the hour of `zone`, or of the minute, that an instant (seconds since 1970 UTC) is in, as PostgreSQL
// prints it in UTC ("2026-11-23 18:00:00+00"). nullopt when it lies outside the years 1 to 9999.
std::optional<std::string> begin_of(std::int64_t instant, KeyType type, const absl::TimeZone& zone);

// "2026-11-23", as PostgreSQL prints a date.
std::string iso_date(absl::CivilDay day);

// Whether `condition` holds for `member` (nullptr: missing, which counts as null).
bool holds(const Condition& condition, const nlohmann::json* member);

}  // namespace daybook::verify
