// The stream of messages that `daybook simulate` sends: the network's events, and on request copies, late ones
// and broken ones among them. The same options give the same bytes.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>

#include "producer/blood_bank.h"
#include "producer/calendar.h"
#include "producer/event_text.h"

namespace daybook::simulation {

struct TrafficOptions {
  std::uint64_t seed = 1;
  std::uint64_t events = 0;  // messages, copies and broken ones included; 0: no end
  std::uint32_t facilities = 20;
  std::int64_t begin_ms = 0;  // of the period
  std::int64_t end_ms = 0;
  double duplicates = 0;
  double late = 0;
  double poison = 0;
  bool random_days = false;
  // Without an end, events after the period carry this clock's time; without a clock, days go on.
  std::function<std::int64_t()> clock_ms;
};

struct TrafficMessage {
  std::string value;
  std::uint32_t facility = 0;  // whose UUID is the key
  bool copy = false;           // sent before with the same id
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

class Traffic {
 public:
  explicit Traffic(const TrafficOptions& options);

  // False when all events were given.
  bool next(TrafficMessage& message);

  std::string_view key(const TrafficMessage& message) const { return text_.facility_id(message.facility); }
  std::uint64_t copies() const { return copies_; }
  std::uint64_t late() const { return late_; }
  std::uint64_t poisoned() const { return poisoned_; }

 private:
  std::int64_t now();
  void make_late(Event& event, std::int64_t now_ms);
  void make_poison(TrafficMessage& message);
  void hold_copy(const TrafficMessage& message);

  TrafficOptions options_;
  std::uint64_t natural_events_;  // that fill the period
  Calendar calendar_;
  BloodBank bank_;
  EventText text_;
  Random random_;
  Share duplicate_;
  Share late_share_;
  Share poison_;
  std::multimap<std::uint64_t, TrafficMessage> held_;  // copies, by the index at which they are sent
  std::uint64_t index_ = 0;
  std::int64_t last_ms_ = INT64_MIN;
  std::uint64_t late_owed_ = 0;
  int next_poison_ = 0;
  std::uint64_t copies_ = 0;
  std::uint64_t late_ = 0;
  std::uint64_t poisoned_ = 0;
};

}  // namespace daybook::simulation
