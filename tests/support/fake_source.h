// A log in memory behind the worker's Source port: partitions are lists of records, one group with one member.
#pragma once

#include <algorithm>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "core/error.h"
#include "worker/ports.h"

namespace daybook::test {

struct LogRecord {
  std::optional<std::string> value;
  std::int64_t timestamp_ms = 0;
  std::vector<std::pair<std::string, std::string>> headers;
  std::optional<std::string> key = std::nullopt;
};

// Offsets are list positions, plus what a gap left out.
using Log = std::map<TopicPartition, std::map<std::int64_t, LogRecord>>;

class FakeSource : public Source, private HeaderReader {
 public:
  // Delivers runs of 1 to `run_max` records from partitions chosen by `seed`.
  FakeSource(const Log& log, std::vector<std::string> topics, std::uint32_t seed, std::size_t run_max)
      : log_(log), topics_(std::move(topics)), random_(seed), run_max_(run_max) {}

  Polled poll(std::chrono::milliseconds) override {
    records_.clear();
    ends_.clear();
    Polled polled;
    if (assign_next_) {
      assign_next_ = false;
      polled.revoked = true;
      polled.assigned.emplace();
      for (const auto& [partition, records] : log_) polled.assigned->push_back(partition);
      return polled;
    }
    if (next_.empty()) return polled;
    auto chosen = std::next(next_.begin(), static_cast<std::ptrdiff_t>(random_() % next_.size()));
    const auto& [partition, records] = *log_.find(chosen->first);
    std::size_t run = 1 + random_() % run_max_;
    auto record = records.lower_bound(chosen->second);
    for (; record != records.end() && run > 0; ++record, --run) {
      Record out;
      const auto topic = std::find(topics_.begin(), topics_.end(), partition.topic) - topics_.begin();
      out.topic = static_cast<std::uint32_t>(topic);
      out.partition = partition.partition;
      out.offset = record->first;
      out.timestamp_ms = record->second.timestamp_ms;
      if (record->second.key) out.key = *record->second.key;
      if (record->second.value) out.value = *record->second.value;
      out.header_reader = this;
      out.native = &record->second;
      records_.push_back(out);
      chosen->second = record->first + 1;
    }
    if (record == records.end()) ends_.emplace_back(partition, records.empty() ? 0 : std::prev(record)->first + 1);
    polled.records = records_;
    polled.ends = ends_;
    return polled;
  }
  void start(const Positions& positions) override { next_ = positions; }
  void stop() override { next_.clear(); }
  std::string cluster_id() override { return "cluster"; }
  LogRange range(const TopicPartition& partition) override { return {0, known_end(partition)}; }
  std::int64_t known_end(const TopicPartition& partition) override {
    const auto& records = log_.at(partition);
    return records.empty() ? 0 : records.rbegin()->first + 1;
  }
  void mirror(const Positions& positions) override { mirrored = positions; }
  void wake() override {}

  void rebalance() { assign_next_ = true; }

  Positions mirrored;

 private:
  void read(const void* native, std::vector<Header>& out) const override {
    for (const auto& [name, value] : static_cast<const LogRecord*>(native)->headers) out.push_back({name, value});
  }

  const Log& log_;
  std::vector<std::string> topics_;
  std::minstd_rand random_;
  std::size_t run_max_;
  bool assign_next_ = true;
  Positions next_;
  std::vector<Record> records_;
  std::vector<std::pair<TopicPartition, std::int64_t>> ends_;
};

// Real time: the loop's waits are short, and nothing that these tests look at depends on it.
class TestClock : public Clock {
 public:
  std::chrono::steady_clock::time_point now() override { return std::chrono::steady_clock::now(); }
};

}  // namespace daybook::test
