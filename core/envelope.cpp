#include "core/envelope.h"

namespace daybook {
namespace {

constexpr std::int64_t micros_a_second = 1'000'000;
constexpr std::int64_t micros_a_day = 86'400 * micros_a_second;
constexpr std::int64_t first = -719'162 * micros_a_day;      // 0001-01-01
constexpr std::int64_t last = 2'932'897 * micros_a_day - 1;  // 9999-12-31

std::optional<std::int64_t> times(std::int64_t number, std::int64_t micros) {
  if (number < first / micros || number > last / micros) return std::nullopt;
  return number * micros;
}

}  // namespace

std::optional<std::int64_t> instant_of(std::int64_t number, TimeUnit unit) {
  switch (unit) {
    case TimeUnit::text:
      return std::nullopt;
    case TimeUnit::seconds:
      return times(number, micros_a_second);
    case TimeUnit::milliseconds:
      return times(number, 1000);
    case TimeUnit::microseconds:
      return times(number, 1);
    case TimeUnit::nanoseconds:
      return number / 1000 - (number % 1000 < 0 ? 1 : 0);  // 64 bits of nanoseconds are the years 1677 to 2262
    case TimeUnit::days:
      return times(number, micros_a_day);
  }
  return std::nullopt;
}

const char* name_of(TimeUnit unit) {
  switch (unit) {
    case TimeUnit::text:
      return "RFC 3339";
    case TimeUnit::seconds:
      return "seconds since 1970";
    case TimeUnit::milliseconds:
      return "milliseconds since 1970";
    case TimeUnit::microseconds:
      return "microseconds since 1970";
    case TimeUnit::nanoseconds:
      return "nanoseconds since 1970";
    case TimeUnit::days:
      return "days since 1970-01-01";
  }
  return "";
}

}  // namespace daybook
