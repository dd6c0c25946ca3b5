#include "producer/traffic.h"

#include <algorithm>
#include <iterator>

#include "producer/blood_bank_traffic.h"
#include "producer/labor_traffic.h"
#include "producer/schools_traffic.h"
#include "producer/user_context_traffic.h"
#include "producer/validation_traffic.h"

namespace daybook::simulation {
namespace {

constexpr std::uint64_t longest_delay = 20'000;  // in messages

std::uint64_t events_in_period(const SystemKind& kind, const TrafficOptions& options) {
  if (options.events != 0) return options.events;
  const std::uint64_t days = static_cast<std::uint64_t>((options.end_ms - options.begin_ms + day_ms - 1) / day_ms);
  return options.entities * days * kind.daily_events;
}

template <typename Made>
std::unique_ptr<System> make_system(const TrafficOptions& options) {
  return std::make_unique<Made>(options);
}

}  // namespace

const std::vector<SystemKind>& system_kinds() {
  static const std::vector<SystemKind> kinds = {
      {"bloodbank", "facilities", 20, 1'000'000, 40, true, {blood_bank_topic}, make_system<BloodBankTraffic>},
      {"labor-daily",
       "employees",
       1'000,
       1'000'000,
       2,
       false,
       {"labor.hours", "labor.dealerships"},
       make_system<LaborTraffic>},
      {"live-validation",
       "apps",
       50,
       10'000,
       14'400,
       false,
       {"validation.entries", "validation.rules", "validation.apps"},
       make_system<ValidationTraffic>},
      {"schools",
       "students",
       50'000,
       10'000'000,
       1,
       false,
       {"schools.students", "schools.cases", "schools.alerts", "schools.sessions", "schools.audit"},
       make_system<SchoolsTraffic>},
      {"user-context",
       "users",
       5'000,
       10'000'000,
       1,
       false,
       {"directory.employees", "directory.assignments", "directory.slots", "directory.regions", "directory.zones"},
       make_system<UserContextTraffic>},
  };
  return kinds;
}

const SystemKind* find_system(std::string_view name) {
  for (const SystemKind& kind : system_kinds()) {
    if (kind.name == name) return &kind;
  }
  return nullptr;
}

Traffic::Traffic(const SystemKind& kind, const TrafficOptions& options)
    : options_(options),
      natural_events_(events_in_period(kind, options)),
      calendar_(options.begin_ms, options.end_ms, natural_events_),
      system_(kind.make(options)),
      random_(Random::mix(options.seed ^ 0x7aff1c0000000000u)),
      duplicate_(options.duplicates),
      late_share_(options.late),
      poison_(options.poison) {}

std::int64_t Traffic::now() {
  const bool live = options_.events == 0 && index_ >= natural_events_ && options_.clock_ms;
  last_ms_ = std::max(last_ms_, live ? options_.clock_ms() : calendar_.time_of(index_));
  return last_ms_;
}

// What is held back and due; near the end all of it, late events first, so that none of them is left behind.
bool Traffic::take_held(TrafficMessage& message) {
  const bool draining = options_.events != 0 && options_.events - index_ <= held_.size() + delayed_.size();
  for (Held* held : {&delayed_, &held_}) {
    if (held->empty() || !(draining || held->begin()->first <= index_)) continue;
    message = std::move(held->begin()->second);
    held->erase(held->begin());
    return true;
  }
  return false;
}

bool Traffic::next(TrafficMessage& message) {
  if (options_.events != 0 && index_ >= options_.events) return false;
  while (!take_held(message)) {
    message.value.clear();
    message.key.clear();
    message.copy = message.late = false;
    message.elsewhere = 0;
    message.poison = poison_.drawn(random_);
    if (message.poison) {
      system_->make_poison(message, static_cast<Poison>(next_poison_), random_, now());
      next_poison_ = (next_poison_ + 1) % poison_kinds;
      break;
    }
    system_->make(message, random_, now());
    const bool delays = !system_->dates_back() && late_share_.drawn(random_);
    if (duplicate_.drawn(random_)) hold_copy(message);
    if (!delays) break;
    message.late = true;
    delayed_.emplace(later_index(), std::move(message));
  }
  copies_ += message.copy;
  late_ += message.late && !message.copy;
  poisoned_ += message.poison;
  ++index_;
  return true;
}

// Mostly soon, sometimes much later: the bound of the delay is drawn first.
std::uint64_t Traffic::later_index() {
  const std::uint64_t bound = std::max<std::uint64_t>(longest_delay >> random_.below(12), 1);
  return index_ + 1 + random_.below(bound);
}

void Traffic::hold_copy(const TrafficMessage& message) {
  TrafficMessage copy = message;
  copy.copy = true;
  if (random_.one_in(3)) copy.elsewhere = static_cast<std::uint32_t>(1 + random_.below(1u << 30));
  held_.emplace(later_index(), std::move(copy));
}

}  // namespace daybook::simulation
