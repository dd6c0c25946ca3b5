#include "producer/labor_traffic.h"

#include <absl/time/time.h>

#include <algorithm>
#include <array>

#include "core/error.h"

namespace daybook::simulation {
namespace {

constexpr std::uint32_t employees_of_a_dealership = 25;
constexpr std::int64_t quarter_ms = hour_ms / 4;
constexpr std::size_t most_remembered = 4096;

// With and without daylight saving time, and on both sides of the equator.
constexpr std::array<const char*, 6> zone_names = {"America/New_York", "America/Phoenix", "America/Los_Angeles",
                                                   "Europe/Berlin",    "Europe/Lisbon",   "Australia/Sydney"};
constexpr std::array<std::string_view, 6> towns = {"Albany", "Mesa", "Fresno", "Potsdam", "Sintra", "Penrith"};
constexpr std::array<std::string_view, 4> makes = {"Motors", "Cars", "Autos", "Vans"};

std::uint32_t zone_of(std::uint32_t dealership) { return dealership % static_cast<std::uint32_t>(zone_names.size()); }

std::string name_of(std::uint32_t dealership) {
  return std::string(towns[dealership % 6]) + " " + std::string(makes[dealership / 6 % 4]) + " " +
         std::to_string(dealership + 1);
}

std::int64_t floor_to(std::int64_t value, std::int64_t step) { return value - (value % step + step) % step; }

}  // namespace

struct LaborTraffic::Zones {
  std::array<absl::TimeZone, zone_names.size()> zones;
};

LaborTraffic::LaborTraffic(const TrafficOptions& options)
    : seed_(options.seed),
      employees_(options.entities),
      versions_((options.entities + employees_of_a_dealership - 1) / employees_of_a_dealership, 0),
      worked_until_(options.entities, INT64_MIN) {
  auto zones = std::make_unique<Zones>();
  for (std::size_t i = 0; i < zone_names.size(); ++i) {
    if (!absl::LoadTimeZone(zone_names[i], &zones->zones[i]))
      throw StopError(std::string("the system's time-zone database has no ") + zone_names[i] + ": install tzdata");
  }
  zones_ = std::move(zones);
}

LaborTraffic::~LaborTraffic() = default;

std::int64_t LaborTraffic::offset_at(std::uint32_t dealership, std::int64_t ms) const {
  return zones_->zones[zone_of(dealership)].At(absl::FromUnixMillis(ms)).offset * second_ms;
}

std::string_view LaborTraffic::make_event(TrafficMessage& message, Random& random, std::int64_t now_ms) {
  if (now_.empty()) {
    const std::uint32_t employee = static_cast<std::uint32_t>(random.below(employees_));
    const std::uint32_t at = employee / employees_of_a_dealership;
    if (versions_[at] == 0 || random.per_mille(2)) return dealership(message, random, now_ms, at);
    if (told_.empty() || !random.one_in(6)) punch(random, now_ms, employee);
  }
  if (!now_.empty()) {
    const Part part = now_.front();
    now_.pop_front();
    told_.push_back(part);
    if (told_.size() > most_remembered) told_.pop_front();
    return hours(message, random, now_ms, "punched", part, part.quarters);
  }
  // A punch turns out to be wrong.
  const std::size_t index = static_cast<std::size_t>(random.below(told_.size()));
  Part& part = told_[index];
  ++part.version;
  if (random.one_in(4)) {
    const std::string_view needed = hours(message, random, now_ms, "deleted", part, -part.quarters);
    told_.erase(told_.begin() + static_cast<std::ptrdiff_t>(index));
    return needed;
  }
  const std::int32_t corrected = std::max(1, part.quarters + random.between(-4, 3));
  const std::int32_t change = corrected - part.quarters;
  part.quarters = corrected;
  return hours(message, random, now_ms, "corrected", part, change);
}

// A shift that has just ended, of 3 to 9 hours; divided where a local day ends. Zones change by whole quarters of an
// hour, so the quarters of a shift are those that passed, whatever the clocks on the wall did.
void LaborTraffic::punch(Random& random, std::int64_t now_ms, std::uint32_t employee) {
  const std::uint32_t at = employee / employees_of_a_dealership;
  const std::int64_t end = floor_to(now_ms, quarter_ms);
  std::int64_t begin = std::max(end - random.between(12, 36) * quarter_ms, worked_until_[employee]);
  if (begin >= end) begin = end - quarter_ms;
  worked_until_[employee] = end;
  while (begin < end) {
    Part part;
    part.id = random_uuid(random);
    part.employee = employee;
    part.version = 1;
    part.day = floor_to(begin + offset_at(at, begin), day_ms) / day_ms;
    part.begin_ms = begin;
    while (begin < end && floor_to(begin + offset_at(at, begin), day_ms) / day_ms == part.day) {
      begin += quarter_ms;
      ++part.quarters;
    }
    now_.push_back(part);
  }
}

std::string_view LaborTraffic::hours(TrafficMessage& message, Random& random, std::int64_t now_ms,
                                     std::string_view kind, const Part& part, std::int32_t quarters) const {
  const std::uint32_t at = part.employee / employees_of_a_dealership;
  const std::int64_t end = part.begin_ms + (kind == "corrected" || kind == "punched" ? part.quarters : 0) * quarter_ms;
  message.topic = "labor.hours";
  message.key = std::to_string(at + 1);
  begin_event(message.value, random_uuid(random), "/labor/clock", "labor.hours.changed", now_ms);
  Members data(message.value);
  data.uuid("punch_id", part.id).number("version", part.version).text("kind", kind);
  data.number("dealership_id", at + 1)
      .text("dealership_name", name_of(at))
      .number("employee_id", 10'000 + part.employee);
  data.date("work_date", part.day).text("time_zone", zone_names[zone_of(at)]);
  data.local("begins_at", part.begin_ms, offset_at(at, part.begin_ms)).local("ends_at", end, offset_at(at, end));
  data.decimal_text("hours", quarters * 25, 2).end();
  end_event(message.value);
  return "hours";
}

std::string_view LaborTraffic::dealership(TrafficMessage& message, Random& random, std::int64_t now_ms,
                                          std::uint32_t at) {
  message.topic = "labor.dealerships";
  message.key = std::to_string(at + 1);
  begin_event(message.value, random_uuid(random), "/labor/console", "labor.dealership.changed", now_ms);
  Members data(message.value);
  data.number("dealership_id", at + 1).number("version", ++versions_[at]).text("name", name_of(at));
  data.text("time_zone", zone_names[zone_of(at)]).text("town", towns[at % 6]);
  data.number("target_hours", random.between(120, 220)).end();
  end_event(message.value);
  return "version";
}

}  // namespace daybook::simulation
