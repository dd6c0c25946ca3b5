// Events that only the database can refuse: each guilty one ends as a dead letter, its batch-mates are applied, and a
// copy of a refused event is judged anew, since a dead letter occupies no identity.
#include <doctest/doctest.h>

#include "core/definition_reader.h"
#include "tests/support/memory_store.h"
#include "tests/support/recomputed.h"
#include "tests/support/run_loop.h"

using namespace daybook;
using namespace daybook::test;

namespace {

constexpr std::int64_t int_max = 2'147'483'647;

std::string stock_change(int id, std::int64_t quantity) {
  return R"({"specversion":"1.0","source":"/s","id":")" + std::to_string(id) +
         R"(","type":"bloodbank.stock.changed","time":"2026-03-01T12:00:00Z","data":{"facility_id":)"
         R"("00000000-0000-4000-8000-000000000000","quantity":)" +
         std::to_string(quantity) + "}}";
}

// Levels near the end of the column's type, up and down, with copies of refused and of applied events.
Log near_the_end(std::uint32_t seed, int partitions, int events) {
  std::minstd_rand random(seed);
  Log log;
  std::vector<std::string> sent;
  for (int i = 0; i < events; ++i) {
    std::string value;
    if (random() % 6 == 0 && !sent.empty()) {
      value = sent[random() % sent.size()];
    } else if (random() % 4 == 0) {
      value = stock_change(i, (random() % 2 == 0 ? 1 : -1) * int_max);
    } else {
      value = stock_change(i, static_cast<std::int64_t>(random() % 100) - 50);
    }
    sent.push_back(value);
    auto& records = log[{"bloodbank.events", static_cast<std::int32_t>(random() % static_cast<unsigned>(partitions))}];
    records[static_cast<std::int64_t>(records.size())] = {value, 1'790'000'000'000, {}};
  }
  return log;
}

}  // namespace

TEST_CASE("refused events, with copies of them, in batches of any size") {
  const ViewDefinition view =
      load_definitions({DAYBOOK_SOURCE_DIR "/schemas/bloodbank/views/dashboard_daily_summary.json"}).front();
  std::uint64_t refused = 0;
  std::uint64_t restarts = 0;
  for (std::uint32_t seed = 1; seed <= 40; ++seed) {
    CAPTURE(seed);
    const Log log = near_the_end(seed, 1 + static_cast<int>(seed % 3), 200);
    MemoryStore store(view);
    RunOptions options;
    options.seed = seed;
    options.run_max = 1 + seed % 50;
    options.limits.events_max = 1 + seed % 60;
    options.limits.flood_share = 1;
    options.rebalances = static_cast<int>(seed % 3);
    const Counters counters = run_loop(view, log, store, options);
    refused += counters.dead_letters;
    restarts += counters.restarts;
    CHECK(text_of(store.rows()) == text_of(recomputed(view, log, store.dead_letters())));
  }
  CHECK(refused > 500);
  CHECK(restarts < refused / 2);  // most become dead letters without reading again
}

TEST_CASE("a flood of refused events pauses the view, whether they come in one batch or one by one") {
  const ViewDefinition view =
      load_definitions({DAYBOOK_SOURCE_DIR "/schemas/bloodbank/views/dashboard_daily_summary.json"}).front();
  // Of ten events after the one that fills the row, `refused` can't be applied.
  const auto run = [&view](int refused, std::size_t batch) {
    Log log;
    auto& records = log[{"bloodbank.events", 0}];
    records[0] = {stock_change(0, int_max), 1'790'000'000'000, {}};
    for (int i = 1; i <= 600; ++i) records[i] = {stock_change(i, i % 10 < refused ? 1 : 0), 1'790'000'000'000, {}};
    MemoryStore store(view);
    TestClock clock;
    FakeSource source(log, view.topics(), 1, 100);
    Limits limits = RunOptions{}.limits;
    limits.events_max = batch;
    limits.flood_records = 100;
    limits.flood_share = 0.5;
    Loop loop(view, test_key, source, store, clock, limits);
    const auto deadline = clock.now() + std::chrono::seconds(30);
    while (!loop.caught_up() && !loop.paused() && clock.now() < deadline) loop.step();
    CHECK(clock.now() < deadline);
    return loop.paused().has_value();
  };
  for (const std::size_t batch : {1, 200}) {
    CAPTURE(batch);
    CHECK(run(10, batch));
    CHECK(run(7, batch));
    CHECK_FALSE(run(3, batch));
  }
}

TEST_CASE("after a refused event, copies without end do not stop the loop") {
  const ViewDefinition view =
      load_definitions({DAYBOOK_SOURCE_DIR "/schemas/bloodbank/views/dashboard_daily_summary.json"}).front();
  Log log;
  auto& records = log[{"bloodbank.events", 0}];
  records[0] = {stock_change(0, int_max), 1'790'000'000'000, {}};
  records[1] = {stock_change(1, 1), 1'790'000'000'000, {}};
  for (int i = 2; i <= 150'000; ++i) records[i] = records[0];
  MemoryStore store(view);
  RunOptions options;
  options.run_max = 2'000;
  options.limits.bytes_max = std::size_t{1} << 20;  // 65,536 dropped copies
  CHECK_NOTHROW(run_loop(view, log, store, options));
  CHECK(store.dead_letters().size() == 1);
  CHECK(store.positions().begin()->second == 150'001);
}
