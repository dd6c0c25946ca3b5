// The reader's rows on a real PostgreSQL, with commits through the worker's own store. DAYBOOK_DATABASE names the
// server; each case has a database of its own, and readers that log in as a role of their own, which can be locked out.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <future>
#include <iostream>
#include <random>
#include <sstream>
#include <thread>

#include "core/definition_reader.h"
#include "core/row_key.h"
#include "postgres/connection.h"
#include "reader/reader.h"
#include "sql/apply.h"
#include "worker/commit/pg_store.h"

using namespace daybook;
using namespace daybook::reader;
using Steady = std::chrono::steady_clock;

namespace {

const TopicPartition partition_0{"bloodbank.events", 0};
const std::string view_name = "dashboard_daily_summary";

std::string read_file(const std::string& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

// Waits for what another thread does; false: it did not come about.
template <typename Condition>
bool eventually(const Condition& condition, std::chrono::milliseconds within = std::chrono::seconds(10)) {
  const auto deadline = Steady::now() + within;
  while (Steady::now() < deadline) {
    if (condition()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return condition();
}

std::string uri_with(std::string uri, const std::string& user, const std::string& database) {
  const std::size_t authority = uri.find("//") + 2;
  const std::size_t at = uri.find('@', authority);
  const std::size_t host = at == std::string::npos ? authority : at + 1;
  const std::size_t path = uri.find('/', host);
  const std::size_t query = std::min(uri.find('?', host), uri.size());
  const std::string own_user = at == std::string::npos ? "" : uri.substr(authority, at - authority);
  return uri.substr(0, authority) + (user.empty() ? own_user : user) + (user.empty() && own_user.empty() ? "" : "@") +
         uri.substr(host, std::min(path, query) - host) + "/" + database + uri.substr(query);
}

class Database {
 public:
  Database() {
    spdlog::set_level(spdlog::level::err);
    const char* server = std::getenv("DAYBOOK_DATABASE");
    REQUIRE_MESSAGE(server != nullptr,
                    "DAYBOOK_DATABASE is not set: run scripts/test, or scripts/services start DIR and source DIR/env");
    server_ = server;
    admin_ = postgres::connect(server_, "daybook-test");
    static int number = 0;
    name_ = "reader_" + std::to_string(Steady::now().time_since_epoch().count()) + "_" + std::to_string(++number);
    admin("CREATE DATABASE " + name_);
    admin("CREATE ROLE " + name_ + " LOGIN SUPERUSER");
    connect();
    sql::migrate(*connection_);
    view_ = load_definitions({DAYBOOK_SOURCE_DIR "/schemas/bloodbank/views/dashboard_daily_summary.json"}).front();
    sql::apply_view(*connection_, view_);
    {
      pqxx::nontransaction transaction(*connection_);
      generation_ = sql::live_generation(transaction, view_.name);
    }
    connect_store();
  }
  ~Database() {
    store_.reset();
    connection_.reset();
    for (const std::string& database : databases_) admin("DROP DATABASE IF EXISTS " + database + " WITH (FORCE)");
    admin("DROP DATABASE " + name_ + " WITH (FORCE)");
    admin("DROP ROLE " + name_);
  }

  std::string uri() const { return uri_with(server_, name_, name_); }
  const ViewDefinition& view() const { return view_; }
  pqxx::result query(const std::string& sql) {
    pqxx::nontransaction transaction(*connection_);
    return transaction.exec(sql);
  }
  void admin(const std::string& sql) {
    pqxx::nontransaction transaction(*admin_);
    transaction.exec(sql);
  }
  // What the worker's session has is lost by things done to the database behind its back.
  void connect_store() {
    store_ = std::make_unique<PgStore>(uri_with(server_, "", name_), view_, *generation_, "test");
    store_->connect();
    owned_ = std::get<OwnedPositions>(store_->take("cluster", {partition_0}, {{partition_0, 0}}));
    known_ = query("SELECT seq FROM daybook.view_head")[0][0].as<std::int64_t>();
  }

  struct Event {
    int facility = 0;
    int day = 0;
    std::int64_t stock = 0;
  };
  // One commit; each event also counts one request. Returns the next offset.
  std::int64_t commit(const std::vector<Event>& events) {
    Batch batch(view_);
    OwnedPosition& position = owned_.at(partition_0);
    std::int64_t to = position.next;
    for (const Event& e : events) {
      DecodedEvent event;
      event.outcome = Outcome::contributes;
      event.fingerprint = {0x5eed, ++number_, 0};
      event.keys = key(e.facility, e.day);
      event.contributions.push_back({0, static_cast<std::uint32_t>(event.keys.size()), 0, e.stock});
      event.contributions.push_back({0, static_cast<std::uint32_t>(event.keys.size()), 2, 1});
      batch.add(event, {0, to++});
    }
    if (events.empty()) ++to;
    batch.cover(partition_0, {position.next, to, 0});
    const CommitOutcome outcome = store_->commit(batch, owned_, known_);
    REQUIRE(std::holds_alternative<Applied>(outcome));
    known_ = std::get<Applied>(outcome).head.seq;
    position.next = to;
    return to;
  }
  static std::string key(int facility, int day) {
    std::string key(12, '\x11');
    row_key::append_big_endian(key, static_cast<std::uint32_t>(facility));
    row_key::append_date(key, postgres_epoch + day);
    return key;
  }

  void lock_readers_out() {
    admin("ALTER ROLE " + name_ + " NOLOGIN");
    admin("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '" + name_ + "'");
  }
  void let_readers_in() { admin("ALTER ROLE " + name_ + " LOGIN"); }

  // The state of now under another name; the database of a standby that stops here, say.
  std::string copy() {
    store_.reset();
    connection_.reset();
    databases_.push_back(name_ + "_copy" + std::to_string(databases_.size()));
    admin("CREATE DATABASE " + databases_.back() + " TEMPLATE " + name_);
    connect();
    connect_store();
    return uri_with(server_, name_, databases_.back());
  }

  // Notes what there is, and brings it back: what a standby that lagged by the commits between has.
  void note_state() {
    query(
        "DROP SCHEMA IF EXISTS noted CASCADE; CREATE SCHEMA noted;"
        "CREATE TABLE noted.rows AS TABLE dashboard_daily_summary; CREATE TABLE noted.head AS TABLE daybook.view_head;"
        "CREATE TABLE noted.position AS TABLE daybook.position; CREATE TABLE noted.change AS TABLE daybook.change;"
        "CREATE TABLE noted.seen AS TABLE daybook.seen");
  }
  void fall_back_to_noted() {
    query(
        "BEGIN; DELETE FROM dashboard_daily_summary; INSERT INTO dashboard_daily_summary TABLE noted.rows;"
        "DELETE FROM daybook.view_head; INSERT INTO daybook.view_head TABLE noted.head;"
        "DELETE FROM daybook.position; INSERT INTO daybook.position TABLE noted.position;"
        "DELETE FROM daybook.change; INSERT INTO daybook.change TABLE noted.change;"
        "DELETE FROM daybook.seen; INSERT INTO daybook.seen TABLE noted.seen; COMMIT");
    connect_store();
  }

 private:
  void connect() { connection_ = postgres::connect(uri_with(server_, "", name_), "daybook-test"); }

  std::string server_, name_;
  postgres::Connection admin_, connection_;
  std::vector<std::string> databases_;
  ViewDefinition view_;
  std::optional<sql::Generation> generation_;
  std::unique_ptr<PgStore> store_;
  OwnedPositions owned_;
  std::int64_t known_ = 0;
  std::uint32_t number_ = 0;
};

reader::ReaderSettings settings_of(const Database& database) {
  reader::ReaderSettings settings;
  settings.database = database.uri();
  settings.warm_rows = 0;
  return settings;
}

Result<HotRowPtr> load(ViewRows& view, const std::string& key) {
  std::promise<Result<HotRowPtr>> answer;
  view.load(key, [&](const Result<HotRowPtr>& result) { answer.set_value(result); });
  return answer.get_future().get();
}
HotRowPtr get(ViewRows& view, const std::string& key) {
  if (HotRowPtr hot = view.find_hot(key)) return hot;
  const Result<HotRowPtr> loaded = load(view, key);
  if (const Unavailable* why = std::get_if<Unavailable>(&loaded)) FAIL(why->detail);
  return std::get<HotRowPtr>(loaded);
}
Result<ListPage> list(ViewRows& view, const ListQuery& query) {
  std::promise<Result<ListPage>> answer;
  view.list(query, [&](const Result<ListPage>& result) { answer.set_value(result); });
  return answer.get_future().get();
}

std::int64_t member(const std::string& json, const std::string& name) {
  const std::size_t at = json.find("\"" + name + "\":");
  REQUIRE(at != std::string::npos);
  return std::stoll(json.substr(at + name.size() + 3));
}

std::shared_ptr<ViewRows> only_view(Reader& reader) {
  std::shared_ptr<ViewRows> view = reader.find(view_name);
  REQUIRE(view);
  return view;
}

}  // namespace

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
  CHECK(member(view->find_hot(db.key(1, 20))->json, "total_stock") == 8);
  CHECK(view->find_hot(db.key(1, 15)) == nullptr);
  CHECK(view->find_hot(db.key(2, 20))->kind == HotRow::Kind::row);
  CHECK(view->find_hot(db.key(1, 9))->kind == HotRow::Kind::absent);
  CHECK(member(get(*view, db.key(1, 15))->json, "total_stock") == 6);
  const HotRowPtr fed = view->find_hot(db.key(1, 20));
  view->clear();
  CHECK(get(*view, db.key(1, 20))->json == fed->json);
  CHECK(get(*view, db.key(1, 20))->etag() == fed->etag());
}

TEST_CASE("10,000 misses at once for one row are one query, and for many rows a few") {
  Database db;
  db.commit({{1, 1, 1}});
  Reader reader(settings_of(db));
  const auto view = only_view(reader);
  std::atomic<int> answers{0};
  std::atomic<int> wrong{0};
  const auto ask = [&](int facility) {
    view->load(db.key(facility, 1), [&, facility](const Result<HotRowPtr>& result) {
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
        CHECK(member(get(*view, db.key(batch[i].facility, batch[i].day))->json, "total_stock") ==
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
      for (const auto& view : views) CHECK(get(*view, db.key(facility, day))->json == first->json);
    }
  }
  std::sort(delays.begin(), delays.end());
  std::cout << reads << " reads; commit to visible in all readers: p50 " << delays[delays.size() / 2] << " ms, p99 "
            << delays[delays.size() * 99 / 100] << " ms\n";
  CHECK(reads > 1000);
  for (const auto& view : views) CHECK(view->figures().resets == 0);
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
    CHECK(member(get(*view, db.key(1, 1))->json, "total_stock") == (rows == 3000 ? 2 : 3));
  }
}

TEST_CASE("a lost database is told within 2 s, nothing wrong is answered, and all goes on by itself") {
  Database db;
  db.commit({{1, 1, 1}});
  Reader reader(settings_of(db));
  const auto view = only_view(reader);
  CHECK(member(get(*view, db.key(1, 1))->json, "total_stock") == 1);
  CHECK_FALSE(view->freshness().feed_is_lost);

  db.lock_readers_out();
  const auto lost = Steady::now();
  CHECK(eventually([&] { return view->freshness().feed_is_lost; }));
  CHECK(Steady::now() - lost < std::chrono::seconds(2));
  CHECK(view->freshness().detail != "");
  const std::int64_t next = db.commit({{1, 1, 1}});
  CHECK(view->freshness().age >= std::chrono::milliseconds(1500));
  CHECK(member(view->find_hot(db.key(1, 1))->json, "total_stock") == 1);  // and its age says so
  const Result<HotRowPtr> loaded = load(*view, db.key(1, 2));
  REQUIRE(std::holds_alternative<Unavailable>(loaded));
  CHECK(std::get<Unavailable>(loaded).why == Unavailable::Why::database);

  db.let_readers_in();
  REQUIRE(eventually([&] { return view->has_applied(partition_0, next); }));
  CHECK(eventually([&] { return !view->freshness().feed_is_lost; }));
  CHECK(view->freshness().age < std::chrono::milliseconds(1500));
  CHECK(member(view->find_hot(db.key(1, 1))->json, "total_stock") == 2);
  CHECK(view->figures().resets == 0);  // the feed had all that was missed
  CHECK(member(get(*view, db.key(1, 2))->json, "total_stock") == 2);
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
      CHECK(member(get(*view, db.key(1, 1))->json, "total_stock") == 201);

      if (away) db.lock_readers_out();
      db.fall_back_to_noted();
      for (int i = 0; i < commits_after; ++i) next = db.commit({{1, 1, 1}});
      if (away) db.let_readers_in();
      REQUIRE(eventually([&] { return view->figures().resets == 1; }));
      CHECK(member(get(*view, db.key(1, 1))->json, "total_stock") == 1 + commits_after);
      if (commits_after < 2) CHECK_FALSE(view->has_applied(partition_0, 3));
      next = db.commit({{1, 1, 1}});
      REQUIRE(eventually([&] { return view->has_applied(partition_0, next); }));
      CHECK(member(get(*view, db.key(1, 1))->json, "total_stock") == 2 + commits_after);
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
  CHECK(member(get(*view, db.key(1, 1))->json, "total_stock") == 2);
  CHECK(view->figures().loads.queries == 2);
  CHECK(view->figures().loads.repeats == 1);
  CHECK(std::get<ListPage>(list(*view, {{}, {"date"}, false, 10, {}})).rows.at(0).find("\"total_stock\":2") !=
        std::string::npos);
  CHECK(view->figures().loads.list_queries == 2);

  // Up to date, it is believed.
  reader::ReaderSettings same = settings_of(db);
  same.replicas = {db.uri()};
  Reader other(same);
  CHECK(member(get(*only_view(other), db.key(1, 1))->json, "total_stock") == 2);
  CHECK(only_view(other)->figures().loads.queries == 1);
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
  CHECK(member(view->find_hot(db.key(7, 19))->json, "total_stock") == 21);
}

TEST_CASE("views come and go while a reader runs") {
  Database db;
  db.commit({{1, 1, 1}});
  Reader reader(settings_of(db));
  const auto first = only_view(reader);
  std::atomic<int> told{0};
  reader.on_views([&](const Reader::Views&) { ++told; });
  std::string text = read_file(DAYBOOK_SOURCE_DIR "/schemas/bloodbank/views/dashboard_daily_summary.json");
  text.replace(text.find(view_name), view_name.size(), "another");
  {
    const auto connection = postgres::connect(db.uri(), "daybook-test");
    sql::apply_view(*connection, std::get<ViewDefinition>(read_definition(text)));
  }
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
