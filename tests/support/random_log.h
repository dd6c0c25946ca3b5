// Random traffic for properties: few keys, days in any order, copies of events on any partition, events that break
// rules. The same seed gives the same log.
#pragma once

#include <random>
#include <string>

#include "tests/support/fake_source.h"

namespace daybook::test {

inline Log random_log(std::uint32_t seed, int partitions, int events) {
  std::mt19937 random(seed);
  const auto below = [&random](std::uint32_t n) { return random() % n; };
  const auto two = [](std::uint32_t n) { return (n < 10 ? "0" : "") + std::to_string(n); };
  Log log;
  for (int p = 0; p < partitions; ++p) log[{"bloodbank.events", p}];
  std::vector<std::string> sent;
  for (int i = 0; i < events; ++i) {
    const std::string facility = "00000000-0000-4000-8000-0000000000" + two(below(4));
    const std::string day = "2026-03-" + two(1 + below(28));
    const std::string quantity = std::to_string(static_cast<int>(below(41)) - 20);
    const std::string head = R"({"specversion":"1.0","source":"/s","id":")" + std::to_string(i) + "\",";
    std::string value;
    switch (below(12)) {
      case 0:
      case 1:
        value = head + R"("type":"bloodbank.request.created","data":{"facility_id":")" + facility +
                R"(","created_at":")" + day + R"(T12:00:00Z"}})";
        break;
      case 2:
        value = head + R"("type":"bloodbank.units.transferred","data":{"dispatched_to_id":")" + facility +
                R"(","date_delivered":")" + day + R"(","quantity":)" + quantity + "}}";
        break;
      case 3:
        value = head + R"("type":"bloodbank.stock.changed","time":"yesterday","data":{}})";
        break;
      case 4:
        value = sent.empty() ? "{" : sent[below(static_cast<std::uint32_t>(sent.size()))];
        break;
      case 5:
        value = sent.empty() ? "" : sent.back();
        break;
      default:
        value = head + R"("type":"bloodbank.stock.changed","time":")" + day + R"(T12:00:00Z","data":{"facility_id":")" +
                facility + R"(","quantity":)" + quantity + "}}";
    }
    sent.push_back(value);
    auto& records = log[{"bloodbank.events", static_cast<std::int32_t>(below(static_cast<std::uint32_t>(partitions)))}];
    const std::int64_t next = records.empty() ? 0 : records.rbegin()->first + 1;
    records[next + (below(20) == 0 ? 2 : 0)] = LogRecord{value, 1'790'000'000'000, {}};
  }
  return log;
}

// What one of `workers` reads: every partition whose number is `worker` modulo `workers`.
inline Log share_of(const Log& log, int worker, int workers) {
  Log share;
  for (const auto& [partition, records] : log) {
    if (partition.partition % workers == worker) share[partition] = records;
  }
  return share;
}

}  // namespace daybook::test
