// What only a person can decide pauses a view: its log was cut, made anew or truncated, or floods it with events that
// can't be applied. After the pause nothing of a wrong log is in the rows, and a resumed view goes on.
#include <doctest/doctest.h>

#include "core/definition_reader.h"
#include "core/error.h"
#include "tests/support/memory_store.h"
#include "tests/support/random_log.h"
#include "tests/support/recomputed.h"
#include "tests/support/run_loop.h"

using namespace daybook;
using namespace daybook::test;

namespace {

ViewDefinition summary() {
  return load_definitions({DAYBOOK_SOURCE_DIR "/schemas/bloodbank/views/dashboard_daily_summary.json"}).front();
}

// Moved by hand.
class HandClock : public Clock {
 public:
  std::chrono::steady_clock::time_point now() override { return now_; }
  void advance(std::chrono::milliseconds by) { now_ += by; }

 private:
  std::chrono::steady_clock::time_point now_ = std::chrono::steady_clock::time_point{} + std::chrono::hours(1);
};

// A log whose beginning can be cut, whose cluster can change, and whose fetcher can get stuck.
class CutSource : public FakeSource {
 public:
  using FakeSource::FakeSource;
  std::string cluster_id() override { return cluster; }
  LogRange range(const TopicPartition& partition) override { return {begin, known_end(partition)}; }
  void start(const Positions& positions) override {
    ++starts;
    FakeSource::start(stuck ? Positions{} : positions);
  }

  std::string cluster = "cluster";
  std::int64_t begin = 0;
  bool stuck = false;
  int starts = 0;
};

// One worker of a view on a store that outlives it.
struct Worker {
  Worker(const Log& log, MemoryStore& store, Limits limits = RunOptions{}.limits)
      : view(summary()), source(log, view.topics(), 1, 10), loop(view, test_key, source, store, clock, limits) {}

  // Steps until the condition holds, the clock moving on; real time is the deadline, since commits take a thread.
  template <typename Condition>
  bool step_until(Condition condition) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (!condition()) {
      if (std::chrono::steady_clock::now() > deadline) return false;
      loop.step();
      clock.advance(std::chrono::milliseconds(10));
    }
    return true;
  }
  bool catches_up() {
    return step_until([this] { return loop.caught_up(); });
  }
  bool pauses() {
    return step_until([this] { return loop.paused().has_value(); });
  }

  ViewDefinition view;
  HandClock clock;
  CutSource source;
  Loop loop;
};

bool mentions(const std::optional<std::string>& why, const std::string& words) {
  return why && why->find(words) != std::string::npos;
}

LogRecord stock_change(int id, int quantity) {
  return {R"({"specversion":"1.0","source":"/s","id":")" + std::to_string(id) +
              R"(","type":"bloodbank.stock.changed","time":"2026-03-01T12:00:00Z","data":{"facility_id":)"
              R"("00000000-0000-4000-8000-000000000000","quantity":)" +
              std::to_string(quantity) + "}}",
          1'790'000'000'000,
          {}};
}

const TopicPartition partition{"bloodbank.events", 0};

Log log_of(int first_id, int events) {
  Log log;
  for (int i = 0; i < events; ++i) log[partition][i] = stock_change(first_id + i, 1);
  return log;
}

}  // namespace

TEST_CASE("a topic that was made again is not read on, whatever its length") {
  for (const int length : {20, 30, 500}) {
    CAPTURE(length);
    MemoryStore store(summary());
    Log log = log_of(0, 30);
    CHECK(Worker(log, store).catches_up());
    const Rows rows = store.rows();

    log = log_of(1'000, length);
    Worker worker(log, store);
    CHECK(worker.pauses());
    CHECK(mentions(worker.loop.paused(), "was deleted and made again, or truncated"));
    CHECK(store.rows() == rows);
    CHECK(store.positions().at(partition) == 30);
  }
}

TEST_CASE("the same log is read on from the record before the position, which is not counted as stale") {
  MemoryStore store(summary());
  Log log = log_of(0, 30);
  CHECK(Worker(log, store).catches_up());
  for (int i = 30; i < 60; ++i) log[partition][i] = stock_change(i, 1);
  Worker worker(log, store);
  CHECK(worker.catches_up());
  CHECK(worker.loop.counters().applied_events == 30);
  CHECK(worker.loop.counters().stale_records == 0);
  CHECK(text_of(store.rows()) == text_of(recomputed(worker.view, log, store.dead_letters())));
}

TEST_CASE("an anchor that compaction or retention took is no reason to stop") {
  for (const bool retention : {false, true}) {
    CAPTURE(retention);
    MemoryStore store(summary());
    const Log whole = log_of(0, 60);
    Log log = log_of(0, 30);
    CHECK(Worker(log, store).catches_up());
    log = whole;
    log[partition].erase(29);
    Worker worker(log, store);
    if (retention) worker.source.begin = 30;
    CHECK(worker.catches_up());
    CHECK(text_of(store.rows()) == text_of(recomputed(worker.view, whole, store.dead_letters())));
  }
}

TEST_CASE("retention that overtook the view pauses it for all its workers") {
  MemoryStore store(summary());
  Log log = log_of(0, 30);
  CHECK(Worker(log, store).catches_up());
  for (int i = 30; i < 60; ++i) log[partition][i] = stock_change(i, 1);
  Worker first(log, store);
  first.source.begin = 40;
  CHECK(first.pauses());
  CHECK(mentions(first.loop.paused(), "bloodbank.events/0@30 is to be read next, but the log begins at 40"));
  REQUIRE(first.step_until([&] { return store.is_paused(); }));

  Worker second(log, store);  // it could read, but the view is paused
  CHECK(second.pauses());
  CHECK(store.positions().at(partition) == 30);
  store.resume();
  CHECK(second.catches_up());
  CHECK(store.positions().at(partition) == 60);
}

TEST_CASE("a log that ends early for a moment is waited for") {
  MemoryStore store(summary());
  Log log = log_of(0, 30);
  CHECK(Worker(log, store).catches_up());
  const Log whole = log;
  log = log_of(0, 20);
  Worker worker(log, store);
  for (int i = 0; i < 100; ++i) {
    worker.loop.step();
    worker.clock.advance(std::chrono::milliseconds(10));
  }
  CHECK(!worker.loop.paused());
  log = whole;
  CHECK(worker.catches_up());
}

TEST_CASE("a flood of bad events pauses the view, its dead letters kept; a resumed one makes progress") {
  MemoryStore store(summary());
  Log log = log_of(0, 100);
  for (int i = 100; i < 300; ++i) log[partition][i] = {"{", 1'790'000'000'000, {}};
  Limits limits = RunOptions{}.limits;
  limits.flood_records = 50;
  limits.flood_share = 0.5;
  Worker worker(log, store, limits);
  CHECK(worker.pauses());
  CHECK(mentions(worker.loop.paused(), "of the last 50 events can't be applied"));
  CHECK(store.rows().size() == 1);
  int resumptions = 0;
  for (; store.positions().at(partition) < 300; ++resumptions) {
    const std::int64_t position = store.positions().at(partition);
    CHECK(store.dead_letters().size() == static_cast<std::size_t>(position) - 100);
    REQUIRE(worker.step_until([&] { return store.is_paused() || worker.loop.caught_up(); }));
    if (!store.is_paused()) break;  // what was left is no flood
    store.resume();
    REQUIRE(worker.step_until([&] { return store.positions().at(partition) > position; }));
  }
  CHECK(resumptions > 3);
  CHECK(store.dead_letters().size() == 200);

  MemoryStore other(summary());
  limits.flood_share = 1;
  Worker patient(log, other, limits);
  CHECK(patient.catches_up());
  CHECK(other.dead_letters().size() == 200);
}

TEST_CASE("another cluster is refused at once") {
  MemoryStore store(summary());
  const Log log = log_of(0, 30);
  CHECK(Worker(log, store).catches_up());
  Worker worker(log, store);
  worker.source.cluster = "another";
  CHECK_THROWS_AS(worker.pauses(), StopError);
}

TEST_CASE("a partition that brings nothing although the log goes on is started again") {
  MemoryStore store(summary());
  const Log log = log_of(0, 30);
  Limits limits = RunOptions{}.limits;
  Worker worker(log, store, limits);
  worker.source.stuck = true;
  CHECK(worker.step_until([&] { return worker.source.starts == 2; }));
  CHECK(worker.loop.counters().restarts == 1);
  worker.source.stuck = false;
  CHECK(worker.catches_up());
}
