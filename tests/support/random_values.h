// Random traffic for a view with each kind of value: few keys, values of all sizes and signs, late events, events that
// break rules, copies. The same seed gives the same events.
#pragma once

#include <random>
#include <string>
#include <vector>

#include "core/definition_reader.h"
#include "tests/support/fake_source.h"

namespace daybook::test {

inline ViewDefinition view_of_all_values() {
  const char* const text = R"({
    "view": "values", "kind": "summary",
    "key": [{"name": "k", "type": "text"}, {"name": "hour", "type": "hour", "time_zone": "Asia/Kathmandu"}],
    "columns": [
      {"name": "events", "type": "int", "value": "count"},
      {"name": "hours", "type": "decimal", "scale": 3, "value": "sum"},
      {"name": "least", "type": "decimal", "scale": 3, "value": "min"},
      {"name": "most", "type": "bigint", "value": "max"},
      {"name": "mean", "type": "decimal", "scale": 3, "value": "avg"},
      {"name": "whole_mean", "type": "bigint", "value": "avg"},
      {"name": "state", "type": "text", "value": "last"},
      {"name": "reading", "type": "bigint", "value": "last"},
      {"name": "first_at", "type": "timestamp", "value": "min"},
      {"name": "seen_at", "type": "timestamp", "value": "last"},
      {"name": "rate", "type": "decimal", "scale": 6, "value": "ratio", "of": ["hours", "events"]},
      {"name": "p50", "type": "bigint", "value": "quantile", "quantile": 0.5},
      {"name": "p99", "type": "bigint", "value": "quantile", "quantile": 0.99, "of": ["p50"]},
      {"name": "p10", "type": "decimal", "scale": 3, "value": "quantile", "quantile": 0.1},
      {"name": "users", "type": "int", "value": "distinct"}],
    "sources": [
      {"topic": "a.events", "event": "hours", "key": {"k": "/data/k", "hour": "/time"},
       "add": {"events": 1, "hours": "/data/hours"}, "take": {"least": "/data/hours", "mean": "/data/hours", "p10": "/data/hours"}},
      {"topic": "a.events", "event": "corrected", "key": {"k": "/data/k", "hour": "/time"}, "subtract": {"hours": "/data/hours"}},
      {"topic": "a.events", "event": "reading", "key": {"k": "/data/k", "hour": "/time"},
       "take": {"most": "/data/n", "whole_mean": "/data/n", "reading": "/data/n", "p50": "/data/n", "first_at": "/time", "seen_at": "/time"}},
      {"topic": "b.events", "event": "reading", "key": {"k": "/data/k", "hour": "/time"},
       "take": {"reading": "/data/n", "p50": "/data/n", "state": "/data/state", "users": "/data/user"}}]
  })";
  return std::get<ViewDefinition>(read_definition(text));
}

// The events by topic, without their places in the log. With `times_apart` no two have the same time, so that the rows
// depend on nothing but the set of events.
inline std::vector<std::pair<std::string, std::string>> random_value_events(std::uint32_t seed, int events,
                                                                            bool times_apart) {
  std::mt19937_64 random(seed);
  const auto below = [&random](std::uint64_t n) { return random() % n; };
  const auto padded = [](std::uint64_t n, std::size_t size) {
    std::string text = std::to_string(n);
    return std::string(size - std::min(size, text.size()), '0') + text;
  };
  std::vector<std::pair<std::string, std::string>> all;
  for (int i = 0; i < events; ++i) {
    const std::uint64_t micro = times_apart ? static_cast<std::uint64_t>(i) : below(2) * 500'000;
    const std::string time = "2026-03-10T" + padded(8 + below(3), 2) + ":" + padded(below(4) * 15, 2) + ":00." +
                             padded(micro, 6) + (below(2) == 0 ? "Z" : "+05:45");
    const std::int64_t number = static_cast<std::int64_t>(random()) >> (2 + below(60));
    std::string hours = std::to_string(static_cast<std::int64_t>(random()) >> (30 + below(34)));
    if (below(4) > 0) hours += "." + padded(below(1000), 3);
    if (below(12) == 0) hours += "5";  // a digit too many, where there is a point
    if (below(4) == 0) hours = "\"" + hours + "\"";
    const std::string user = below(3) == 0 ? std::to_string(below(20)) : "\"u" + std::to_string(below(200)) + "\"";
    const std::string data = R"("data":{"k":"k)" + std::to_string(below(3)) + R"(","hours":)" + hours + R"(,"n":)" +
                             std::to_string(number) + R"(,"state":"s)" + std::to_string(below(9)) + R"(","user":)" +
                             user + "}}";
    const char* const types[] = {"hours", "hours", "corrected", "reading"};
    const bool of_b = below(3) == 0;
    const std::string type = of_b ? "reading" : types[below(4)];
    all.emplace_back(of_b ? "b.events" : "a.events", R"({"specversion":"1.0","source":"/s","id":")" +
                                                         std::to_string(i) + R"(","type":")" + type + R"(","time":")" +
                                                         time + "\"," + data);
  }
  return all;
}

// In a random order over the partitions, with copies of some behind them or on other partitions.
inline Log scattered(const std::vector<std::pair<std::string, std::string>>& events, std::uint32_t seed, int partitions,
                     bool copies_elsewhere) {
  std::mt19937 random(seed);
  std::vector<std::size_t> order(events.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::shuffle(order.begin(), order.end(), random);
  Log log;
  for (const char* topic : {"a.events", "b.events"}) {
    for (int p = 0; p < partitions; ++p) log[{topic, p}];
  }
  for (const std::size_t i : order) {
    const auto& [topic, value] = events[i];
    const auto partition = static_cast<std::int32_t>(random() % static_cast<std::uint32_t>(partitions));
    for (int copies = random() % 6 == 0 ? 2 : 1; copies > 0; --copies) {
      const bool elsewhere = copies_elsewhere && random() % 2 == 0;
      auto& records = log[{topic, elsewhere ? (partition + 1) % partitions : partition}];
      const std::int64_t next = records.empty() ? 0 : records.rbegin()->first + 1;
      records[next] = LogRecord{value, 1'790'000'000'000, {}};
    }
  }
  return log;
}

}  // namespace daybook::test
