#include "verify/values.h"

#include <cmath>
#include <limits>

namespace daybook::verify {
namespace {

using nlohmann::json;

// Reads digits and punctuation from left to right; once something does not fit, `ok` stays false.
struct Cursor {
  std::string_view rest;
  bool ok = true;

  int digits(int count) {
    int number = 0;
    for (int i = 0; i < count; ++i) {
      if (rest.empty() || rest[0] < '0' || rest[0] > '9') {
        ok = false;
        return 0;
      }
      number = number * 10 + (rest[0] - '0');
      rest.remove_prefix(1);
    }
    return number;
  }
  char one_of(std::string_view allowed) {
    if (rest.empty() || allowed.find(rest[0]) == std::string_view::npos) {
      ok = false;
      return '\0';
    }
    const char found = rest[0];
    rest.remove_prefix(1);
    return found;
  }
};

absl::CivilDay read_date(Cursor& cursor) {
  const int year = cursor.digits(4);
  cursor.one_of("-");
  const int month = cursor.digits(2);
  cursor.one_of("-");
  const int day = cursor.digits(2);
  const absl::CivilDay civil(year, month, day);
  // absl turns a day that is none (February 30) into another one; year 0 is no year here.
  if (civil.year() != year || civil.month() != month || civil.day() != day || year < 1) cursor.ok = false;
  return civil;
}

// RFC 3339: time "T" hours ":" minutes ":" seconds [fraction] offset.
std::optional<std::int64_t> read_instant(std::string_view text) {
  Cursor cursor{text};
  const absl::CivilDay date = read_date(cursor);
  cursor.one_of("Tt ");
  const int hour = cursor.digits(2);
  cursor.one_of(":");
  const int minute = cursor.digits(2);
  cursor.one_of(":");
  int second = cursor.digits(2);
  if (!cursor.ok || hour > 23 || minute > 59 || second > 60) return std::nullopt;
  if (second == 60) second = 59;  // a leap second counts as the one before it
  if (!cursor.rest.empty() && cursor.rest[0] == '.') {
    cursor.one_of(".");
    cursor.digits(1);
    while (!cursor.rest.empty() && cursor.rest[0] >= '0' && cursor.rest[0] <= '9') cursor.digits(1);
  }
  int offset = 0;
  const char sign = cursor.one_of("Zz+-");
  if (sign == '+' || sign == '-') {
    const int hours = cursor.digits(2);
    cursor.one_of(":");
    const int minutes = cursor.digits(2);
    if (hours > 23 || minutes > 59) return std::nullopt;
    offset = (hours * 60 + minutes) * 60 * (sign == '-' ? -1 : 1);
  }
  if (!cursor.ok || !cursor.rest.empty()) return std::nullopt;
  const absl::CivilSecond local(date.year(), date.month(), date.day(), hour, minute, second);
  return absl::ToUnixSeconds(absl::FromCivil(local, absl::UTCTimeZone())) - offset;
}

bool equals(const Scalar& operand, const json& value) {
  if (const bool* truth = std::get_if<bool>(&operand)) return value.is_boolean() && value.get<bool>() == *truth;
  if (const auto* text = std::get_if<std::string>(&operand)) {
    return value.is_string() && value.get_ref<const std::string&>() == *text;
  }
  if (!value.is_number()) return false;
  // long double holds every int64, uint64 and double exactly, so this compares by value.
  static_assert(std::numeric_limits<long double>::digits >= 64);
  long double left = 0;
  if (const auto* integer = std::get_if<std::int64_t>(&operand)) {
    left = static_cast<long double>(*integer);
  } else if (const double* real = std::get_if<double>(&operand)) {
    left = *real;
  } else {
    return false;
  }
  if (value.is_number_unsigned()) return left == static_cast<long double>(value.get<std::uint64_t>());
  if (value.is_number_integer()) return left == static_cast<long double>(value.get<std::int64_t>());
  return left == static_cast<long double>(value.get<double>());
}

}  // namespace

std::optional<std::int64_t> integer_of(const json& value) {
  if (value.is_number_unsigned()) {
    const auto number = value.get<std::uint64_t>();
    if (number > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) return std::nullopt;
    return static_cast<std::int64_t>(number);
  }
  if (value.is_number_integer()) return value.get<std::int64_t>();
  if (value.is_number_float()) {
    const double number = value.get<double>();
    if (std::trunc(number) != number || std::fabs(number) > 9007199254740992.0) return std::nullopt;
    return static_cast<std::int64_t>(number);
  }
  return std::nullopt;
}

std::optional<std::string> uuid_of(std::string_view text) {
  if (text.size() != 36) return std::nullopt;
  std::string lower;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    const bool dash = i == 8 || i == 13 || i == 18 || i == 23;
    if (dash ? c != '-' : !((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F')))
      return std::nullopt;
    lower += c >= 'A' && c <= 'F' ? static_cast<char>(c - 'A' + 'a') : c;
  }
  return lower;
}

std::optional<Day> day_of(std::string_view text, const absl::TimeZone& zone) {
  if (text.size() == 10) {
    Cursor cursor{text};
    const absl::CivilDay day = read_date(cursor);
    if (!cursor.ok) return std::nullopt;
    return Day{day, std::nullopt};
  }
  const std::optional<std::int64_t> instant = read_instant(text);
  if (!instant) return std::nullopt;
  const absl::CivilDay day = absl::ToCivilDay(absl::FromUnixSeconds(*instant), zone);
  if (day.year() < 1 || day.year() > 9999) return std::nullopt;
  return Day{day, instant};
}

std::optional<std::int64_t> instant_of(std::string_view text) { return read_instant(text); }

absl::Time time_of(std::int64_t count, TimeUnit unit) {
  switch (unit) {
    case TimeUnit::text:
      break;
    case TimeUnit::seconds:
      return absl::UnixEpoch() + absl::Seconds(count);
    case TimeUnit::milliseconds:
      return absl::UnixEpoch() + absl::Milliseconds(count);
    case TimeUnit::microseconds:
      return absl::UnixEpoch() + absl::Microseconds(count);
    case TimeUnit::nanoseconds:
      return absl::UnixEpoch() + absl::Nanoseconds(count);
    case TimeUnit::days:
      return absl::UnixEpoch() + absl::Hours(24) * count;
  }
  return absl::InfinitePast();
}

std::optional<std::int64_t> instant_of(const json& value, TimeUnit unit) {
  if (unit == TimeUnit::text)
    return value.is_string() ? read_instant(value.get_ref<const std::string&>()) : std::nullopt;
  const std::optional<std::int64_t> count = integer_of(value);
  if (!count) return std::nullopt;
  const absl::Time time = time_of(*count, unit);
  const auto year = absl::ToCivilYear(time, absl::UTCTimeZone()).year();
  if (year < 1 || year > 9999) return std::nullopt;
  return absl::ToUnixSeconds(time);
}

std::optional<Day> day_of(const json& count, TimeUnit unit, const absl::TimeZone& zone) {
  const std::optional<std::int64_t> number = integer_of(count);
  if (!number) return std::nullopt;
  if (unit == TimeUnit::days) {
    if (*number < -800'000 || *number > 3'000'000) return std::nullopt;
    const absl::CivilDay day = absl::CivilDay(1970, 1, 1) + *number;
    if (day.year() < 1 || day.year() > 9999) return std::nullopt;
    return Day{day, std::nullopt};
  }
  const std::optional<std::int64_t> instant = instant_of(count, unit);
  if (!instant) return std::nullopt;
  const absl::CivilDay day = absl::ToCivilDay(absl::FromUnixSeconds(*instant), zone);
  if (day.year() < 1 || day.year() > 9999) return std::nullopt;
  return Day{day, instant};
}

std::optional<std::string> begin_of(std::int64_t instant, KeyType type, const absl::TimeZone& zone) {
  // What has passed of the civil hour or minute is taken away.
  const absl::Time time = absl::FromUnixSeconds(instant);
  const absl::TimeZone::CivilInfo civil = (type == KeyType::hour ? zone : absl::UTCTimeZone()).At(time);
  const int passed = civil.cs.second() + (type == KeyType::hour ? civil.cs.minute() * 60 : 0);
  const absl::Time begin = time - absl::Seconds(passed);
  const auto year = absl::ToCivilYear(begin, absl::UTCTimeZone()).year();
  if (year < 1 || year > 9999) return std::nullopt;
  return absl::FormatTime("%E4Y-%m-%d %H:%M:%S+00", begin, absl::UTCTimeZone());
}

std::string iso_date(absl::CivilDay day) {
  const auto two = [](int number) { return (number < 10 ? "0" : "") + std::to_string(number); };
  std::string year = std::to_string(day.year());
  while (year.size() < 4) year.insert(0, "0");
  return year + "-" + two(day.month()) + "-" + two(day.day());
}

bool holds(const Condition& condition, const json* member) {
  const bool null = member == nullptr || member->is_null();
  if (condition.test == Condition::Test::is_null) return null;
  if (condition.test == Condition::Test::is_not_null) return !null;
  bool listed = false;
  for (const Scalar& operand : condition.operands) listed = listed || (!null && equals(operand, *member));
  return condition.test == Condition::Test::in ? listed : !listed;
}

}  // namespace daybook::verify
