#include "producer/traffic.h"

#include <algorithm>

namespace daybook::simulation {
namespace {

constexpr std::uint64_t events_per_facility_and_day = 40;
constexpr std::uint64_t longest_copy_delay = 20'000;  // in messages
constexpr std::int64_t most_days_late = 5;
constexpr std::int64_t stock_that_overflows = 10;  // this + 2147483647 is no INT whatever is still under way

std::uint64_t events_in_period(const TrafficOptions& options) {
  if (options.events != 0) return options.events;
  const std::uint64_t days = static_cast<std::uint64_t>((options.end_ms - options.begin_ms + day_ms - 1) / day_ms);
  return options.facilities * days * events_per_facility_and_day;
}

}  // namespace

Traffic::Traffic(const TrafficOptions& options)
    : options_(options),
      natural_events_(events_in_period(options)),
      calendar_(options.begin_ms, options.end_ms, natural_events_),
      bank_(options.seed, options.facilities),
      text_(options.seed, options.facilities),
      random_(Random::mix(options.seed ^ 0x7aff1c0000000000u)),
      duplicate_(options.duplicates),
      late_share_(options.late),
      poison_(options.poison) {}

std::int64_t Traffic::now() {
  const bool live = options_.events == 0 && index_ >= natural_events_ && options_.clock_ms;
  last_ms_ = std::max(last_ms_, live ? options_.clock_ms() : calendar_.time_of(index_));
  return last_ms_;
}

bool Traffic::next(TrafficMessage& message) {
  if (options_.events != 0 && index_ >= options_.events) return false;
  // A copy that is due; near the end all that are held, so that none is left behind.
  const bool draining = options_.events != 0 && options_.events - index_ <= held_.size();
  if (!held_.empty() && (draining || held_.begin()->first <= index_)) {
    message = std::move(held_.begin()->second);
    held_.erase(held_.begin());
    ++copies_;
    ++index_;
    return true;
  }
  message.value.clear();
  message.copy = false;
  message.elsewhere = 0;
  message.poison = poison_.drawn(random_);
  if (message.poison) {
    make_poison(message);
    ++poisoned_;
  } else {
    Event event;
    if (options_.random_days) {
      event = bank_.next_random(options_.begin_ms, options_.end_ms);
    } else {
      const std::int64_t now_ms = now();
      event = bank_.next(now_ms);
      make_late(event, now_ms);
    }
    message.facility = event.facility;
    text_.append(message.value, event);
    if (duplicate_.drawn(random_)) hold_copy(message);
  }
  ++index_;
  return true;
}

// Tells of the event days after it happened. Not every event can be late, so that the share is owed until
// one comes that can.
void Traffic::make_late(Event& event, std::int64_t now_ms) {
  if (late_share_.drawn(random_)) ++late_owed_;
  const std::int64_t most_days = std::min(most_days_late, (now_ms - options_.begin_ms) / day_ms);
  if (late_owed_ == 0 || most_days < 1 || !event.can_be_late()) return;
  const std::int64_t back = random_.between(1, static_cast<int>(most_days)) * day_ms;
  event.time_ms -= back;
  event.begun_ms -= back;
  --late_owed_;
  ++late_;
}

void Traffic::hold_copy(const TrafficMessage& message) {
  TrafficMessage copy = message;
  copy.copy = true;
  if (random_.one_in(3)) copy.elsewhere = static_cast<std::uint32_t>(1 + random_.below(1u << 30));
  // Mostly soon, sometimes much later: the bound of the delay is drawn first.
  const std::uint64_t bound = std::max<std::uint64_t>(longest_copy_delay >> random_.below(12), 1);
  held_.emplace(index_ + 1 + random_.below(bound), std::move(copy));
}

void Traffic::make_poison(TrafficMessage& message) {
  Poison kind = static_cast<Poison>(next_poison_);
  next_poison_ = (next_poison_ + 1) % poison_kinds;

  Event event;
  event.id = {random_.next(), random_.next()};
  event.reason = StockReason::donation;
  // At the period's end all that came before counts into the balance, so that the overflow is certain.
  event.time_ms = options_.random_days ? options_.end_ms - 1 : now();
  event.facility = static_cast<std::uint32_t>(random_.below(options_.facilities));
  if (kind == Poison::overflow) {
    const std::optional<std::uint32_t> stocked = bank_.facility_with_stock(random_, stock_that_overflows);
    if (stocked) {
      event.facility = *stocked;
    } else {
      kind = Poison::member_missing;
    }
  }
  message.facility = event.facility;
  std::string& out = message.value;
  const auto append = [this, &out, &event](std::string_view specversion, std::string_view quantity) {
    text_.append_stock_changed(out, event, specversion, quantity);
  };
  switch (kind) {
    case Poison::not_json:
      append("1.0", R"(,"quantity":)");
      break;
    case Poison::empty:
      break;
    case Poison::member_missing:
      append("1.0", "");
      break;
    case Poison::member_null:
      append("1.0", R"(,"quantity":null)");
      break;
    case Poison::wrong_type:
      append("1.0", R"(,"quantity":"five")");
      break;
    case Poison::beyond_int64:
      append("1.0", R"(,"quantity":9223372036854775808)");
      break;
    case Poison::beyond_double:
      append("1.0", R"(,"quantity":1e309)");
      break;
    case Poison::overflow:
      append("1.0", R"(,"quantity":2147483647)");
      break;
    case Poison::duplicate_member:
      append("1.0", R"(,"quantity":1,"quantity":2)");
      break;
    case Poison::invalid_utf8:
      append("1.0", ",\"quantity\":1,\"note\":\"\xc3\x28\xff\"");
      break;
    case Poison::wrong_specversion:
      append("0.3", R"(,"quantity":1)");
      break;
    case Poison::too_deep:
      append("1.0", R"(,"quantity":1,"note":)" + std::string(10'000, '[') + std::string(10'000, ']'));
      break;
  }
}

}  // namespace daybook::simulation
