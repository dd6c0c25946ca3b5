// The stream of messages that `daybook simulate` sends: one system's events, and on request copies, late ones and
// broken ones among them. The same options give the same bytes.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "producer/calendar.h"
#include "producer/random.h"

namespace daybook::simulation {

struct TrafficOptions {
  std::uint64_t seed = 1;
  std::uint64_t events = 0;     // messages, copies and broken ones included; 0: no end
  std::uint32_t entities = 20;  // of what SystemKind::entities says
  std::int64_t begin_ms = 0;    // of the period
  std::int64_t end_ms = 0;
  double duplicates = 0;
  double late = 0;
  double poison = 0;
  bool random_days = false;
  // Without an end, events after the period carry this clock's time; without a clock, days go on.
  std::function<std::int64_t()> clock_ms;
};

struct TrafficMessage {
  std::string_view topic;  // a constant of the program
  std::string key;
  std::string value;
  bool copy = false;  // sent before with the same id
  bool late = false;
  bool poison = false;
  std::uint32_t elsewhere = 0;  // not 0: to another partition than the key's, chosen by this number
};

// The ways in which a message can be broken, in the order of their rotation.
enum class Poison {
  not_json,
  empty,
  member_missing,
  member_null,
  wrong_type,
  beyond_int64,
  beyond_double,
  overflow,
  duplicate_member,
  invalid_utf8,
  wrong_specversion,
  too_deep
};
inline constexpr int poison_kinds = 12;

// What differs between the systems: their events. Everything random is drawn from `random`, the traffic's own, or from
// generators that the seed decided.
class System {
 public:
  virtual ~System() = default;

  // The next event, at `now_ms`, which does not decrease: sets topic, key and value.
  virtual void make(TrafficMessage& message, Random& random, std::int64_t now_ms) = 0;
  // A message that is broken in this way, under an id of its own. It changes nothing of what events tell.
  virtual void make_poison(TrafficMessage& message, Poison kind, Random& random, std::int64_t now_ms) = 0;
  // Whether make() itself dates events back (and says so in the message) where a share is to be late. Else they are
  // late because the traffic sends them late.
  virtual bool dates_back() const { return false; }
};

// A system that there is traffic of.
struct SystemKind {
  std::string_view name;      // as its folder under schemas/
  std::string_view entities;  // what their number counts
  std::uint32_t default_entities = 0;
  std::uint32_t most_entities = 0;
  std::uint32_t daily_events = 0;  // of each entity, where only the period is given
  bool random_days = false;        // can be asked for random days
  std::vector<std::string_view> topics;
  std::unique_ptr<System> (*make)(const TrafficOptions& options);
};
const std::vector<SystemKind>& system_kinds();
const SystemKind* find_system(std::string_view name);  // nullptr: there is none

class Traffic {
 public:
  Traffic(const SystemKind& kind, const TrafficOptions& options);

  // False when all events were given.
  bool next(TrafficMessage& message);

  std::uint64_t copies() const { return copies_; }
  std::uint64_t late() const { return late_; }
  std::uint64_t poisoned() const { return poisoned_; }

 private:
  using Held = std::multimap<std::uint64_t, TrafficMessage>;  // by the index at which they are sent

  std::int64_t now();
  bool take_held(TrafficMessage& message);
  std::uint64_t later_index();
  void hold_copy(const TrafficMessage& message);

  TrafficOptions options_;
  std::uint64_t natural_events_;  // that fill the period
  Calendar calendar_;
  std::unique_ptr<System> system_;
  Random random_;
  Share duplicate_;
  Share late_share_;
  Share poison_;
  Held held_;     // copies
  Held delayed_;  // events that are sent late
  std::uint64_t index_ = 0;
  std::int64_t last_ms_ = INT64_MIN;
  int next_poison_ = 0;
  std::uint64_t copies_ = 0;
  std::uint64_t late_ = 0;
  std::uint64_t poisoned_ = 0;
};

}  // namespace daybook::simulation
