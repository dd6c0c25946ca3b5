#include "producer/blood_bank.h"

#include <algorithm>

#include "producer/calendar.h"

namespace daybook::simulation {

constexpr std::int64_t comfortable_stock = 120;  // above it donors are asked to come later
constexpr std::int64_t spare_stock = 12;         // a facility with less sends nothing away

BloodBank::BloodBank(std::uint64_t seed, std::uint32_t facilities)
    : random_(Random::mix(seed ^ 0x5eed0b100dba2c5u)), seed_(seed), stock_(facilities, 0), open_(facilities, false) {}

Event BloodBank::make(EventKind kind, std::uint32_t facility, std::int64_t now_ms) {
  Event event;
  event.kind = kind;
  event.facility = facility;
  event.time_ms = now_ms;
  event.begun_ms = now_ms;
  event.id = {random_.next(), random_.next()};
  // About half of all donors and patients have group O+; the rest are spread.
  event.blood_group = static_cast<std::uint8_t>(random_.one_in(2) ? 0 : random_.below(blood_groups));
  return event;
}

Event BloodBank::change_stock(std::uint32_t facility, StockReason reason, std::int32_t quantity, std::int64_t now_ms) {
  Event event = make(EventKind::stock_changed, facility, now_ms);
  event.reason = reason;
  event.quantity = quantity;
  stock_[facility] += quantity;
  return event;
}

void BloodBank::schedule(std::int64_t time_ms, const Event& event) { later_.push({time_ms, scheduled_++, event}); }

Event BloodBank::create_request(std::uint32_t facility, bool urgent, std::int64_t now_ms) {
  Event event = make(EventKind::request_created, facility, now_ms);
  event.urgent = urgent;
  event.quantity = random_.between(1, urgent ? 8 : 4);
  event.entity = {random_.next(), random_.next()};
  if (random_.per_mille(150)) {
    event.followed = true;
    Event cancelled = event;
    cancelled.kind = EventKind::request_cancelled;
    cancelled.id = {random_.next(), random_.next()};
    schedule(now_ms + random_.between(1, 48 * 60) * 60 * second_ms, cancelled);
  }
  return event;
}

// Another facility with units to spare sends some: they leave its stock now and arrive hours later.
void BloodBank::send_units(std::uint32_t receiver, std::uint8_t blood_group, std::int64_t now_ms) {
  const std::optional<std::uint32_t> sender = facility_with_stock(random_, spare_stock);
  if (!sender || *sender == receiver) return;
  Event transfer = make(EventKind::units_transferred, receiver, now_ms);
  transfer.blood_group = blood_group;
  transfer.sender = *sender;
  transfer.quantity = random_.between(2, 8);
  transfer.entity = {random_.next(), random_.next()};
  now_.push_back(transfer);
  now_.push_back(change_stock(*sender, StockReason::transfer_out, -transfer.quantity, now_ms));
  now_.back().blood_group = blood_group;
  transfer.id = {random_.next(), random_.next()};
  transfer.delivered = true;
  schedule(now_ms + random_.between(2 * 60, 30 * 60) * 60 * second_ms, transfer);
}

Event BloodBank::issue(std::uint32_t facility, std::int64_t now_ms) {
  const std::int32_t asked = random_.between(1, 4);
  if (stock_[facility] >= asked) return change_stock(facility, StockReason::issue, -asked, now_ms);
  // Out of stock: what is there goes, more is asked for, and a facility that can sends some.
  const Event request = create_request(facility, true, now_ms);
  if (stock_[facility] == 0) {
    send_units(facility, request.blood_group, now_ms);
    return request;
  }
  const Event rest = change_stock(facility, StockReason::issue, -static_cast<std::int32_t>(stock_[facility]), now_ms);
  now_.push_back(request);
  send_units(facility, request.blood_group, now_ms);
  return rest;
}

// Facilities differ in size: half of the traffic prefers those with a low number.
std::uint32_t BloodBank::pick_facility() {
  const std::uint32_t one = static_cast<std::uint32_t>(random_.below(stock_.size()));
  if (random_.one_in(2)) return one;
  return std::min(one, static_cast<std::uint32_t>(random_.below(stock_.size())));
}

// One week in eight few donors come to a facility; that is when it runs out.
bool BloodBank::short_of_donors(std::uint32_t facility, std::int64_t now_ms) const {
  const std::uint64_t week = static_cast<std::uint64_t>((now_ms + local_offset_ms) / week_ms);
  return Random::mix(seed_ ^ (week << 32) ^ facility) % 8 == 0;
}

Event BloodBank::next(std::int64_t now_ms) {
  if (!now_.empty()) {
    const Event event = now_.front();  // keeps its time, which is that of the event before
    now_.pop_front();
    return event;
  }
  if (!later_.empty() && later_.top().time_ms <= now_ms) {
    Event event = later_.top().event;
    later_.pop();
    event.time_ms = now_ms;
    if (event.kind == EventKind::units_transferred) {
      now_.push_back(change_stock(event.facility, StockReason::transfer_in, event.quantity, now_ms));
      now_.back().blood_group = event.blood_group;
    }
    return event;
  }
  const std::uint32_t facility = pick_facility();
  if (!open_[facility]) {
    open_[facility] = true;
    return change_stock(facility, StockReason::opening, random_.between(20, 90), now_ms);
  }
  const Shift shift = shift_at(now_ms);
  std::uint64_t donations = shift == Shift::day ? 520 : shift == Shift::evening ? 360 : 20;
  if (is_weekend(now_ms)) donations = donations * 6 / 10;
  if (short_of_donors(facility, now_ms)) donations /= 4;
  if (stock_[facility] > comfortable_stock) donations /= 3;
  const std::uint64_t drawn = random_.below(1000);
  if (drawn < donations) return change_stock(facility, StockReason::donation, random_.between(1, 5), now_ms);
  if (drawn >= 900) return create_request(facility, shift == Shift::night, now_ms);
  return issue(facility, now_ms);
}

Event BloodBank::next_random(std::int64_t begin_ms, std::int64_t end_ms) {
  const std::uint32_t facility = static_cast<std::uint32_t>(random_.below(stock_.size()));
  const std::int64_t time_ms =
      begin_ms + static_cast<std::int64_t>(random_.below(static_cast<std::uint64_t>(end_ms - begin_ms)));
  const std::uint64_t drawn = random_.below(10);
  if (drawn < 2) {
    Event transfer = make(EventKind::units_transferred, facility, time_ms);
    transfer.sender = static_cast<std::uint32_t>(random_.below(stock_.size()));
    transfer.quantity = random_.between(1, 8);
    transfer.entity = {random_.next(), random_.next()};
    transfer.delivered = true;
    transfer.begun_ms = time_ms - 6 * hour_ms;
    return transfer;
  }
  if (drawn < 4) {
    Event request = make(EventKind::request_created, facility, time_ms);
    request.quantity = random_.between(1, 4);
    request.entity = {random_.next(), random_.next()};
    return request;
  }
  const std::int32_t quantity = random_.between(1, 4);
  const bool leaves = random_.one_in(2) && stock_[facility] >= quantity;
  return change_stock(facility, leaves ? StockReason::issue : StockReason::donation, leaves ? -quantity : quantity,
                      time_ms);
}

std::optional<std::uint32_t> BloodBank::facility_with_stock(Random& random, std::int64_t at_least) const {
  for (int tries = 0; tries < 16; ++tries) {
    const std::uint32_t facility = static_cast<std::uint32_t>(random.below(stock_.size()));
    if (stock_[facility] >= at_least) return facility;
  }
  return std::nullopt;
}

}  // namespace daybook::simulation
