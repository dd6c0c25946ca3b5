// `latest` and `log` views on a real PostgreSQL: whatever the order and the batches in which states come, and whoever
// brings them, the rows are those that verify makes of the log. Seeds are in the messages.
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

TEST_CASE("a log has the same rows in each order, of events with one key the first by its place") {
  for (std::uint32_t seed = 1; seed <= 3; ++seed) {
    CAPTURE(seed);
    std::mt19937 random(seed);
    const Log log = log_of(random, entry_events(random, 300, 4), 3);
    std::string first;
    for (std::uint32_t order = 1; order <= 3; ++order) {
      CAPTURE(order);
      PgView pg(entries());
      FeedReader feed(pg);
      const std::string rows = run(pg, log, seed * 10 + order);
      if (first.empty()) first = rows;
      CHECK(rows == first);
      const auto lines = std::count(rows.begin(), rows.end(), '\n');
      CHECK(lines > 100);
      CHECK(lines < 280);  // some have the same key
      feed.poll();
      CHECK(feed.loads == 1);
      CHECK(without_spelling(feed.rows()) == without_spelling(feed.rows_in_table()));
      // Midnight is that of UTC: an hour of the first day is on the one before.
      CHECK(pg.query("SELECT count(*), min(begins), max(ends - begins) FROM daybook.log_partition WHERE generation = " +
                     pg.g())[0][0]
                .as<int>() == 11);
    }
  }
}

TEST_CASE("workers at once on one log view") {
  std::mt19937 random(5);
  std::vector<TopicRecord> records = entry_events(random, 600, 1'000'000);
  for (int copy = 0; copy < 80; ++copy) records.push_back(records[random() % records.size()]);
  const Log log = log_of(random, records, 4);
  PgView pg(entries());
  std::vector<std::unique_ptr<PgStore>> stores;
  for (int worker = 0; worker < 2; ++worker) stores.push_back(pg.store());
  std::vector<std::thread> threads;
  for (std::uint32_t worker = 0; worker < 2; ++worker) {
    threads.emplace_back([&, worker] {
      RunOptions options;
      options.seed = worker;
      options.run_max = 9;
      options.limits.events_max = 20;
      run_loop(pg.view(), share_of(log, static_cast<int>(worker), 2), *stores[worker], options);
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(verified(pg, log) == "");
}

TEST_CASE("a log whose old partitions were taken out: late events make no rows, and readers are told") {
  std::mt19937 random(8);
  const std::vector<TopicRecord> records = entry_events(random, 300, 1000);
  Log all = log_of(random, records, 2);
  Log some;
  for (const auto& [partition, part] : all) {
    for (const auto& [offset, record] : part) {
      if (offset < static_cast<std::int64_t>(part.size()) / 2) some[partition][offset] = record;
    }
  }
  PgView pg(entries());
  FeedReader feed(pg);
  run(pg, some, 3);
  for (const char* day : {"2026-03-09", "2026-03-10", "2026-03-11"})
    pg.query("SELECT daybook.detach_partition(" + pg.g() + ", '" + day + " 00:00:00Z')");
  feed.poll();
  CHECK(without_spelling(feed.rows()) == without_spelling(feed.rows_in_table()));
  run_loop(pg.view(), all, *pg.store(), {});
  CHECK(pg.query("SELECT count(*) FROM " + pg.view().name + " WHERE at < '2026-03-12 00:00:00Z'")[0][0].as<int>() == 0);
  CHECK(verified(pg, all, "2026-03-12 00:00:00+00") == "");
  CHECK(verified(pg, all) != "");
  for (const char* day : {"20260309", "20260310", "20260311"}) pg.query("DROP TABLE daybook.log_" + pg.g() + "_" + day);
}

TEST_CASE("what the database can't take of a log ends as a dead letter, the rest of the batch as rows") {
  ViewDefinition view = entries();
  PgView pg(view);
  pg.query("CREATE INDEX ON " + pg.view().name + " (message)");  // as lists by that column have
  std::mt19937 random(2);
  std::vector<TopicRecord> records = entry_events(random, 40, 1000);
  std::string noise;  // that does not become shorter by compression
  while (noise.size() < 20'000) noise += std::to_string(random());
  nlohmann::json large = nlohmann::json::parse(records[7].value);
  large["id"] = "large";
  large["data"]["n"] = 5000;  // a key of its own
  large["data"]["message"] = noise;
  records.insert(records.begin() + 20, {records[7].topic, large.dump()});
  const Log log = log_of(random, records, 1);
  RunOptions options;
  options.limits.events_max = 1000;
  run_loop(pg.view(), log, *pg.store(), options);
  std::string codes;
  for (const DeadLetter& letter : pg.dead_letters()) {
    if (letter.rejection.code != "member") codes += letter.rejection.code + " ";
  }
  CHECK(codes == "database ");
  CHECK(verified(pg, log) == "");
}
