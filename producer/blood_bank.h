// A working blood-bank network, simulated: facilities take donations, issue units, run out of stock, ask for
// units and send them to each other. Deterministic in its seed and in the times it is given.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <queue>
#include <vector>

#include "producer/event_writer.h"
#include "producer/random.h"

namespace daybook::simulation {

enum class EventKind : std::uint8_t { stock_changed, units_transferred, request_created, request_cancelled };
enum class StockReason : std::uint8_t { opening, donation, issue, transfer_out, transfer_in };

// One event, before it is text. `facility` is whose stock or request it is, and a transfer's receiver.
struct Event {
  EventKind kind = EventKind::stock_changed;
  StockReason reason = StockReason::opening;
  std::uint8_t blood_group = 0;
  bool urgent = false;
  std::uint32_t facility = 0;
  std::uint32_t sender = 0;  // transfers
  std::int32_t quantity = 0;
  std::int64_t time_ms = 0;
  std::int64_t begun_ms = 0;  // when the transfer left, when the request was made
  bool delivered = false;     // transfers: arrived at time_ms
  bool followed = false;      // requests: a cancellation that repeats begun_ms comes later
  Uuid id;
  Uuid entity;  // the transfer, the request

  // Whether it may as well have happened days before it was told: that makes no stock negative and
  // contradicts no later event.
  bool can_be_late() const {
    return (kind == EventKind::request_created && !followed) ||
           (kind == EventKind::stock_changed && reason == StockReason::donation);
  }
};

inline constexpr int blood_groups = 8;

class BloodBank {
 public:
  BloodBank(std::uint64_t seed, std::uint32_t facilities);

  // The network's next event, at `now_ms`; times must not decrease.
  Event next(std::int64_t now_ms);

  // An event of any facility at a time drawn from the period, the kinds mixed; for measurements. Stocks stay at
  // zero or above in the order of the events, not in the order of their times.
  Event next_random(std::int64_t begin_ms, std::int64_t end_ms);

  // A facility with at least this many units, if some tries find one.
  std::optional<std::uint32_t> facility_with_stock(Random& random, std::int64_t at_least) const;

 private:
  // What follows by itself: the arrival of a transfer, the cancellation of a request.
  struct Later {
    std::int64_t time_ms = 0;
    std::uint64_t order = 0;  // ties go by the order of scheduling
    Event event;
    bool operator>(const Later& other) const {
      return time_ms != other.time_ms ? time_ms > other.time_ms : order > other.order;
    }
  };

  Event make(EventKind kind, std::uint32_t facility, std::int64_t now_ms);
  Event change_stock(std::uint32_t facility, StockReason reason, std::int32_t quantity, std::int64_t now_ms);
  Event create_request(std::uint32_t facility, bool urgent, std::int64_t now_ms);
  Event issue(std::uint32_t facility, std::int64_t now_ms);
  void send_units(std::uint32_t receiver, std::uint8_t blood_group, std::int64_t now_ms);
  void schedule(std::int64_t time_ms, const Event& event);
  std::uint32_t pick_facility();
  bool short_of_donors(std::uint32_t facility, std::int64_t now_ms) const;

  Random random_;
  std::uint64_t seed_;
  std::vector<std::int64_t> stock_;  // units by facility, all groups
  std::vector<bool> open_;           // has reported its opening stock
  std::deque<Event> now_;            // to come before anything else
  std::priority_queue<Later, std::vector<Later>, std::greater<Later>> later_;
  std::uint64_t scheduled_ = 0;
};

}  // namespace daybook::simulation
