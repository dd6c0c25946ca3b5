// What a reader is told by the change feed of a real PostgreSQL: commits, views, and that it is lost.
#include <doctest/doctest.h>

#include "tests/support/reader_database.h"

using namespace daybook;
using namespace daybook::reader;

TEST_CASE("changes are told in order and remembered") {
  Database db;
  db.commit({{1, 1, 1}});
  Reader reader(settings_of(db));
  const auto view = only_view(reader);
  std::mutex mutex;
  std::vector<ChangeSetPtr> told;
  view->on_change([&](const ChangeSetPtr& set) {
    const std::lock_guard lock(mutex);
    told.push_back(set);
  });
  db.commit({{1, 2, 1}});
  db.commit({});
  const std::int64_t next = db.commit({{1, 1, 1}});
  REQUIRE(eventually([&] {
    const std::lock_guard lock(mutex);
    return told.size() == 3;
  }));
  CHECK(view->has_applied(partition_0, next));
  CHECK_FALSE(view->has_applied(partition_0, next + 1));
  CHECK_FALSE(view->knows({"bloodbank.events", 1}));
  CHECK(told[0]->seq == 2);
  CHECK(told[0]->rows.size() == 1);
  CHECK(told[0]->rows[0].key == db.key(1, 2));
  CHECK(told[1]->rows.empty());
  CHECK_FALSE(told[1]->reset);
  CHECK(told[2]->rows.size() == 2);  // with the later day, whose level rose
  const auto since = view->changes_since(view->generation(), told[0]->seq, told[0]->nonce);
  REQUIRE(since);
  CHECK(*since == std::vector<ChangeSetPtr>{told[1], told[2]});
  CHECK(view->changes_since(view->generation(), told[0]->seq, told[1]->nonce) == std::nullopt);
  CHECK(view->changes_since(view->generation() + 1, told[0]->seq, told[0]->nonce) == std::nullopt);
}

TEST_CASE("large commits: keys only, then everything anew") {
  Database db;
  db.commit({{1, 1, 1}, {2, 1, 1}});
  Reader reader(settings_of(db));
  const auto view = only_view(reader);
  for (const std::size_t rows : {3000, 9000}) {
    CAPTURE(rows);
    CHECK(get(*view, db.key(1, 1)) != nullptr);
    CHECK(get(*view, db.key(2, 3)) != nullptr);
    CHECK(get(*view, db.key(2'000'000, 1)) != nullptr);
    std::vector<Database::Event> events;
    for (std::size_t i = 0; i < rows; ++i) events.push_back({static_cast<int>(i), 1, 1});
    const std::int64_t next = db.commit(events);
    REQUIRE(eventually([&] { return view->has_applied(partition_0, next); }));
    CHECK(view->find_hot(db.key(1, 1)) == nullptr);
    CHECK(view->find_hot(db.key(2, 3)) == nullptr);
    CHECK((view->find_hot(db.key(2'000'000, 1)) != nullptr) == (rows == 3000));
    CHECK(view->figures().resets == (rows == 3000 ? 0 : 1));
    CHECK(member(get(*view, db.key(1, 1))->json(), "total_stock") == (rows == 3000 ? 2 : 3));
  }
}

TEST_CASE("a lost database is told within 2 s, nothing wrong is answered, and all goes on by itself") {
  Database db;
  db.commit({{1, 1, 1}});
  Reader reader(settings_of(db));
  const auto view = only_view(reader);
  CHECK(member(get(*view, db.key(1, 1))->json(), "total_stock") == 1);
  CHECK_FALSE(view->freshness().feed_is_lost);

  db.lock_readers_out();
  const auto lost = Steady::now();
  CHECK(eventually([&] { return view->freshness().feed_is_lost; }));
  CHECK(Steady::now() - lost < std::chrono::seconds(2));
  CHECK(view->freshness().detail != "");
  const std::int64_t next = db.commit({{1, 1, 1}});
  CHECK(view->freshness().age >= std::chrono::milliseconds(1500));
  CHECK(member(view->find_hot(db.key(1, 1))->json(), "total_stock") == 1);  // and its age says so
  const Result<HotRowPtr> loaded = load(*view, db.key(1, 2));
  REQUIRE(std::holds_alternative<Unavailable>(loaded));
  CHECK(std::get<Unavailable>(loaded).why == Unavailable::Why::database);

  db.let_readers_in();
  REQUIRE(eventually([&] { return view->has_applied(partition_0, next); }));
  CHECK(eventually([&] { return !view->freshness().feed_is_lost; }));
  CHECK(view->freshness().age < std::chrono::milliseconds(1500));
  CHECK(member(view->find_hot(db.key(1, 1))->json(), "total_stock") == 2);
  CHECK(view->figures().resets == 0);  // the feed had all that was missed
  CHECK(member(get(*view, db.key(1, 2))->json(), "total_stock") == 2);
}

TEST_CASE("views come and go while a reader runs") {
  Database db;
  db.commit({{1, 1, 1}});
  Reader reader(settings_of(db));
  const auto first = only_view(reader);
  std::atomic<int> told{0};
  reader.on_views([&](const Reader::Views&) { ++told; });
  db.apply_another();
  REQUIRE(eventually([&] { return reader.find("another") != nullptr; }));
  CHECK(reader.find(view_name) == first);
  CHECK(get(*reader.find("another"), db.key(1, 1))->kind == HotRow::Kind::absent);
  CHECK(get(*first, db.key(1, 1))->kind == HotRow::Kind::row);
  CHECK(told == 1);

  // A definition that this program can't read, and one that is retired.
  db.query(
      "INSERT INTO daybook.generation (view, state, table_name, table_oid, definition, definition_text, "
      "fingerprint_key)"
      " SELECT 'unreadable', 'live', table_name, table_oid, '{}', '{}', fingerprint_key FROM daybook.generation LIMIT "
      "1;"
      "INSERT INTO daybook.view_head (generation) SELECT max(id) FROM daybook.generation;"
      "UPDATE daybook.generation SET state = 'retired' WHERE view = 'another'");
  REQUIRE(eventually([&] { return reader.find("another") == nullptr; }));
  CHECK(reader.find("unreadable") == nullptr);
  CHECK(reader.find(view_name) == first);

  // How a view is served may change at any time.
  CHECK(get(*first, db.key(1, 1))->whole_head().find("max-age=7") == std::string::npos);
  db.query("UPDATE daybook.generation SET reader = '{\"cache_control\": \"max-age=7\"}' WHERE view = '" + view_name +
           "'");
  REQUIRE(eventually([&] { return reader.find(view_name) != first; }));
  const auto second = only_view(reader);
  CHECK(get(*second, db.key(1, 1))->whole_head().find("Cache-Control: max-age=7\r\n") != std::string::npos);
  const std::int64_t next = db.commit({{1, 1, 1}});
  REQUIRE(eventually([&] { return second->has_applied(partition_0, next); }));
  CHECK(eventually([&] { return first->freshness().feed_is_lost; }));
}

TEST_CASE("a reader stays ready when memory begins anew") {
  Database db;
  db.commit({{1, 1, 1}});
  reader::ReaderSettings settings = settings_of(db);
  settings.feed_database = db.feed_uri();
  settings.warm_rows = 100;
  settings.warm_pause = std::chrono::milliseconds(0);
  Reader reader(settings);
  const auto view = only_view(reader);
  REQUIRE(eventually([&] { return reader.is_warm(); }));
  db.lock_feed_out();
  std::vector<Database::Event> events;
  for (int i = 0; i < 9000; ++i) events.push_back({i, 1, 1});
  db.commit(events);
  {
    const auto held = db.hold(view_name);
    db.let_feed_in();
    REQUIRE(eventually([&] { return view->figures().resets == 1 && db.waiting() == 1; }));
    CHECK(reader.is_warm());
  }
  CHECK(eventually([&] { return view->figures().rows.entries == 100; }));
}

TEST_CASE("more entries than can be read in time are read in smaller pieces") {
  Database db;
  reader::ReaderSettings settings = settings_of(db);
  settings.feed_database = db.feed_uri();
  settings.feed.statement_max = std::chrono::milliseconds(400);
  Reader reader(settings);
  const auto view = only_view(reader);
  db.lock_feed_out();
  std::int64_t next = 0;
  for (int i = 0; i < 64; ++i) next = db.commit({{1, 1, 1}});
  // Each entry takes 20 ms: all of them more than a statement may.
  db.query(
      "ALTER TABLE daybook.change RENAME TO change_itself;"
      "CREATE VIEW daybook.change AS SELECT generation, seq, nonce, kind, body || pg_sleep(0.02)::text AS body, topics,"
      " partitions, next_offsets FROM daybook.change_itself ORDER BY seq");
  db.let_feed_in();
  CHECK(eventually([&] { return view->has_applied(partition_0, next); }, std::chrono::seconds(20)));
  CHECK(view->figures().resets == 0);
  CHECK(view->figures().applied == 64);
}

TEST_CASE("an entry that can't be read is as one that says that anything may have changed") {
  Database db;
  db.commit({{1, 1, 1}});
  reader::ReaderSettings settings = settings_of(db);
  settings.feed_database = db.feed_uri();
  Reader reader(settings);
  const auto view = only_view(reader);
  get(*view, db.key(1, 1));
  db.lock_feed_out();
  db.commit({{1, 1, 1}});
  std::int64_t next = db.commit({{2, 1, 1}});
  db.query("UPDATE daybook.change SET body = '{' WHERE seq = 2");
  db.let_feed_in();
  REQUIRE(eventually([&] { return view->has_applied(partition_0, next); }));
  CHECK(view->figures().resets == 1);
  CHECK(member(get(*view, db.key(1, 1))->json(), "total_stock") == 2);
  next = db.commit({{1, 1, 1}});
  REQUIRE(eventually([&] { return view->has_applied(partition_0, next); }));
  CHECK(view->figures().resets == 1);
  CHECK_FALSE(view->freshness().feed_is_lost);
}

TEST_CASE("a view whose head is gone does not take the others with it") {
  Database db;
  db.commit({{1, 1, 1}});
  Reader reader(settings_of(db));
  db.apply_another();
  REQUIRE(eventually([&] { return reader.find("another") != nullptr; }));
  const auto another = reader.find("another");
  db.query("DELETE FROM daybook.view_head WHERE generation = " + std::to_string(another->generation()));
  CHECK(eventually([&] { return another->freshness().feed_is_lost; }));
  const auto view = only_view(reader);
  const std::int64_t next = db.commit({{1, 1, 1}});
  CHECK(eventually([&] { return view->has_applied(partition_0, next); }));
  CHECK(eventually([&] { return !view->freshness().feed_is_lost; }));
  CHECK(another->freshness().detail.find("no head") != std::string::npos);
}

TEST_CASE("a view without a head is left out, and the others are served") {
  Database db;
  const std::int64_t next = db.commit({{1, 1, 1}});
  db.apply_another();
  const auto head_of_another = [&](const std::string& statement) {
    db.query(statement + " (SELECT id FROM daybook.generation WHERE view = 'another')");
  };
  head_of_another("DELETE FROM daybook.view_head WHERE generation =");
  Reader reader(settings_of(db));
  CHECK(only_view(reader)->has_applied(partition_0, next));
  CHECK(reader.find("another") == nullptr);
  CHECK(reader.views().size() == 1);
  // Once there is one, it comes.
  head_of_another("INSERT INTO daybook.view_head (generation)");
  REQUIRE(eventually([&] { return reader.find("another") != nullptr; }));
  CHECK(get(*reader.find("another"), db.key(1, 1))->kind == HotRow::Kind::absent);
  CHECK_FALSE(only_view(reader)->freshness().feed_is_lost);
}
