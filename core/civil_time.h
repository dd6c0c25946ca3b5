// Instants and civil days. The worker's hot path: no allocation, no locale, no clock.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace daybook {

// A day of the proleptic Gregorian calendar as days since 1970-01-01; years 1 to 9999 only.
using CivilDay = std::int32_t;

std::optional<CivilDay> civil_day(int year, int month, int day);
std::string to_string(CivilDay day);  // "2026-11-23"

// "2026-11-23". nullopt for anything else, impossible days included.
std::optional<CivilDay> parse_date(std::string_view text);

// RFC 3339 date-time with an offset ("2026-11-23T18:29:00.5+05:45", "...Z"): seconds since 1970 UTC, the
// fraction dropped (floor). A leap second (:60) is the second before it, so that it stays in its day.
// nullopt for anything else; a date-time without an offset names no instant.
std::optional<std::int64_t> parse_instant(std::string_view text);

// The same in microseconds; what lies behind the sixth digit of the fraction is dropped. Years 1 to
// 9999 in UTC.
std::optional<std::int64_t> parse_microseconds(std::string_view text);
// Microseconds since 1970 UTC, years 1 to 9999, as "2026-11-23T18:29:00.500000Z".
std::string microseconds_text(std::int64_t microseconds);

// "2026-11-23T18:00:00Z", of seconds since 1970 UTC within years 1 to 9999.
std::string utc_text(std::int64_t unix_seconds);

// The begin of the UTC minute of an instant; nullopt when it lies outside years 1 to 9999.
std::optional<std::int64_t> begin_of_minute(std::int64_t unix_seconds);

// Hours of one IANA time zone: civil hours, so that zones with half an hour begin theirs in the middle of UTC's. The
// two hours of one name when clocks go back are two. Not shared between threads.
class HourZone {
 public:
  // Throws StopError when the system's time-zone database has no such zone.
  explicit HourZone(const std::string& iana_name);
  ~HourZone();
  HourZone(HourZone&&) noexcept;
  HourZone& operator=(HourZone&&) noexcept;

  // Of an instant, both in seconds since 1970 UTC; nullopt when the begin lies outside years 1 to 9999.
  std::optional<std::int64_t> begin_of_hour(std::int64_t unix_seconds);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// Days of one IANA time zone. Answers are cached by the hour, so that the cost in a stream of events that
// are near to each other is a table look-up. Not shared between threads.
class DayZone {
 public:
  // Throws StopError when the system's time-zone database has no such zone.
  explicit DayZone(const std::string& iana_name);
  ~DayZone();
  DayZone(DayZone&&) noexcept;
  DayZone& operator=(DayZone&&) noexcept;

  // The civil day in this zone of an instant (seconds since 1970 UTC); nullopt outside years 1 to 9999.
  std::optional<CivilDay> day_of(std::int64_t unix_seconds);

  static bool exists(const std::string& iana_name);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace daybook
