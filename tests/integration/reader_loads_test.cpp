// Rows and lists that a reader loads from a real PostgreSQL, and the sessions that it does so with.
#include <doctest/doctest.h>

#include <future>
#include <iostream>
#include <thread>

#include "tests/support/reader_database.h"

using namespace daybook;
using namespace daybook::reader;

TEST_CASE("a row, a carried one, and none; each loaded once, with the bytes of the feed") {
  Database db;
  db.commit({{1, 10, 5}, {1, 20, 2}});
  Reader reader(settings_of(db));
  const auto view = only_view(reader);

  const HotRowPtr row = get(*view, db.key(1, 20));
  CHECK(row->kind == HotRow::Kind::row);
  CHECK(row->json().find(R"({"facility_id":"11111111-1111-1111-1111-111100000001","date":"2000-01-21","total_stock":7,)"
                         R"("total_transferred":0,"total_requests":1,"updated_at":")") == 0);
  const HotRowPtr carried = get(*view, db.key(1, 15));
  CHECK(carried->kind == HotRow::Kind::carried);
  CHECK(carried->json().find(R"("date":"2000-01-16","total_stock":5,"total_transferred":0,"total_requests":0,)") !=
        std::string::npos);
  CHECK(carried->json().substr(carried->json().find("updated_at")) ==
        row->json().substr(row->json().find("updated_at")));
  CHECK(get(*view, db.key(1, 9))->kind == HotRow::Kind::absent);
  CHECK(get(*view, db.key(2, 20))->kind == HotRow::Kind::absent);
  for (int i = 0; i < 10; ++i) {
    for (const int day : {9, 15, 20}) CHECK(view->find_hot(db.key(1, day)) != nullptr);
  }
  CHECK(view->figures().loads.rows == 4);
  CHECK(view->figures().loads.queries == 4);

  // The feed replaces the row, and drops what was carried or absent behind it.
  const std::int64_t next = db.commit({{1, 12, 1}, {2, 20, 3}});
  REQUIRE(eventually([&] { return view->has_applied(partition_0, next); }));
  CHECK(member(view->find_hot(db.key(1, 20))->json(), "total_stock") == 8);
  CHECK(view->find_hot(db.key(1, 15)) == nullptr);
  CHECK(view->find_hot(db.key(2, 20))->kind == HotRow::Kind::row);
  CHECK(view->find_hot(db.key(1, 9))->kind == HotRow::Kind::absent);
  CHECK(member(get(*view, db.key(1, 15))->json(), "total_stock") == 6);
  const HotRowPtr fed = view->find_hot(db.key(1, 20));
  view->clear();
  CHECK(get(*view, db.key(1, 20))->json() == fed->json());
  CHECK(get(*view, db.key(1, 20))->etag() == fed->etag());
}

TEST_CASE("10,000 misses at once for one row are one query, and for many rows a few") {
  Database db;
  db.commit({{1, 1, 1}});
  Reader reader(settings_of(db));
  const auto view = only_view(reader);
  std::atomic<int> answers{0};
  std::atomic<int> wrong{0};
  std::atomic<int> began{0};
  const auto ask = [&](int facility) {
    view->load(db.key(facility, 1), [&, facility](const Result<HotRowPtr>& result, const Cost& cost) {
      if (facility == 1 && cost.began_load) ++began;
      // Who came when the row was there already had no query.
      if (cost.began_load && cost.query.count() == 0) ++wrong;
      const HotRowPtr* row = std::get_if<HotRowPtr>(&result);
      if (row == nullptr || ((*row)->kind == HotRow::Kind::row) != (facility == 1)) ++wrong;
      ++answers;
    });
  };
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&] {
        for (int i = 0; i < 2500; ++i) ask(1);
      });
    }
  }
  REQUIRE(eventually([&] { return answers == 10'000; }));
  CHECK(wrong == 0);
  CHECK(began == 1);
  CHECK(view->figures().loads.queries == 1);
  CHECK(view->figures().loads.rows == 1);

  answers = 0;
  for (int i = 0; i < 10'000; ++i) ask(2 + i % 5000);
  REQUIRE(eventually([&] { return answers == 10'000; }));
  CHECK(wrong == 0);
  CHECK(view->figures().loads.rows == 5001);
  std::cout << "5,000 rows were loaded by " << view->figures().loads.queries - 1 << " queries\n";
  CHECK(view->figures().loads.queries < 100);
}

TEST_CASE("lists: filters, order, pages; a page is kept until a row of it changes") {
  Database db;
  std::vector<Database::Event> events;
  for (int facility = 1; facility <= 5; ++facility) {
    for (int day = 0; day < 13; ++day) events.push_back({facility, day, 1});
  }
  db.commit(events);
  Reader reader(settings_of(db));
  const auto view = only_view(reader);

  for (const bool descending : {false, true}) {
    ListQuery query{{{"date", Filter::Test::at_least, {"2000-01-03"}}, {"date", Filter::Test::less, {"2000-01-13"}}},
                    {"date"},
                    descending,
                    7,
                    {}};
    std::vector<std::string> rows;
    do {
      const Result<ListPage> page = list(*view, query);
      REQUIRE(std::holds_alternative<ListPage>(page));
      CHECK(std::get<ListPage>(page).rows.size() <= 7);
      for (const std::string& row : std::get<ListPage>(page).rows) rows.push_back(row);
      query.after = std::get<ListPage>(page).after;
    } while (!query.after.empty());
    CHECK(rows.size() == 50);
    std::vector<std::pair<std::string, std::string>> places;
    for (const std::string& row : rows) places.emplace_back(row.substr(row.find("date") + 7, 10), row.substr(16, 36));
    if (descending) std::reverse(places.begin(), places.end());
    CHECK(std::is_sorted(places.begin(), places.end()));
    CHECK(std::adjacent_find(places.begin(), places.end()) == places.end());
  }

  const std::string first = "11111111-1111-1111-1111-111100000001";
  const ListQuery of_first{{{"facility_id", Filter::Test::equal, {first}}}, {"date"}, true, 30, {}};
  const auto queries = [&] { return view->figures().loads.list_queries; };
  CHECK(std::get<ListPage>(list(*view, of_first)).rows.size() == 13);
  const std::uint64_t before = queries();
  CHECK(std::get<ListPage>(list(*view, of_first)).rows.size() == 13);
  CHECK(queries() == before);
  std::int64_t next = db.commit({{2, 1, 1}});
  REQUIRE(eventually([&] { return view->has_applied(partition_0, next); }));
  list(*view, of_first);
  CHECK(queries() == before);
  next = db.commit({{1, 40, 1}});
  REQUIRE(eventually([&] { return view->has_applied(partition_0, next); }));
  CHECK(std::get<ListPage>(list(*view, of_first)).rows.size() == 14);
  CHECK(queries() == before + 1);

  ListQuery wrong = of_first;
  wrong.filters = {{"facility_id\" OR true --", Filter::Test::equal, {"x"}}};
  CHECK(std::holds_alternative<Unavailable>(list(*view, wrong)));
}

TEST_CASE("the newest days are in memory after the start, as many as fit") {
  Database db;
  std::vector<Database::Event> events;
  for (int facility = 0; facility < 50; ++facility) {
    for (int day = 0; day < 20; ++day) events.push_back({facility, day, 1});
  }
  db.commit(events);
  reader::ReaderSettings settings = settings_of(db);
  settings.warm_rows = 150;
  Reader reader(settings);
  const auto view = only_view(reader);
  REQUIRE(eventually([&] { return reader.is_warm() && view->figures().rows.entries == 150; }));
  for (int facility = 0; facility < 50; ++facility) {
    for (int day = 17; day < 20; ++day) CHECK(view->find_hot(db.key(facility, day)) != nullptr);
  }
  CHECK(view->figures().loads.queries == 0);
  const std::int64_t next = db.commit({{7, 3, 1}});
  REQUIRE(eventually([&] { return view->has_applied(partition_0, next); }));
  CHECK(member(view->find_hot(db.key(7, 19))->json(), "total_stock") == 21);
}

TEST_CASE("the pool: bounded, checked, and sessions that broke are replaced unseen") {
  Database db;
  PoolSettings settings;
  settings.size = 1;
  settings.overflow = 1;
  settings.wait_max = std::chrono::milliseconds(200);
  Pool pool(db.uri(), settings);
  const auto one = [](pqxx::transaction_base& transaction) { transaction.exec("SELECT 1"); };
  pool.read(one);
  pool.read(one);
  CHECK(pool.figures().opened == 1);
  CHECK(pool.figures().in_use == 0);
  // Broken behind our back, just after use: the transaction finds out.
  db.admin(
      "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'daybook-reader' AND datname = "
      "'" +
      db.view().name + "'");
  db.lock_readers_out();
  db.let_readers_in();
  pool.read(one);
  CHECK(pool.figures().opened == 2);

  std::promise<void> release;
  const std::shared_future<void> released = release.get_future().share();
  std::vector<std::jthread> busy;
  for (int i = 0; i < 2; ++i) busy.emplace_back([&] { pool.read([&](pqxx::transaction_base&) { released.wait(); }); });
  REQUIRE(eventually([&] { return pool.figures().in_use == 2; }));
  CHECK_THROWS_AS(pool.read(one), PoolTimeout);
  CHECK(pool.figures().timeouts == 1);
  release.set_value();
  busy.clear();
  CHECK(pool.figures().open == 1);  // the overflow is closed
  CHECK_THROWS_AS(pool.read([](pqxx::transaction_base& transaction) { transaction.exec("CREATE TABLE x ()"); }),
                  std::exception);
  PoolSettings young = settings;
  young.age_max = std::chrono::milliseconds(0);
  Pool recycling(db.uri(), young);
  recycling.read(one);
  recycling.read(one);
  CHECK(recycling.figures().opened == 2);
  CHECK(recycling.figures().open == 1);
  // Bounded: a statement that hangs is ended.
  CHECK_THROWS_AS(pool.read(std::chrono::milliseconds(50),
                            [](pqxx::transaction_base& transaction) { transaction.exec("SELECT pg_sleep(20)"); }),
                  RetryError);
}

TEST_CASE("one warm-up of a view at a time") {
  Database db;
  db.commit({{1, 1, 1}, {2, 1, 1}});
  Reader reader(settings_of(db));
  const auto view = only_view(reader);
  auto held = db.hold(view_name);
  auto first = std::async(std::launch::async, [&] { return view->warm(100); });
  REQUIRE(eventually([&] { return db.waiting() == 1; }));
  auto second = std::async(std::launch::async, [&] { return view->warm(100); });
  CHECK(second.wait_for(std::chrono::seconds(10)) == std::future_status::ready);
  held.reset();
  CHECK(second.get() == 0);
  CHECK(first.get() == 2);
  view->clear();
  CHECK(view->warm(100) == 2);
}

TEST_CASE("a page tells its end in one form, whatever the session's settings") {
  Database db;
  db.set_for_readers("DateStyle = 'SQL, DMY'");
  db.set_for_readers("TimeZone = 'Asia/Kolkata'");
  for (int day = 1; day <= 4; ++day) db.commit({{1, day, 1}});
  Reader reader(settings_of(db));
  const auto view = only_view(reader);
  for (const std::string column : {"date", "updated_at"}) {
    CAPTURE(column);
    ListQuery query{{}, {column}, false, 2, {}};
    const ListPage first = std::get<ListPage>(list(*view, query));
    REQUIRE(first.after.size() == (column == "date" ? 2 : 3));
    if (column == "date") {
      CHECK(first.after[0] == "2000-01-03");
    } else {
      CHECK(first.after[0]->substr(10, 1) == "T");
      CHECK(first.after[0]->ends_with("+05:30"));  // the fraction has up to six digits
    }
    query.after = first.after;
    const ListPage second = std::get<ListPage>(list(*view, query));
    REQUIRE(second.rows.size() == 2);
    CHECK(second.rows[0].find("2000-01-04") != std::string::npos);
    CHECK(second.after.empty());
  }
}
