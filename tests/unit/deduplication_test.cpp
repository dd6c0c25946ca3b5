// Deduplication as the loop does it: what makes it read the set again and what doesn't, ids that are used again, how
// far back the window reaches.
#include <doctest/doctest.h>
#include <spdlog/sinks/ostream_sink.h>
#include <spdlog/spdlog.h>

#include <sstream>

#include "core/definition_reader.h"
#include "tests/support/memory_store.h"
#include "tests/support/random_log.h"
#include "tests/support/run_loop.h"

using namespace daybook;
using namespace daybook::test;

namespace {

using namespace std::chrono_literals;

const TopicPartition partition{"bloodbank.events", 0};

ViewDefinition summary() {
  return load_definitions({DAYBOOK_SOURCE_DIR "/schemas/bloodbank/views/dashboard_daily_summary.json"}).front();
}

std::string stock_change(const std::string& id, int quantity) {
  return R"({"specversion":"1.0","source":"/s","type":"bloodbank.stock.changed","time":"2026-03-01T12:00:00Z","id":")" +
         id + R"(","data":{"facility_id":"00000000-0000-4000-8000-000000000001","quantity":)" +
         std::to_string(quantity) + "}}";
}

class ManualClock : public Clock {
 public:
  std::chrono::steady_clock::time_point now() override { return time; }
  std::chrono::steady_clock::time_point time{1h};
};

// What is logged while it lives.
class LogLines {
 public:
  LogLines() : before_(spdlog::default_logger()) {
    spdlog::set_default_logger(
        std::make_shared<spdlog::logger>("", std::make_shared<spdlog::sinks::ostream_sink_mt>(lines_)));
  }
  ~LogLines() { spdlog::set_default_logger(before_); }
  std::size_t count(const std::string& text) const {
    const std::string all = lines_.str();
    std::size_t found = 0;
    for (std::size_t at = 0; (at = all.find(text, at)) != std::string::npos; at += text.size()) ++found;
    return found;
  }

 private:
  std::ostringstream lines_;
  std::shared_ptr<spdlog::logger> before_;
};

class AgedStore : public MemoryStore {
 public:
  using MemoryStore::MemoryStore;
  std::optional<std::chrono::seconds> expire() override { return age; }
  std::optional<std::chrono::seconds> age;
};

// Rows of small commits are shared: older fingerprints come with the newer ones.
class GenerousStore : public MemoryStore {
 public:
  using MemoryStore::MemoryStore;
  Tail tail(std::int64_t) override { return MemoryStore::tail(0); }
  CommitOutcome commit(const Batch& batch, const OwnedPositions& owned, std::int64_t known_seq) override {
    if (const auto before = std::exchange(before_next_commit, nullptr)) before();
    return MemoryStore::commit(batch, owned, known_seq);
  }
  std::function<void()> before_next_commit;
};

}  // namespace

TEST_CASE("rebalances do not read the set again") {
  const ViewDefinition view = summary();
  for (std::uint32_t seed = 1; seed <= 20; ++seed) {
    CAPTURE(seed);
    const Log log = random_log(seed, 4, 300);
    MemoryStore store(view);
    RunOptions options;
    options.seed = seed;
    options.run_max = 10;
    options.limits.events_max = 20;
    options.rebalances = 6;
    run_loop(view, log, store, options);
    CHECK(store.loads == 1);
  }
}

TEST_CASE("an id that is used again with other data is counted and reported, a line a second at most") {
  const ViewDefinition view = summary();
  Log log;
  for (std::int64_t offset = 0; offset < 10; ++offset) {
    const bool again = offset > 1;
    log[partition][offset] = LogRecord{
        stock_change(again ? "re\\nused" : "first" + std::to_string(offset), again ? static_cast<int>(offset) : 1),
        1'790'000'000'000,
        {}};
  }
  log[partition][10] = LogRecord{stock_change("first0", 1), 1'790'000'000'000, {}};  // a true copy
  const LogLines lines;
  ManualClock clock;
  MemoryStore store(view);
  FakeSource source(log, view.topics(), 1, 1);
  Limits limits;
  limits.only_positions_age = 0ms;
  Loop loop(view, test_key, source, store, clock, limits);
  const auto deadline = std::chrono::steady_clock::now() + 20s;
  while (!loop.caught_up()) {
    loop.step();
    REQUIRE(std::chrono::steady_clock::now() < deadline);
  }
  CHECK(loop.counters().ids_reused == 7);
  CHECK(loop.counters().duplicates == 8);
  CHECK(loop.counters().applied_events == 3);
  CHECK(lines.count("other data") == 1);
  CHECK(lines.count("an event with the id of an earlier event and other data, dropped as a copy: bloodbank.events/0@3, "
                    "source /s, id re?used") == 1);
  clock.time += 1s;
  loop.step();
  CHECK(lines.count("other data") == 2);
  CHECK(lines.count("6 events, the last one with the id of an earlier event and other data, dropped as a copy: "
                    "bloodbank.events/0@9") == 1);
  clock.time += 1s;
  loop.step();
  CHECK(lines.count("other data") == 2);
  loop.finish(1s);
}

TEST_CASE("an id that two workers saw with other data is counted once") {
  const ViewDefinition view = summary();
  Log first, second;
  first[partition][0] = LogRecord{stock_change("same", 1), 1'790'000'000'000, {}};
  second[{"bloodbank.events", 1}][0] = LogRecord{stock_change("same", 2), 1'790'000'000'000, {}};
  const LogLines lines;
  ManualClock clock;
  GenerousStore store(view);
  FakeSource late_source(second, view.topics(), 1, 1);
  Limits limits;
  limits.only_positions_age = 0ms;
  Loop late(view, test_key, late_source, store, clock, limits);
  store.before_next_commit = [&] { run_loop(view, first, store, {}); };
  const auto deadline = std::chrono::steady_clock::now() + 20s;
  while (!late.caught_up()) {
    late.step();
    REQUIRE(std::chrono::steady_clock::now() < deadline);
  }
  CHECK(late.counters().ids_reused == 1);
  CHECK(late.counters().duplicates == 1);
  for (int look = 0; look < 3; ++look) {
    Log other;
    other[{"bloodbank.events", 2 + look}][0] =
        LogRecord{stock_change("other" + std::to_string(look), 1), 1'790'000'000'000, {}};
    run_loop(view, other, store, {});
    clock.time += 2s;
    late.step();
  }
  CHECK(late.counters().ids_reused == 1);
  CHECK(store.rows().begin()->second == std::vector<std::int64_t>{4, 0, 0});
  late.finish(1s);
}

TEST_CASE("the age of the window is asked for at the start, and grows with the clock") {
  const ViewDefinition view = summary();
  Log log;
  log[partition][0] = LogRecord{stock_change("one", 1), 1'790'000'000'000, {}};
  ManualClock clock;
  AgedStore store(view);
  FakeSource source(log, view.topics(), 1, 1);
  Loop loop(view, test_key, source, store, clock, {});
  CHECK(loop.deduplication_age() == std::nullopt);
  store.age = 100s;
  const auto deadline = std::chrono::steady_clock::now() + 20s;
  while (!loop.deduplication_age()) {
    loop.step();
    REQUIRE(std::chrono::steady_clock::now() < deadline);
  }
  CHECK(loop.deduplication_age() == 100s);
  clock.time += 7s;
  store.age = 0s;
  loop.step();
  CHECK(loop.deduplication_age() == 107s);
  clock.time += 4s;
  while (loop.deduplication_age() > 0s) {
    loop.step();
    REQUIRE(std::chrono::steady_clock::now() < deadline);
  }
  loop.finish(1s);
}
