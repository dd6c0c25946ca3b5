// When a blood-bank network is busy: three shifts, quieter nights and weekends. Local time is UTC+3 all year.
#pragma once

#include <array>
#include <cstdint>

namespace daybook::simulation {

inline constexpr std::int64_t second_ms = 1000;
inline constexpr std::int64_t hour_ms = 3600 * second_ms;
inline constexpr std::int64_t day_ms = 24 * hour_ms;
inline constexpr std::int64_t week_ms = 7 * day_ms;
inline constexpr std::int64_t local_offset_ms = 3 * hour_ms;

enum class Shift { day, evening, night };

// All times are milliseconds since 1970 UTC.
Shift shift_at(std::int64_t time_ms);
bool is_weekend(std::int64_t time_ms);

// Spreads events over a period, densely in busy hours. Integer arithmetic only: the same everywhere.
class Calendar {
 public:
  // `events` of them fall between `begin_ms` and `end_ms`.
  Calendar(std::int64_t begin_ms, std::int64_t end_ms, std::uint64_t events);

  // The time of event `index`; not decreasing. Beyond `events` it goes on after the period's end.
  std::int64_t time_of(std::uint64_t index) const;

 private:
  std::int64_t begin_activity_;
  std::int64_t period_activity_;
  std::uint64_t events_;
};

}  // namespace daybook::simulation
