#include "producer/blood_bank_traffic.h"

#include <algorithm>

namespace daybook::simulation {
namespace {

constexpr std::int64_t most_days_late = 5;
constexpr std::int64_t stock_that_overflows = 10;  // this + 2147483647 is no INT whatever is still under way

}  // namespace

BloodBankTraffic::BloodBankTraffic(const TrafficOptions& options)
    : options_(options),
      bank_(options.seed, options.entities),
      text_(options.seed, options.entities),
      late_share_(options.late) {}

void BloodBankTraffic::address(TrafficMessage& message, const Event& event) const {
  message.topic = blood_bank_topic;
  message.key = text_.facility_id(event.facility);
}

void BloodBankTraffic::make(TrafficMessage& message, Random& random, std::int64_t now_ms) {
  Event event;
  if (options_.random_days) {
    event = bank_.next_random(options_.begin_ms, options_.end_ms);
  } else {
    event = bank_.next(now_ms);
    make_late(message, event, random, now_ms);
  }
  address(message, event);
  text_.append(message.value, event);
}

// Tells of the event days after it happened. Not every event can be late, so that the share is owed until
// one comes that can.
void BloodBankTraffic::make_late(TrafficMessage& message, Event& event, Random& random, std::int64_t now_ms) {
  if (late_share_.drawn(random)) ++late_owed_;
  const std::int64_t most_days = std::min(most_days_late, (now_ms - options_.begin_ms) / day_ms);
  if (late_owed_ == 0 || most_days < 1 || !event.can_be_late()) return;
  const std::int64_t back = random.between(1, static_cast<int>(most_days)) * day_ms;
  event.time_ms -= back;
  event.begun_ms -= back;
  --late_owed_;
  message.late = true;
}

void BloodBankTraffic::make_poison(TrafficMessage& message, Poison kind, Random& random, std::int64_t now_ms) {
  Event event;
  event.id = random_uuid(random);
  event.reason = StockReason::donation;
  // At the period's end all that came before counts into the balance, so that the overflow is certain.
  event.time_ms = options_.random_days ? options_.end_ms - 1 : now_ms;
  event.facility = static_cast<std::uint32_t>(random.below(options_.entities));
  if (kind == Poison::overflow) {
    const std::optional<std::uint32_t> stocked = bank_.facility_with_stock(random, stock_that_overflows);
    if (stocked) {
      event.facility = *stocked;
    } else {
      kind = Poison::member_missing;
    }
  }
  address(message, event);
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
