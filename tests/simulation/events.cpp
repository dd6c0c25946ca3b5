#include "tests/simulation/events.h"

#include <algorithm>
#include <functional>
#include <map>
#include <stdexcept>

#include "tests/support/run_loop.h"
#include "worker/decode/decoder.h"

namespace daybook::simulation {
namespace {

constexpr int facilities = 3;
constexpr int days = 8;

std::pair<std::uint64_t, std::uint64_t> bits(const Fingerprint& f) {
  return {f.identity_high, std::uint64_t{f.identity_low} << 32 | f.content};
}

std::string facility(int n) { return "00000000-0000-4000-8000-00000000000" + std::to_string(n % facilities); }
std::string day(int n) { return "2026-03-0" + std::to_string(1 + n % days); }

// `padding`: bytes that no view reads. `version`: of a state; none: 0.
std::string event_text(const std::string& id, int n, const std::string& quantity, int version, int padding = 0) {
  std::string head = R"({"specversion":"1.0","source":"/s","id":")" + id + "\",";
  if (version > 0) head += R"("version":)" + std::to_string(version) + ",";
  if (padding > 0) head += R"("note":")" + std::string(static_cast<std::size_t>(padding), 'x') + "\",";
  switch (n % 7) {
    case 0:
      return head + R"("type":"bloodbank.request.created","data":{"facility_id":")" + facility(n / 7) +
             R"(","created_at":")" + day(n / 21) + R"(T12:00:00Z"}})";
    case 1:
    case 2:
      return head + R"("type":"bloodbank.units.transferred","data":{"dispatched_to_id":")" + facility(n / 7) +
             R"(","date_delivered":")" + day(n / 21) + R"(","quantity":)" + quantity + "}}";
    default:
      return head + R"("type":"bloodbank.stock.changed","time":")" + day(n / 21) +
             R"(T12:00:00Z","data":{"facility_id":")" + facility(n / 7) + R"(","quantity":)" + quantity + "}}";
  }
}

}  // namespace

Events::Events(const ViewDefinition& definition) : view_(definition) {
  // More than any run has: copies are always within the window.
  view_.deduplication_window_events = 4'000;
  const auto scattered = [](int i) { return static_cast<int>(static_cast<unsigned>(i) * 2654435761U >> 8 & 0xFFFFF); };
  // Of states each has another one, and they come in no order.
  const auto version = [this](int i, int group) { return view_.has_states() ? 1 + i * 7919 % 10007 * 4 + group : 0; };
  const auto quantity = [&](int i) { return std::to_string(scattered(i) % 41 - 20); };
  // Some are large: batches and copies kept of them reach their bounds in bytes.
  const auto padding = [](int i) { return i % 4 == 0 ? 5'000 : 0; };
  valid = add(1'200, Event::Kind::valid, [&](int i) {
    return event_text("e" + std::to_string(i), scattered(i), quantity(i), version(i, 0), padding(i));
  });
  // The ids of the first ones again, with other data.
  reused = add(1'200, Event::Kind::valid, [&](int i) {
    return event_text("e" + std::to_string(i), scattered(i) / 7 * 7 + 4, std::to_string(1000 + i), version(i, 1));
  });
  poison = add(60, Event::Kind::poison, [&](int i) {
    return event_text("p" + std::to_string(i), scattered(i) / 7 * 7 + 4, "3000000000", version(i, 2));
  });
  invalid = add(40, Event::Kind::invalid, [&](int i) {
    switch (i % 4) {
      case 0:
        return event_text("i" + std::to_string(i), 4, "\"many\"", version(i, 0), padding(i));
      case 1:
        return std::string("{");
      case 2:
        return std::string();
      default:
        return R"({"specversion":"1.0","source":"/s","id":"i)" + std::to_string(i) +
               R"(","type":"bloodbank.stock.changed","time":"yesterday","data":{}})";
    }
  });
  passed_over = add(10, Event::Kind::passed_over, [](int i) -> std::optional<std::string> {
    if (i % 2 == 0) return std::nullopt;
    return R"({"specversion":"1.0","source":"/s","id":"o)" + std::to_string(i) + R"(","type":"bloodbank.other"})";
  });
  // Of a log that took the place of the right one.
  foreign = add(300, Event::Kind::valid,
                [&](int i) { return event_text("f" + std::to_string(i), scattered(i), quantity(i), version(i, 3)); });
  judge();
}

EventGroup Events::add(int count, Event::Kind kind, const std::function<std::optional<std::string>(int)>& value_of) {
  const EventGroup group{this->count(), count};
  for (int i = 0; i < count; ++i) {
    Event& event = events_.emplace_back();
    event.kind = kind;
    event.value = value_of(i);
    if (i % 3 == 0) event.key = "k" + std::to_string(i);
  }
  return group;
}

void Events::judge() {
  const verify::Recomputation judge(view_);
  std::map<verify::Key, int> rows;
  std::map<verify::Identity, int> identities;
  for (Event& event : events_) {
    verify::LogRecord record;
    record.topic = topic;
    record.timestamp_ms = timestamp_ms;
    if (event.value) record.value = *event.value;
    event.judgement = judge.judge(record);
    const bool contributes = event.judgement.outcome == verify::Outcome::contributes;
    if (contributes != (event.kind == Event::Kind::valid || event.kind == Event::Kind::poison) ||
        (event.judgement.outcome == verify::Outcome::invalid) != (event.kind == Event::Kind::invalid)) {
      throw std::logic_error("simulation: not the kind of event that it is meant to be: " +
                             event.value.value_or("null"));
    }
    if (!contributes) continue;
    for (const verify::Change& change : event.judgement.changes) rows.try_emplace(change.key, 0);
    for (const verify::StateChange& state : event.judgement.states) rows.try_emplace(state.key, 0);
    event.identity =
        identities.try_emplace(event.judgement.identity, static_cast<int>(identities.size())).first->second;
  }
  identities_ = static_cast<int>(identities.size());
  for (auto& [key, number] : rows) {
    number = static_cast<int>(rows_.size());
    rows_.push_back(key);
  }
  Decoder decoder(view_, test::test_key);
  DecodedEvent decoded;
  for (int number = 0; number < count(); ++number) {
    Event& event = events_[static_cast<std::size_t>(number)];
    if (event.identity < 0) continue;
    for (const verify::Change& change : event.judgement.changes) {
      for (const auto& [column, amount] : change.amounts)
        event.amounts.push_back({rows.at(change.key), column, amount});
    }
    Record record;
    record.timestamp_ms = timestamp_ms;
    record.value = *event.value;
    decoder.decode(record, decoded);
    event.fingerprint = decoded.fingerprint;
    by_fingerprint_.emplace(bits(event.fingerprint), number);
  }
}

int Events::find(const Fingerprint& fingerprint) const {
  const auto found = by_fingerprint_.find(bits(fingerprint));
  return found == by_fingerprint_.end() ? -1 : found->second;
}

int Events::row(const verify::Key& key) const {
  const auto found = std::lower_bound(rows_.begin(), rows_.end(), key);
  return found == rows_.end() || *found != key ? -1 : static_cast<int>(found - rows_.begin());
}

}  // namespace daybook::simulation
