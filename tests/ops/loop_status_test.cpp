// What a loop tells about itself while things happen to it.
#include <doctest/doctest.h>

#include "core/definition_reader.h"
#include "tests/support/memory_store.h"
#include "tests/support/random_log.h"
#include "tests/support/run_loop.h"

using namespace daybook;
using namespace daybook::test;
using namespace std::chrono_literals;

namespace {

ViewDefinition summary() {
  return load_definitions({DAYBOOK_SOURCE_DIR "/schemas/bloodbank/views/dashboard_daily_summary.json"}).front();
}

// A store that can go away.
class AbsentStore : public MemoryStore {
 public:
  using MemoryStore::MemoryStore;
  bool connect() override {
    if (absent) throw RetryError("database: connection refused");
    return std::exchange(was_absent, false);
  }
  bool is_connected() override { return !absent; }
  Head head() override {
    if (absent) was_absent = true;
    if (absent) throw RetryError("database: the connection is gone");
    return MemoryStore::head();
  }
  bool absent = false;
  bool was_absent = false;
};

class TroubledSource : public FakeSource {
 public:
  using FakeSource::FakeSource;
  std::string outage() override { return why; }
  std::string why;
};

struct Fixture {
  ViewDefinition view = summary();
  Log log = random_log(1, 3, 500);
  AbsentStore store{view};
  TestClock clock;
  TroubledSource source{log, view.topics(), 1, 50};
  Limits limits = RunOptions{}.limits;
  Loop loop{view, test_key, source, store, clock, limits};

  ViewStatus step_until(ViewStatus::State state) {
    const auto deadline = clock.now() + 10s;
    for (;;) {
      loop.step();
      ViewStatus status = loop.status();
      if (status.state == state || clock.now() > deadline) return status;
    }
  }
  void step_until_caught_up() {
    const auto deadline = clock.now() + 10s;
    while (!loop.caught_up() && clock.now() < deadline) loop.step();
    REQUIRE(loop.caught_up());
  }
};

}  // namespace

TEST_CASE_FIXTURE(Fixture, "a run's figures add up") {
  CHECK(loop.status().state == ViewStatus::State::waiting);
  step_until_caught_up();
  const ViewStatus status = loop.status();
  CHECK(status.state == ViewStatus::State::reading);
  CHECK(status.reason.empty());
  REQUIRE(status.partitions.size() == 3);
  for (const PartitionStatus& partition : status.partitions) {
    CHECK(partition.next_offset == store.positions().at(partition.name));
    CHECK(partition.log_end == partition.next_offset);
  }
  const auto total = [](const Histogram& histogram) {
    std::uint64_t count = 0;
    for (const std::uint64_t one : histogram.counts()) count += one;
    return count;
  };
  CHECK(status.counters.commits > 0);
  CHECK(total(status.commits.seconds) == status.counters.commits);
  CHECK(total(status.commits.rows) == status.counters.commits);
  CHECK(status.commits.events.sum() == static_cast<double>(status.counters.applied_events));
  CHECK(status.committed_at.has_value());
  CHECK(status.database_connected);
  CHECK(status.fingerprints == status.counters.applied_events);
  CHECK(status.window_events == view.deduplication_window_events);
}

TEST_CASE_FIXTURE(Fixture, "a pause is told with its reason, and its end") {
  step_until_caught_up();
  store.pause("maintenance");
  source.rebalance();
  const ViewStatus paused = step_until(ViewStatus::State::paused);
  CHECK(paused.state == ViewStatus::State::paused);
  CHECK(paused.reason == "maintenance");
  store.resume();
  CHECK(step_until(ViewStatus::State::reading).state == ViewStatus::State::reading);
}

TEST_CASE_FIXTURE(Fixture, "an absent database is told with its reason, and its return") {
  step_until_caught_up();
  store.absent = true;
  const ViewStatus away = step_until(ViewStatus::State::waiting);
  CHECK(away.state == ViewStatus::State::waiting);
  CHECK(away.reason.find("database: ") == 0);
  CHECK_FALSE(away.database_connected);
  store.absent = false;
  CHECK(step_until(ViewStatus::State::reading).database_connected);
}

TEST_CASE_FIXTURE(Fixture, "absent brokers are told as soon as the source knows") {
  step_until_caught_up();
  source.why = "broker: 1/1 brokers are down";
  CHECK(loop.status().state == ViewStatus::State::waiting);
  CHECK(loop.status().reason == source.why);
  source.why = "";
  CHECK(loop.status().state == ViewStatus::State::reading);
}

TEST_CASE("a value is counted at the first bound that is not below it") {
  Histogram histogram({1, 10});
  for (const double value : {0.5, 1.0, 1.5, 10.0, 11.0}) histogram.observe(value);
  CHECK(histogram.counts() == std::vector<std::uint64_t>{2, 2, 1});
  CHECK(histogram.sum() == 24);
}
