// `latest` views on a real PostgreSQL: whatever the order and the batches in which states come, and whoever brings
// them, the rows are those that verify makes of the log. Seeds are in the messages.
#include "tests/support/states.h"

#include <doctest/doctest.h>

#include <random>
#include <thread>

#include "tests/support/feed_reader.h"
#include "tests/support/random_log.h"
#include "tests/support/run_loop.h"

using namespace daybook;
using namespace daybook::test;

namespace {

std::string run(PgView& pg, const Log& log, std::uint32_t seed) {
  RunOptions options;
  options.seed = seed;
  options.run_max = 1 + seed % 7;
  options.limits.events_max = 1 + seed * 5 % 40;
  options.rebalances = static_cast<int>(seed % 2);
  run_loop(pg.view(), log, *pg.store(), options);
  CHECK(verified(pg, log) == "");
  return text_of(table_of(pg));
}

// The reader of the feed parses rows and writes them again.
std::map<std::string, std::string> without_spelling(std::map<std::string, std::string> rows) {
  for (auto& [key, row] : rows) row = nlohmann::ordered_json::parse(row).dump();
  return rows;
}

}  // namespace

TEST_CASE("one log, read in any order and in batches of any size, gives the same rows") {
  for (std::uint32_t seed = 1; seed <= 4; ++seed) {
    CAPTURE(seed);
    std::mt19937 random(seed);
    // Many of the same version: then their places in the log decide.
    const Log log = log_of(random, people_events(random, 300, 40), 3);
    std::string first;
    for (std::uint32_t order = 1; order <= 3; ++order) {
      CAPTURE(order);
      PgView pg(people());
      const std::string rows = run(pg, log, seed * 10 + order);
      if (first.empty()) first = rows;
      CHECK(rows == first);
      CHECK(std::count(rows.begin(), rows.end(), '\n') > 3);
    }
  }
}

TEST_CASE("events of different versions give the same rows in each order and on any partition") {
  for (std::uint32_t seed = 1; seed <= 3; ++seed) {
    CAPTURE(seed);
    std::mt19937 random(seed);
    std::vector<TopicRecord> records = people_events(random, 200, 200);
    std::string first;
    for (std::uint32_t order = 1; order <= 3; ++order) {
      CAPTURE(order);
      std::shuffle(records.begin(), records.end(), random);
      std::vector<TopicRecord> sent = records;
      for (int copy = 0; copy < 40; ++copy) sent.push_back(records[random() % records.size()]);
      PgView pg(people());
      const std::string rows = run(pg, log_of(random, sent, 3), seed * 10 + order);
      if (first.empty()) first = rows;
      CHECK(rows == first);
    }
  }
}

TEST_CASE("workers at once on one latest view") {
  for (std::uint32_t seed = 1; seed <= 3; ++seed) {
    CAPTURE(seed);
    std::mt19937 random(seed);
    std::vector<TopicRecord> records = people_events(random, 500, 500);
    for (int copy = 0; copy < 80; ++copy) records.push_back(records[random() % records.size()]);
    const Log log = log_of(random, records, 4);
    PgView pg(people());
    std::vector<std::unique_ptr<PgStore>> stores;
    for (int worker = 0; worker < 2; ++worker) stores.push_back(pg.store());
    std::vector<std::thread> threads;
    for (std::uint32_t worker = 0; worker < 2; ++worker) {
      threads.emplace_back([&, worker] {
        RunOptions options;
        options.seed = seed * 3 + worker;
        options.run_max = 9;
        options.limits.events_max = 3 + seed * 9;
        run_loop(pg.view(), share_of(log, static_cast<int>(worker), 2), *stores[worker], options);
      });
    }
    for (std::thread& thread : threads) thread.join();
    CHECK(verified(pg, log) == "");
  }
}

TEST_CASE("the feed of a latest view: rows that change, rows that go") {
  for (std::uint32_t seed = 1; seed <= 3; ++seed) {
    CAPTURE(seed);
    std::mt19937 random(seed);
    const Log log = log_of(random, people_events(random, 300, 300), 2);
    PgView pg(people());
    FeedReader feed(pg);
    run(pg, log, seed);
    feed.poll();
    CHECK(feed.loads == 1);
    CHECK(feed.kinds["rows"] > 0);
    CHECK(feed.gone > 0);
    CHECK(without_spelling(feed.rows()) == without_spelling(feed.rows_in_table()));
    CHECK(feed.positions == feed.positions_in_table());
  }
}
