// The same cases and properties on a real PostgreSQL: the worker's loop over a log in memory, committing through the
// real commit function. DAYBOOK_DATABASE names the server; each case has a view of its own.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>

#include <algorithm>
#include <cstdlib>
#include <random>
#include <thread>

#include "core/definition_reader.h"
#include "sql/embedded.h"
#include "tests/support/case_file.h"
#include "tests/support/pg_view.h"
#include "tests/support/random_log.h"
#include "tests/support/recomputed.h"
#include "tests/support/run_loop.h"

using namespace daybook;
using namespace daybook::test;

namespace {

ViewDefinition summary() {
  return load_definitions({DAYBOOK_SOURCE_DIR "/schemas/bloodbank/views/dashboard_daily_summary.json"}).front();
}

// Cases that name their view (redriven events) name the one that has its place here.
Log addressed_to(const std::string& name, const std::string& original, Log log) {
  for (auto& [partition, records] : log) {
    for (auto& [offset, record] : records) {
      const std::string quoted = "\"" + original + "\"";
      const std::size_t at = record.value ? record.value->find(quoted) : std::string::npos;
      if (at != std::string::npos) record.value->replace(at, quoted.size(), "\"" + name + "\"");
      for (auto& [header, value] : record.headers) {
        if (value == original) value = name;  // outside CloudEvents
      }
    }
  }
  return log;
}

std::string stock_change(std::size_t id) {
  return R"({"specversion":"1.0","source":"/s","type":"bloodbank.stock.changed","time":"2026-03-01T12:00:00Z","id":")" +
         std::to_string(id) + R"(","data":{"facility_id":"00000000-0000-4000-8000-000000000001","quantity":1}})";
}

std::vector<Fingerprint> loaded(Store& store) {
  std::vector<Fingerprint> all;
  std::uint64_t expected = 0;
  store.load([&](std::uint64_t count) { expected = count; },
             [&](std::span<const Fingerprint> chunk) { all.insert(all.end(), chunk.begin(), chunk.end()); });
  CHECK(all.size() == expected);
  return all;
}

}  // namespace

TEST_CASE("summary cases on PostgreSQL") {
  for (const CaseFile& test : load_cases(DAYBOOK_SOURCE_DIR "/tests/cases/summary")) {
    SUBCASE(test.name.c_str()) {
      INFO(test.about);
      for (const std::size_t events : {1, 3, 1000}) {
        for (const bool repeated : {false, true}) {
          CAPTURE(events);
          CAPTURE(repeated);
          PgView pg(test.view);
          const Log log =
              addressed_to(pg.view().name, test.view.name, repeated ? with_every_record_repeated(test.log) : test.log);
          RunOptions options;
          options.limits.events_max = events;
          options.run_max = 4;
          run_loop(pg.view(), log, *pg.store(), options);
          CHECK(text_of(pg.rows()) == text_of(test.rows));
          if (repeated) continue;
          const std::vector<DeadLetter> letters = pg.dead_letters();
          CHECK(letters.size() == test.dead_letters.size());
          for (const DeadLetter& letter : letters)
            CHECK(letter.value == log.at(letter.partition).at(letter.offset).value);
        }
      }
    }
  }
}

TEST_CASE("the table has the columns of the definition and no others") {
  PgView pg(summary());
  std::string columns;
  for (const auto& row :
       pg.query("SELECT column_name || ' ' || data_type FROM information_schema.columns WHERE table_name = '" +
                pg.view().name + "' ORDER BY ordinal_position")) {
    columns += std::string(row[0].c_str()) + ", ";
  }
  CHECK(columns ==
        "facility_id uuid, date date, total_stock integer, total_transferred integer, total_requests integer, "
        "updated_at timestamp with "
        "time zone, ");
}

TEST_CASE("a restarted worker still knows what it saw") {
  PgView pg(summary());
  const Log first = random_log(7, 3, 300);
  run_loop(pg.view(), first, *pg.store(), {});
  const Rows rows = pg.rows();
  const Log again = with_every_record_repeated(first);
  run_loop(pg.view(), again, *pg.store(), {});
  CHECK(text_of(pg.rows()) == text_of(rows));
}

TEST_CASE("workers at once on one view, copies of events on each other's partitions") {
  for (std::uint32_t seed = 1; seed <= 6; ++seed) {
    CAPTURE(seed);
    PgView pg(summary());
    const Log log = random_log(seed, 6, 900);
    std::vector<Log> shares;
    for (int worker = 0; worker < 3; ++worker) shares.push_back(share_of(log, worker, 3));
    std::vector<std::unique_ptr<PgStore>> stores;
    for (int worker = 0; worker < 3; ++worker) stores.push_back(pg.store());
    std::vector<std::thread> threads;
    for (std::uint32_t worker = 0; worker < 3; ++worker) {
      threads.emplace_back([&, worker] {
        RunOptions options;
        options.seed = seed * 3 + worker;
        options.run_max = 9;
        options.limits.events_max = 5 + seed * 9;
        options.rebalances = 1;
        run_loop(pg.view(), shares[worker], *stores[worker], options);
      });
    }
    for (std::thread& thread : threads) thread.join();
    CHECK(text_of(pg.rows()) == text_of(recomputed(pg.view(), log, pg.dead_letters())));
    const pqxx::result head = pg.query("SELECT seq FROM daybook.view_head WHERE generation = " + pg.g());
    CHECK(head[0][0].as<int>() > 0);
  }
}

TEST_CASE("a commit under an old epoch or from another offset changes nothing") {
  PgView pg(summary());
  const Log log = random_log(3, 1, 50);
  const TopicPartition partition{"bloodbank.events", 0};
  const auto store = pg.store();
  store->connect();
  const OwnedPosition first =
      std::get<OwnedPositions>(store->take("cluster", {partition}, {{partition, 0}})).at(partition);
  const OwnedPosition second =
      std::get<OwnedPositions>(store->take("cluster", {partition}, {{partition, 0}})).at(partition);
  CHECK(second.epoch == first.epoch + 1);

  Decoder decoder(pg.view(), test_key);
  DecodedEvent event;
  Record record;
  record.value =
      R"({"specversion":"1.0","source":"/s","id":"1","type":"bloodbank.stock.changed","time":"2026-03-01T12:00:00Z",)"
      R"("data":{"facility_id":"00000000-0000-4000-8000-000000000001","quantity":4}})";
  decoder.decode(record, event);
  REQUIRE(event.outcome == Outcome::contributes);
  Batch batch(pg.view());
  batch.add(event, {0, 0});
  batch.cover(partition, {0, 1, 0});
  CHECK(std::holds_alternative<Fenced>(store->commit(batch, {{partition, {0, first.epoch}}}, 0)));
  CHECK(pg.rows().empty());
  CHECK(pg.query("SELECT 1 FROM daybook.seen WHERE generation = " + pg.g()).empty());
  CHECK(std::holds_alternative<Applied>(store->commit(batch, {{partition, {0, second.epoch}}}, 0)));
  CHECK(std::holds_alternative<Fenced>(store->commit(batch, {{partition, {0, second.epoch}}}, 1)));
  CHECK(pg.rows().size() == 1);

  // The same event from another worker that has not looked yet.
  Batch copy(pg.view());
  copy.add(event, {0, 1});
  copy.cover(partition, {1, 2, 0});
  const CommitOutcome outcome = store->commit(copy, {{partition, {1, second.epoch}}}, 0);
  REQUIRE(std::holds_alternative<CommittedElsewhere>(outcome));
  CHECK(copy.drop(std::get<CommittedElsewhere>(outcome).identities) == 1);
  CHECK(copy.rows() == 0);
  CHECK(std::holds_alternative<Applied>(store->commit(copy, {{partition, {1, second.epoch}}}, 0)));
  CHECK(pg.rows().begin()->second == std::vector<std::int64_t>{4, 0, 0});
}

TEST_CASE(
    "commits and expiry in any order: the store keeps the newest events, at least the window, and not much more") {
  for (std::uint32_t seed = 1; seed <= 4; ++seed) {
    CAPTURE(seed);
    std::mt19937 random(seed);
    ViewDefinition view = summary();
    view.deduplication_window_events = 1000 + random() % 500;
    const std::size_t window = view.deduplication_window_events;
    PgView pg(view);
    const TopicPartition partition{"bloodbank.events", 0};
    const auto store = pg.store();
    store->connect();
    CHECK(store->expire() == std::nullopt);
    const auto owned = std::get<OwnedPositions>(store->take("cluster", {partition}, {{partition, 0}})).at(partition);
    std::vector<Fingerprint> model;  // all that was ever committed, in order
    std::int64_t known = 0;
    std::int64_t offset = 0;
    for (int step = 0; step < 120; ++step) {
      const std::size_t largest = random() % 4 == 0 ? 400 : 20;
      const std::size_t events = 1 + random() % largest;
      Batch batch(pg.view());
      Decoder decoder(pg.view(), test_key);
      for (std::size_t i = 0; i < events; ++i) {
        const std::string value = stock_change(model.size());
        Record record;
        record.value = value;
        DecodedEvent event;
        decoder.decode(record, event);
        batch.add(event, {0, offset + static_cast<std::int64_t>(i)});
        model.push_back(event.fingerprint);
      }
      const std::int64_t to = offset + static_cast<std::int64_t>(events);
      batch.cover(partition, {offset, to, 0});
      const CommitOutcome outcome = store->commit(batch, {{partition, {offset, owned.epoch}}}, known);
      REQUIRE(std::holds_alternative<Applied>(outcome));
      known = std::get<Applied>(outcome).head.seq;
      offset = to;
      if (random() % 3 == 0) continue;
      const std::optional<std::chrono::seconds> age = store->expire();
      REQUIRE(age);
      CHECK(*age < std::chrono::seconds(60));

      const std::vector<Fingerprint> kept = loaded(*store);
      REQUIRE(kept.size() >= std::min(window, model.size()));
      REQUIRE(kept.size() < window + 400);  // a chunk begins before the window
      REQUIRE(std::equal(kept.rbegin(), kept.rend(), model.rbegin()));
      const auto stored = pg.query(
                                "SELECT coalesce(sum(length(fingerprints) / 16), 0) FROM daybook.seen"
                                " WHERE generation = " +
                                pg.g())[0][0]
                              .as<std::size_t>();
      REQUIRE(stored <= 3 * window / 2 + 4 * 400);  // expiry is asked for every other commit or so
    }
    const pqxx::result dead =
        pg.query("SELECT n_tup_del FROM pg_stat_user_tables WHERE relname = 'seen_" + pg.g() + "_0'");
    CHECK(dead[0][0].as<int>() == 0);
  }
}

TEST_CASE("expiry waits for nobody: while the oldest slot is read it does nothing") {
  ViewDefinition view = summary();
  view.deduplication_window_events = 1000;
  PgView pg(view);
  const std::string g = pg.g();
  // Slot 0 and 1 have half a window each, slot 2 is empty, then 0 comes again.
  pg.query(
      "UPDATE daybook.view_head SET seen_events = 1600, seen_slot = 2, seen_slot_from = 1000, seen_previous_from = 500"
      " WHERE generation = " +
      g);
  pg.query("INSERT INTO daybook.seen SELECT " + g +
           ", s, s + 1, s + 1, 500 * s, now() - interval '1 hour', decode(repeat('00', 16 * 500), 'hex')"
           " FROM generate_series(0, 2) AS s");
  const auto store = pg.store();
  store->connect();
  const auto slot = [&] {
    return pg.query("SELECT seen_slot FROM daybook.view_head WHERE generation = " + g)[0][0].as<int>();
  };
  {
    const postgres::Connection other = postgres::connect(std::getenv("DAYBOOK_DATABASE"), "daybook-test");
    pqxx::work reader(*other);
    reader.exec("SELECT count(*) FROM daybook.seen WHERE generation = " + g);
    CHECK(store->expire() >= std::chrono::seconds(3600));
    CHECK(slot() == 2);
  }
  store->expire();
  CHECK(slot() == 0);
  CHECK(pg.query("SELECT 1 FROM daybook.seen WHERE generation = " + g).size() == 2);
  store->expire();
  CHECK(slot() == 0);
}

TEST_CASE("an upgrade from before the slots keeps what was seen, and runs twice") {
  const std::string uri = std::getenv("DAYBOOK_DATABASE");
  const std::string name = "upgrade_" + std::to_string(std::chrono::steady_clock::now().time_since_epoch().count());
  for (const bool empty : {true, false}) {
    CAPTURE(empty);
    const postgres::Connection server = postgres::connect(uri, "daybook-test");
    pqxx::nontransaction(*server).exec("CREATE DATABASE " + name);
    {
      const postgres::Connection connection =
          postgres::connect(uri.substr(0, uri.rfind('/') + 1) + name, "daybook-test");
      const auto run = [&](const std::string& statement) { return pqxx::nontransaction(*connection).exec(statement); };
      std::string fourth;
      for (const auto& [path, text] : sql::embedded()) {
        if (path.rfind("migrations/", 0) != 0) continue;
        const int version = std::stoi(path.substr(sizeof "migrations/" - 1));
        if (version == 4) fourth = text;
        if (version >= 4) continue;
        run(text);
        run("INSERT INTO daybook.migration (version, name) VALUES (" + std::to_string(version) + ", 'former')");
      }
      if (!empty) {
        run("INSERT INTO daybook.generation (view, state, table_name, table_oid, definition, definition_text, "
            "fingerprint_key)"
            " SELECT 'v' || i, 'live', 'v' || i, 0, '{}', '{}', decode(repeat('00', 16), 'hex') FROM "
            "generate_series(1, 2) i");
        run("INSERT INTO daybook.view_head (generation, seq) VALUES (1, 9), (2, 0)");
        run("INSERT INTO daybook.seen VALUES (1, 3, 5, decode(repeat('0a', 32), 'hex')), (1, 6, 9, decode(repeat('0b', "
            "16), 'hex'))");
        run("CREATE FUNCTION daybook.commit_1(a int, b text[]) RETURNS int LANGUAGE sql AS 'SELECT 1'");
      }
      CHECK_FALSE(sql::migrate(*connection).empty());
      run(fourth);
      CHECK(run("SELECT 1 FROM pg_proc WHERE proname = 'commit_1'").empty());
      CHECK(run("SELECT to_regclass('daybook.seen_before_004')")[0][0].is_null());
      const pqxx::result tables = run("SELECT count(*) FROM pg_inherits WHERE inhparent = 'daybook.seen'::regclass");
      CHECK(tables[0][0].as<int>() == (empty ? 0 : 6));
      const pqxx::result chunks =
          run("SELECT string_agg(format('%s %s %s %s', first_seq, last_seq, first_event, left(fingerprints::text, 4)),"
              " ', ' ORDER BY first_seq) FROM daybook.seen WHERE generation = 1 AND slot = 0");
      CHECK(std::string(chunks[0][0].c_str()) == (empty ? "" : "3 5 0 \\x0a, 6 9 2 \\x0b"));
      if (!empty) {
        CHECK(
            run("SELECT string_agg(seen_events::text, ' ' ORDER BY generation) FROM daybook.view_head")[0][0].c_str() ==
            std::string("3 0"));
      }
    }
    pqxx::nontransaction(*server).exec("DROP DATABASE " + name);
  }
}

TEST_CASE("an update is made in place: no index but the primary key, rows in order") {
  PgView pg(summary());
  const pqxx::result indexes = pg.query("SELECT indexdef FROM pg_indexes WHERE tablename = '" + pg.view().name + "'");
  REQUIRE(indexes.size() == 1);
  CHECK(std::string(indexes[0][0].c_str()).find("(facility_id, date)") != std::string::npos);
}

TEST_CASE("how the reader serves a view changes in place, with the indexes of its lists") {
  PgView pg(summary());
  ViewDefinition view = pg.view();
  const auto stored = [&] {
    return pg.query("SELECT coalesce(reader::text, 'null') FROM daybook.generation WHERE id = " + pg.g())[0][0]
        .as<std::string>();
  };
  const auto indexes = [&] {
    std::vector<std::string> all;
    for (const auto& row : pg.query("SELECT indexdef FROM pg_indexes WHERE tablename = '" + view.name + "'")) {
      const std::string definition = row[0].c_str();
      all.push_back(definition.substr(definition.rfind('(')));
    }
    std::sort(all.begin(), all.end());
    return all;
  };
  using List = std::vector<std::string>;
  const int generation = pg.generation().id;
  CHECK(stored() == "null");
  view.reader_json = R"({"filters":["total_requests"]})";
  view.reader.filters = {"total_requests"};
  view.reader.order = {"date"};
  CHECK(pg.apply(view) == sql::Applied::reader_changed);
  CHECK(pg.apply(view) == sql::Applied::already_there);
  CHECK(stored() == R"({"filters": ["total_requests"]})");
  CHECK(indexes() == List{"(date, facility_id)", "(facility_id, date)", "(total_requests, date, facility_id)"});
  view.reader_json = "{}";
  view.reader.filters = {};
  CHECK(pg.apply(view) == sql::Applied::reader_changed);
  CHECK(indexes() == List{"(date, facility_id)", "(facility_id, date)"});
  view.description = "other 'words'";
  CHECK(pg.apply(view) == sql::Applied::reader_changed);
  CHECK(pg.apply(view) == sql::Applied::already_there);
  CHECK(std::string(pg.query("SELECT description FROM daybook.generation WHERE id = " + pg.g())[0][0].c_str()) ==
        view.description);
  CHECK(pg.apply(pg.view()) == sql::Applied::reader_changed);
  CHECK(stored() == "null");
  CHECK(indexes() == List{"(facility_id, date)"});
  CHECK(pg.query("SELECT id FROM daybook.generation WHERE state = 'live' AND view = '" + view.name + "'")[0][0]
            .as<int>() == generation);
}
