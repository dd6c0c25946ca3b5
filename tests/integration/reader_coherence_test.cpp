// That readers never go back in time, whatever the database does: real PostgreSQL, the worker's own commits.
#include <doctest/doctest.h>

#include <iostream>
#include <map>
#include <random>
#include <thread>

#include "tests/support/reader_database.h"

using namespace daybook;
using namespace daybook::reader;

TEST_CASE("readers under concurrent commits: no row goes back in time, writes are seen, all agree at the end") {
  Database db;
  for (int day = 0; day < 5; ++day) db.commit({{1, day, 1}, {2, day, 1}, {3, day, 1}});
  constexpr int readers = 3;
  std::vector<std::unique_ptr<Reader>> all;
  std::vector<std::shared_ptr<ViewRows>> views;
  for (int i = 0; i < readers; ++i) {
    reader::ReaderSettings settings = settings_of(db);
    settings.cache_bytes = i == 0 ? 20'000 : 64 << 20;  // one that evicts all the time
    all.push_back(std::make_unique<Reader>(settings));
    views.push_back(only_view(*all.back()));
  }
  std::atomic<bool> done{false};
  std::atomic<int> reads{0};
  std::vector<std::string> mistakes(readers);
  std::vector<std::jthread> threads;
  for (int i = 0; i < readers; ++i) {
    threads.emplace_back([&, i] {
      std::mt19937 random(static_cast<unsigned>(i) + 1);
      std::map<std::string, std::int64_t> shown;
      while (!done) {
        const std::string key = db.key(static_cast<int>(random() % 4), static_cast<int>(random() % 12));
        HotRowPtr row = views[static_cast<std::size_t>(i)]->find_hot(key);
        if (!row) {
          const Result<HotRowPtr> loaded = load(*views[static_cast<std::size_t>(i)], key);
          if (!std::holds_alternative<HotRowPtr>(loaded)) {
            mistakes[static_cast<std::size_t>(i)] = std::get<Unavailable>(loaded).detail;
            return;
          }
          row = std::get<HotRowPtr>(loaded);
        }
        ++reads;
        // Every event adds to the stock, on its day and all later ones.
        const std::int64_t stock = row->kind == HotRow::Kind::absent ? 0 : member(row->json(), "total_stock");
        if (stock < shown[key]) mistakes[static_cast<std::size_t>(i)] = "a row went back in time: " + row->json();
        shown[key] = stock;
        if (random() % 50 == 0) views[static_cast<std::size_t>(i)]->clear();
      }
    });
  }
  std::mt19937 random(7);
  std::vector<double> delays;
  std::int64_t next = 0;
  for (int n = 0; n < 300; ++n) {
    const std::size_t events = n % 100 == 50 ? 2500 : random() % 4;
    std::vector<Database::Event> batch;
    for (std::size_t i = 0; i < events; ++i)
      batch.push_back({static_cast<int>(i < 4 ? random() % 4 : i), static_cast<int>(random() % 12), 1});
    next = db.commit(batch);
    const auto committed = Steady::now();
    for (const auto& view : views) {
      REQUIRE(eventually([&] { return view->has_applied(partition_0, next); }));
      delays.push_back(std::chrono::duration<double, std::milli>(Steady::now() - committed).count());
      for (std::size_t i = 0; i < std::min<std::size_t>(batch.size(), 2); ++i) {
        const auto want = db.query(
            "SELECT total_stock FROM dashboard_daily_summary WHERE facility_id = '11111111-1111-1111-1111-11110000000" +
            std::to_string(batch[i].facility) + "' AND date = date '2000-01-01' + " + std::to_string(batch[i].day));
        CHECK(member(get(*view, db.key(batch[i].facility, batch[i].day))->json(), "total_stock") ==
              want[0][0].as<std::int64_t>());
      }
    }
  }
  done = true;
  threads.clear();
  for (const std::string& mistake : mistakes) CHECK(mistake == "");
  for (int facility = 0; facility < 4; ++facility) {
    for (int day = 0; day < 12; ++day) {
      const HotRowPtr first = get(*views[0], db.key(facility, day));
      for (const auto& view : views) CHECK(get(*view, db.key(facility, day))->json() == first->json());
    }
  }
  std::sort(delays.begin(), delays.end());
  std::cout << reads << " reads; commit to visible in all readers: p50 " << delays[delays.size() / 2] << " ms, p99 "
            << delays[delays.size() * 99 / 100] << " ms\n";
  CHECK(reads > 1000);
  for (const auto& view : views) CHECK(view->figures().resets == 0);
}

TEST_CASE("a database that fell back: rows of the lost past are not served, however it goes on") {
  for (const bool away : {false, true}) {
    for (const int commits_after : {0, 1, 2, 5}) {
      CAPTURE(away);
      CAPTURE(commits_after);
      Database db;
      db.commit({{1, 1, 1}});
      db.note_state();
      db.commit({{1, 1, 100}});
      std::int64_t next = db.commit({{1, 1, 100}});
      Reader reader(settings_of(db));
      const auto view = only_view(reader);
      CHECK(member(get(*view, db.key(1, 1))->json(), "total_stock") == 201);

      if (away) db.lock_readers_out();
      db.fall_back_to_noted();
      for (int i = 0; i < commits_after; ++i) next = db.commit({{1, 1, 1}});
      if (away) db.let_readers_in();
      REQUIRE(eventually([&] { return view->figures().resets == 1; }));
      CHECK(member(get(*view, db.key(1, 1))->json(), "total_stock") == 1 + commits_after);
      if (commits_after < 2) CHECK_FALSE(view->has_applied(partition_0, 3));
      next = db.commit({{1, 1, 1}});
      REQUIRE(eventually([&] { return view->has_applied(partition_0, next); }));
      CHECK(member(get(*view, db.key(1, 1))->json(), "total_stock") == 2 + commits_after);
    }
  }
}

TEST_CASE("a replica that is behind is asked first and never believed") {
  Database db;
  db.commit({{1, 1, 1}, {2, 1, 1}});
  const std::string replica = db.copy();
  db.commit({{1, 1, 1}});
  reader::ReaderSettings settings = settings_of(db);
  settings.replicas = {replica};
  Reader reader(settings);
  const auto view = only_view(reader);
  CHECK(member(get(*view, db.key(1, 1))->json(), "total_stock") == 2);
  CHECK(view->figures().loads.queries == 2);
  CHECK(view->figures().loads.repeats == 1);
  CHECK(std::get<ListPage>(list(*view, {{}, {"date"}, false, 10, {}})).rows.at(0).find("\"total_stock\":2") !=
        std::string::npos);
  CHECK(view->figures().loads.list_queries == 2);

  // Up to date, it is believed.
  reader::ReaderSettings same = settings_of(db);
  same.replicas = {db.uri()};
  Reader other(same);
  CHECK(member(get(*only_view(other), db.key(1, 1))->json(), "total_stock") == 2);
  CHECK(only_view(other)->figures().loads.queries == 1);
}

TEST_CASE("what was loaded ahead of the feed from a past that was lost goes when the feed comes there") {
  for (const int commits_after : {0, 1, 2}) {
    CAPTURE(commits_after);
    Database db;
    db.commit({{1, 1, 1}});
    db.note_state();
    reader::ReaderSettings settings = settings_of(db);
    settings.feed_database = db.feed_uri();
    Reader reader(settings);
    const auto view = only_view(reader);
    const ListQuery all{{}, {"date"}, false, 10, {}};

    db.lock_feed_out();
    db.commit({{1, 1, 100}});
    CHECK(member(get(*view, db.key(1, 1))->json(), "total_stock") == 101);
    CHECK(member(std::get<ListPage>(list(*view, all)).rows.at(0), "total_stock") == 101);
    db.fall_back_to_noted();
    for (int i = 0; i < commits_after; ++i) db.commit({{2, 1, 1}});
    db.let_feed_in();
    REQUIRE(eventually([&] { return view->figures().resets == 1; }));
    CHECK(member(get(*view, db.key(1, 1))->json(), "total_stock") == 1);
    CHECK(member(std::get<ListPage>(list(*view, all)).rows.at(0), "total_stock") == 1);
  }
}

TEST_CASE("a replica that follows a lost past is not believed, though it is ahead of the feed") {
  Database db;
  db.commit({{1, 1, 1}});
  db.note_state();
  db.commit({{1, 1, 100}});
  const std::string replica = db.copy();
  db.fall_back_to_noted();
  reader::ReaderSettings settings = settings_of(db);
  settings.replicas = {replica};
  Reader reader(settings);
  const auto view = only_view(reader);
  CHECK(member(get(*view, db.key(1, 1))->json(), "total_stock") == 1);
  CHECK(member(std::get<ListPage>(list(*view, {{}, {"date"}, false, 10, {}})).rows.at(0), "total_stock") == 1);
  const std::int64_t next = db.commit({{2, 1, 1}});
  REQUIRE(eventually([&] { return view->has_applied(partition_0, next); }));
  view->clear();
  CHECK(member(get(*view, db.key(1, 1))->json(), "total_stock") == 1);
  CHECK(view->figures().resets == 0);
}
