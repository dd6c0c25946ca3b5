#include "producer/calendar.h"

#include <algorithm>

namespace daybook::simulation {
namespace {

constexpr int hours = 168;
constexpr std::int64_t monday_ms = 4 * day_ms;  // 1970-01-05

// Milliseconds into the local week that begins on Monday.
std::int64_t into_week(std::int64_t time_ms) {
  const std::int64_t since = time_ms + local_offset_ms - monday_ms;
  return (since % week_ms + week_ms) % week_ms;
}

constexpr int hour_weight(int hour_of_week) {
  const int hour = hour_of_week % 24;
  const int weight = hour >= 7 && hour < 15 ? 100 : hour >= 15 && hour < 23 ? 60 : 20;
  return hour_of_week / 24 >= 5 ? weight / 2 : weight;
}

// Activity before each hour of the week, in weight × milliseconds; the last entry is a week's.
constexpr std::array<std::int64_t, hours + 1> make_before() {
  std::array<std::int64_t, hours + 1> before{};
  for (int h = 0; h < hours; ++h) before[h + 1] = before[h] + hour_weight(h) * hour_ms;
  return before;
}
constexpr std::array<std::int64_t, hours + 1> before = make_before();

std::int64_t activity_until(std::int64_t time_ms) {
  const std::int64_t inside = into_week(time_ms);
  const std::int64_t week = (time_ms + local_offset_ms - monday_ms - inside) / week_ms;
  const int hour = static_cast<int>(inside / hour_ms);
  return week * before[hours] + before[hour] + inside % hour_ms * hour_weight(hour);
}

std::int64_t time_at(std::int64_t activity) {
  const std::int64_t inside = (activity % before[hours] + before[hours]) % before[hours];
  const std::int64_t week = (activity - inside) / before[hours];
  const int hour = static_cast<int>(std::upper_bound(before.begin(), before.end(), inside) - before.begin()) - 1;
  return week * week_ms + monday_ms - local_offset_ms + hour * hour_ms + (inside - before[hour]) / hour_weight(hour);
}

}  // namespace

Shift shift_at(std::int64_t time_ms) {
  const std::int64_t hour = into_week(time_ms) % day_ms / hour_ms;
  return hour >= 7 && hour < 15 ? Shift::day : hour >= 15 && hour < 23 ? Shift::evening : Shift::night;
}

bool is_weekend(std::int64_t time_ms) { return into_week(time_ms) >= 5 * day_ms; }

Calendar::Calendar(std::int64_t begin_ms, std::int64_t end_ms, std::uint64_t events)
    : begin_activity_(activity_until(begin_ms)),
      period_activity_(activity_until(end_ms) - begin_activity_),
      events_(std::max<std::uint64_t>(events, 1)) {}

std::int64_t Calendar::time_of(std::uint64_t index) const {
  return time_at(begin_activity_ +
                 static_cast<std::int64_t>(static_cast<__int128>(period_activity_) * index / events_));
}

}  // namespace daybook::simulation
