#include "core/civil_time.h"

#include <absl/time/civil_time.h>
#include <absl/time/time.h>

#include <cstdio>

#include "core/error.h"

namespace daybook {
namespace {

constexpr CivilDay first_day = -719162;  // 0001-01-01
constexpr CivilDay last_day = 2932896;   // 9999-12-31
constexpr std::int64_t seconds_a_day = 86400;

// Days since 1970-01-01 (Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms").
constexpr CivilDay days_from_civil(int y, int m, int d) {
  y -= m <= 2;
  const int era = (y >= 0 ? y : y - 399) / 400;
  const int year_of_era = y - era * 400;
  const int day_of_year = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;
  const int day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
  return era * 146097 + day_of_era - 719468;
}
static_assert(days_from_civil(1970, 1, 1) == 0);
static_assert(days_from_civil(1, 1, 1) == first_day);
static_assert(days_from_civil(9999, 12, 31) == last_day);

constexpr bool is_leap(int year) { return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0); }

constexpr int days_in_month(int year, int month) {
  constexpr int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  return month == 2 && is_leap(year) ? 29 : days[month - 1];
}

StopError no_such_zone(const std::string& iana_name) {
  return StopError("time zone " + iana_name +
                   " is not in this system's time-zone database: install tzdata or correct the name");
}

std::int64_t floor_to(std::int64_t value, std::int64_t unit) {
  return (value >= 0 ? value / unit : (value - unit + 1) / unit) * unit;
}

std::optional<std::int64_t> within_years(std::int64_t unix_seconds) {
  if (unix_seconds < first_day * seconds_a_day || unix_seconds >= (last_day + 1) * seconds_a_day) return std::nullopt;
  return unix_seconds;
}

// Two decimal digits, or -1.
int two_digits(const char* p) {
  const unsigned tens = static_cast<unsigned char>(p[0]) - '0';
  const unsigned ones = static_cast<unsigned char>(p[1]) - '0';
  return tens > 9 || ones > 9 ? -1 : static_cast<int>(tens * 10 + ones);
}

}  // namespace

std::optional<CivilDay> civil_day(int year, int month, int day) {
  if (year < 1 || year > 9999 || month < 1 || month > 12 || day < 1 || day > days_in_month(year, month))
    return std::nullopt;
  return days_from_civil(year, month, day);
}

std::string to_string(CivilDay day) {
  const absl::CivilDay civil = absl::CivilDay(1970, 1, 1) + day;
  char text[40];
  std::snprintf(text, sizeof text, "%04lld-%02d-%02d", static_cast<long long>(civil.year()), civil.month(),
                civil.day());
  return text;
}

std::optional<CivilDay> parse_date(std::string_view text) {
  if (text.size() != 10 || text[4] != '-' || text[7] != '-') return std::nullopt;
  const int century = two_digits(text.data());
  const int year = two_digits(text.data() + 2);
  const int month = two_digits(text.data() + 5);
  const int day = two_digits(text.data() + 8);
  if (century < 0 || year < 0 || month < 0 || day < 0) return std::nullopt;
  return civil_day(century * 100 + year, month, day);
}

std::optional<std::int64_t> parse_instant(std::string_view text) {
  // YYYY-MM-DDTHH:MM:SS[.fraction](Z|+HH:MM|-HH:MM)
  if (text.size() < 20) return std::nullopt;
  const std::optional<CivilDay> day = parse_date(text.substr(0, 10));
  const char* p = text.data();
  if (!day || (p[10] != 'T' && p[10] != 't' && p[10] != ' ') || p[13] != ':' || p[16] != ':') return std::nullopt;
  const int hour = two_digits(p + 11);
  const int minute = two_digits(p + 14);
  int second = two_digits(p + 17);
  if (hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 60) return std::nullopt;
  if (second == 60) second = 59;
  std::size_t i = 19;
  if (text[i] == '.') {
    const std::size_t digits = ++i;
    while (i < text.size() && text[i] >= '0' && text[i] <= '9') ++i;
    if (i == digits || i == text.size()) return std::nullopt;
  }
  int offset_seconds = 0;
  if (text[i] == 'Z' || text[i] == 'z') {
    if (i + 1 != text.size()) return std::nullopt;
  } else {
    if ((text[i] != '+' && text[i] != '-') || i + 6 != text.size() || text[i + 3] != ':') return std::nullopt;
    const int hours = two_digits(p + i + 1);
    const int minutes = two_digits(p + i + 4);
    if (hours < 0 || hours > 23 || minutes < 0 || minutes > 59) return std::nullopt;
    offset_seconds = (hours * 60 + minutes) * 60 * (text[i] == '-' ? -1 : 1);
  }
  return *day * seconds_a_day + hour * 3600 + minute * 60 + second - offset_seconds;
}

std::optional<std::int64_t> parse_microseconds(std::string_view text) {
  const std::optional<std::int64_t> seconds = parse_instant(text);
  // An offset can lead out of the calendar.
  if (!seconds || *seconds < first_day * seconds_a_day || *seconds >= (last_day + 1) * seconds_a_day)
    return std::nullopt;
  std::int64_t fraction = 0;
  std::int64_t unit = 100'000;
  for (std::size_t i = 20; text[19] == '.' && unit > 0 && text[i] >= '0' && text[i] <= '9'; ++i, unit /= 10)
    fraction += unit * (text[i] - '0');
  return *seconds * 1'000'000 + fraction;
}

std::string microseconds_text(std::int64_t microseconds) {
  constexpr std::int64_t a_second = 1'000'000;
  const std::int64_t fraction = (microseconds % a_second + a_second) % a_second;
  const std::int64_t seconds = (microseconds - fraction) / a_second;
  const std::int64_t of_day = (seconds % seconds_a_day + seconds_a_day) % seconds_a_day;
  char clock[24];
  std::snprintf(clock, sizeof clock, "T%02d:%02d:%02d.%06dZ", static_cast<int>(of_day / 3600),
                static_cast<int>(of_day / 60 % 60), static_cast<int>(of_day % 60), static_cast<int>(fraction));
  return to_string(static_cast<CivilDay>((seconds - of_day) / seconds_a_day)) + clock;
}

// Invariant: an entry is filled only when every instant of its UTC hour falls on one and the same civil day.
// Hours with a midnight in them (zones like +05:45) or with a change of the zone's offset are asked each time:
// in America/St_Johns clocks went back at 00:01, so that an hour began and ended on one day and was the next
// day for a minute in between.
struct DayZone::State {
  struct Entry {
    std::int64_t hour = INT64_MIN;
    CivilDay day = 0;
  };
  absl::TimeZone zone;
  std::array<Entry, 1024> cache;

  absl::CivilSecond ask(std::int64_t unix_seconds) const {
    return absl::ToCivilSecond(absl::FromUnixSeconds(unix_seconds), zone);
  }
};

DayZone::DayZone(const std::string& iana_name) : state_(std::make_unique<State>()) {
  if (!absl::LoadTimeZone(iana_name, &state_->zone)) throw no_such_zone(iana_name);
}
DayZone::~DayZone() = default;
DayZone::DayZone(DayZone&&) noexcept = default;
DayZone& DayZone::operator=(DayZone&&) noexcept = default;

std::optional<CivilDay> DayZone::day_of(std::int64_t unix_seconds) {
  // No zone is more than two days off UTC; further out the arithmetic below could overflow.
  if (unix_seconds < (first_day - 2) * seconds_a_day || unix_seconds >= (last_day + 3) * seconds_a_day)
    return std::nullopt;
  const std::int64_t hour = unix_seconds >= 0 ? unix_seconds / 3600 : (unix_seconds - 3599) / 3600;
  State::Entry& entry = state_->cache[static_cast<std::uint64_t>(hour) % state_->cache.size()];
  if (entry.hour == hour) return entry.day;
  const auto day = static_cast<CivilDay>(absl::CivilDay(state_->ask(unix_seconds)) - absl::CivilDay(1970, 1, 1));
  if (day < first_day || day > last_day) return std::nullopt;
  const absl::CivilSecond begin = state_->ask(hour * 3600);
  const absl::CivilSecond end = state_->ask(hour * 3600 + 3599);
  if (end - begin == 3599 && absl::CivilDay(begin) == absl::CivilDay(end)) entry = {hour, day};
  return day;
}

std::string utc_text(std::int64_t unix_seconds) {
  return microseconds_text(unix_seconds * 1'000'000).replace(19, 7, "");
}

std::optional<std::int64_t> begin_of_minute(std::int64_t unix_seconds) {
  return within_years(floor_to(unix_seconds, 60));
}

// Invariant: an entry is filled only when the zone's offset is the same at the begin and at the end of its UTC hour.
struct HourZone::State {
  struct Entry {
    std::int64_t hour = INT64_MIN;
    int offset = 0;
  };
  absl::TimeZone zone;
  std::array<Entry, 1024> cache;

  int offset_at(std::int64_t unix_seconds) const { return zone.At(absl::FromUnixSeconds(unix_seconds)).offset; }
};

HourZone::HourZone(const std::string& iana_name) : state_(std::make_unique<State>()) {
  if (!absl::LoadTimeZone(iana_name, &state_->zone)) throw no_such_zone(iana_name);
}
HourZone::~HourZone() = default;
HourZone::HourZone(HourZone&&) noexcept = default;
HourZone& HourZone::operator=(HourZone&&) noexcept = default;

std::optional<std::int64_t> HourZone::begin_of_hour(std::int64_t unix_seconds) {
  const std::int64_t hour = floor_to(unix_seconds, 3600);
  State::Entry& entry = state_->cache[static_cast<std::uint64_t>(hour / 3600) % state_->cache.size()];
  int offset = entry.offset;
  if (entry.hour != hour) {
    offset = state_->offset_at(unix_seconds);
    if (state_->offset_at(hour) == state_->offset_at(hour + 3599)) entry = {hour, offset};
  }
  return within_years(floor_to(unix_seconds + offset, 3600) - offset);
}

bool DayZone::exists(const std::string& iana_name) {
  absl::TimeZone zone;
  return absl::LoadTimeZone(iana_name, &zone);
}

}  // namespace daybook
