// The traffic of every system: deterministic, as its schemas say, and as broken as asked for.
#include <doctest/doctest.h>

#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "core/civil_time.h"
#include "producer/event_line.h"
#include "producer/plain_system.h"
#include "producer/traffic.h"

using nlohmann::json;
namespace simulation = daybook::simulation;
using simulation::SystemKind;
using simulation::Traffic;
using simulation::TrafficMessage;
using simulation::TrafficOptions;

namespace {

TrafficOptions options(std::uint64_t events) {
  TrafficOptions made;
  made.seed = 11;
  made.events = events;
  made.entities = 60;
  made.begin_ms = *daybook::parse_date("2026-03-02") * simulation::day_ms - simulation::local_offset_ms;
  made.end_ms = made.begin_ms + 28 * simulation::day_ms;
  return made;
}

std::vector<TrafficMessage> all(const SystemKind& kind, const TrafficOptions& traffic_options) {
  Traffic traffic(kind, traffic_options);
  std::vector<TrafficMessage> messages;
  TrafficMessage message;
  while (traffic.next(message)) messages.push_back(message);
  return messages;
}

std::string bytes(const SystemKind& kind, const TrafficOptions& traffic_options) {
  std::string text;
  for (const TrafficMessage& message : all(kind, traffic_options))
    text += std::string(message.topic) + " " + message.key + " " + message.value + "\n";
  return text;
}

daybook::publishing::EventSchemas schemas(const SystemKind& kind) {
  return daybook::publishing::load_event_schemas(DAYBOOK_SOURCE_DIR "/schemas", std::string(kind.name));
}

}  // namespace

TEST_CASE("systems: found by name; each has as many entities by default as it may have, or fewer") {
  CHECK(simulation::find_system("bloodbanks") == nullptr);
  for (const SystemKind& kind : simulation::system_kinds()) {
    CHECK(simulation::find_system(kind.name) == &kind);
    CHECK(kind.default_entities >= 1);
    CHECK(kind.default_entities <= kind.most_entities);
    CHECK_FALSE(kind.topics.empty());
  }
}

TEST_CASE("systems: the same seed gives the same bytes, another seed others") {
  for (const SystemKind& kind : simulation::system_kinds()) {
    CAPTURE(kind.name);
    TrafficOptions mixed = options(3000);
    mixed.duplicates = 0.05;
    mixed.late = 0.05;
    mixed.poison = 0.05;
    const std::string first = bytes(kind, mixed);
    CHECK(first == bytes(kind, mixed));
    mixed.seed = 12;
    CHECK(first != bytes(kind, mixed));
  }
}

TEST_CASE("systems: every event is valid by its schema, and goes where that says; every schema has events") {
  for (const SystemKind& kind : simulation::system_kinds()) {
    CAPTURE(kind.name);
    const auto known = schemas(kind);
    daybook::publishing::EventLines lines({}, &known);
    daybook::publishing::OutgoingEvent out;
    std::map<std::string, int> types;
    std::set<std::string> topics, ids;
    for (const TrafficMessage& message : all(kind, options(12'000))) {
      const auto refusals = lines.convert(message.value, out);
      if (!refusals.empty()) FAIL(message.value << " " << refusals[0].pointer << " " << refusals[0].reason);
      REQUIRE(out.topic == message.topic);
      REQUIRE(out.key == message.key);
      const json event = json::parse(message.value);
      REQUIRE(ids.insert(event["id"]).second);
      topics.insert(out.topic);
      ++types[event["type"]];
    }
    CHECK(types.size() == known.size());
    for (const auto& [type, count] : types) CHECK_MESSAGE(count > 0, type << ": " << count);
    CHECK(topics == std::set<std::string>(kind.topics.begin(), kind.topics.end()));
  }
}

TEST_CASE("systems: shares are near what is asked; nothing that is sent late is lost") {
  for (const SystemKind& kind : simulation::system_kinds()) {
    CAPTURE(kind.name);
    TrafficOptions mixed = options(20'000);
    mixed.duplicates = 0.02;
    mixed.late = 0.03;
    mixed.poison = 0.04;
    std::uint64_t copies = 0, late = 0, poison = 0;
    std::map<std::string, std::string> sent;
    std::vector<std::pair<std::string, std::string>> copied;
    for (const TrafficMessage& message : all(kind, mixed)) {
      copies += message.copy;
      late += message.late && !message.copy;
      poison += message.poison;
      if (message.poison) continue;
      const std::string id = json::parse(message.value)["id"];
      if (message.copy)
        copied.emplace_back(id, message.value);
      else
        REQUIRE(sent.emplace(id, message.value).second);
    }
    for (const auto& [id, value] : copied) {
      if (sent[id] != value) FAIL_CHECK(value);  // of an event that was sent itself, sooner or later
    }
    CHECK(copies == doctest::Approx(400).epsilon(0.25));
    CHECK(late == doctest::Approx(600).epsilon(0.2));
    CHECK(poison == doctest::Approx(800).epsilon(0.15));
  }
}

TEST_CASE("systems: poison is refused by the schemas, has an id of its own, and is one line") {
  for (const SystemKind& kind : simulation::system_kinds()) {
    if (kind.name == "bloodbank") continue;  // whose broken events are tested beside their overflow
    CAPTURE(kind.name);
    const auto known = schemas(kind);
    daybook::publishing::EventLines lines({}, &known);
    daybook::publishing::OutgoingEvent out;
    TrafficOptions mixed = options(3'000);
    mixed.poison = 0.2;
    std::set<std::string> ids;
    std::uint64_t empty = 0, broken = 0;
    for (const TrafficMessage& message : all(kind, mixed)) {
      REQUIRE(message.value.find('\n') == std::string::npos);
      const auto refusals = lines.convert(message.value, out);
      const bool wide =
          message.value.find("\"note\":1e309") != std::string::npos;  // no number of JSON libraries' doubles
      if (refusals.empty() == message.poison) FAIL_CHECK(message.value.substr(0, 600));
      broken += message.poison;
      empty += message.value.empty();
      CHECK((!wide || message.poison));
      if (message.value.empty()) continue;
      const std::size_t at = message.value.find(R"("id":")") + 6;
      REQUIRE(ids.insert(message.value.substr(at, 36)).second);
    }
    CHECK(broken > 480);
    CHECK(empty == doctest::Approx(broken / 12.0).epsilon(0.1));
  }
}

TEST_CASE("systems: each way of breaking an event breaks it otherwise, and none but one leaves it whole") {
  const std::string event =
      R"({"specversion":"1.0","id":"00000000-0000-4000-8000-000000000000","source":"/s","type":"t","time":"2026-01-01T00:00:00.000Z","data":{"a":1,"n":"7.25","o":{"x":[1]}}})";
  std::set<std::string> seen = {event};
  for (int way = 0; way < simulation::poison_kinds; ++way) {
    const auto kind = static_cast<simulation::Poison>(way);
    const std::string broken = simulation::broken_event(event, "n", kind, {1, 2});
    CHECK(seen.insert(broken).second == (kind != simulation::Poison::overflow));  // which is for balances
    CHECK((broken.empty() || broken.find("8000-000000000002") != std::string::npos));
  }
  CHECK(simulation::broken_event(event, "o", simulation::Poison::member_null, {1, 2}).find(R"("o":null}})") !=
        std::string::npos);
}

TEST_CASE(
    "labor: hours are those that passed, on both days that clocks change; a day is one of the dealership's zone") {
  const SystemKind& kind = *simulation::find_system("labor-daily");
  std::map<std::string, std::unique_ptr<daybook::DayZone>> zones;
  std::map<std::string, int> quarters;  // by punch: what all its events add up to
  std::map<std::string, int> told;      // what its last one says
  std::set<std::string> over_midnight;
  TrafficOptions every_zone = options(15'000);
  every_zone.entities = 150;
  for (const TrafficMessage& message : all(kind, every_zone)) {
    const json data = json::parse(message.value)["data"];
    if (!data.contains("punch_id")) continue;
    const std::int64_t begin = *daybook::parse_instant(data["begins_at"].get<std::string>());
    const std::int64_t end = *daybook::parse_instant(data["ends_at"].get<std::string>());
    auto& zone = zones[data["time_zone"]];
    if (!zone) zone = std::make_unique<daybook::DayZone>(data["time_zone"].get<std::string>());
    REQUIRE(*zone->day_of(begin) == *daybook::parse_date(data["work_date"].get<std::string>()));
    if (data["kind"] == "punched") {
      REQUIRE(*zone->day_of(end - 1) == *zone->day_of(begin));
      if (*zone->day_of(end) != *zone->day_of(begin)) over_midnight.insert(data["time_zone"].get<std::string>());
    }
    const std::string hours = data["hours"];
    quarters[data["punch_id"]] += static_cast<int>(std::lround(std::stod(hours) * 4));
    told[data["punch_id"]] = static_cast<int>((end - begin) / 900);
  }
  CHECK(quarters.size() > 10'000);
  CHECK(quarters == told);
  CHECK(zones.size() == 6);
  CHECK(over_midnight.size() == 6);
}
