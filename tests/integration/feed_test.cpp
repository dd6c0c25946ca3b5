// The change feed: a reader that knows no more than its entries has the table.
#include <doctest/doctest.h>

#include <atomic>
#include <pqxx/notification>
#include <random>
#include <thread>

#include "core/definition_reader.h"
#include "core/row_key.h"
#include "sql/embedded.h"
#include "sql/positions.h"
#include "sql/row_json.h"
#include "tests/support/feed_reader.h"
#include "tests/support/pg_view.h"

using namespace daybook;
using namespace daybook::test;

namespace {

const TopicPartition partition_0{"events", 0};

ViewDefinition stock_by_day() {
  return load_definitions({DAYBOOK_SOURCE_DIR "/schemas/bloodbank/views/dashboard_daily_summary.json"}).front();
}

// Texts that have to be escaped, several levels, a time without zone, names that need quotes.
ViewDefinition awkward() {
  ViewDefinition view = stock_by_day();
  view.key = {{"na\"me", KeyType::text, ""}, {"order", KeyType::integer, ""}, {"Größe", KeyType::date, "UTC"}};
  view.columns = {{"level", Aggregate::balance, ColumnType::int8},
                  {"other level", Aggregate::balance, ColumnType::int4},
                  {"it's", Aggregate::sum, ColumnType::int8}};
  view.updated_at_with_time_zone = false;
  return view;
}

ViewDefinition without_date() {
  ViewDefinition view = stock_by_day();
  view.key = {{"k", KeyType::text, ""}};
  view.columns = {{"n", Aggregate::count, ColumnType::int4}};
  return view;
}

// Random batches for one view, committed as a worker would.
class Committer {
 public:
  Committer(PgView& pg, std::uint32_t seed, TopicPartition partition = partition_0, std::string options = "")
      : pg_(pg), random_(seed), partition_(std::move(partition)) {
    store_ = std::make_unique<PgStore>(std::getenv("DAYBOOK_DATABASE") + options, pg.view(), pg.generation(), "test");
    take();
  }

  void take() {
    store_->connect();
    owned_ = std::get<OwnedPositions>(store_->take("cluster", {partition_}, {{partition_, 0}}));
  }
  // A batch of about `rows` rows.
  void commit(std::size_t rows) {
    Batch batch(pg_.view());
    const std::int64_t from = owned_.at(partition_).next;
    std::int64_t to = from;
    while (batch.rows() < rows && to < from + 3 * static_cast<std::int64_t>(rows)) {
      DecodedEvent event;
      event.outcome = Outcome::contributes;
      event.fingerprint = {random_(), ++number_, 0};
      event.fingerprint.identity_high = event.fingerprint.identity_high << 32 | random_();
      event.keys = random_key(rows > 1000 ? 400 : 12, rows > 1000 ? 60 : 20);
      for (std::uint32_t column = 0; column < pg_.view().columns.size(); ++column) {
        const std::int64_t amount = static_cast<std::int64_t>(random_() % 9) - 3;
        event.contributions.push_back({0, static_cast<std::uint32_t>(event.keys.size()), column, amount});
      }
      batch.add(event, {0, to++});
    }
    commit(batch, rows == 0 ? from + 1 : to);
  }
  void commit(Batch& batch, std::int64_t to) {
    OwnedPosition& position = owned_.at(partition_);
    batch.cover(partition_, {position.next, to, 0});
    const CommitOutcome outcome = store_->commit(batch, owned_, known_);
    REQUIRE(std::holds_alternative<Applied>(outcome));
    known_ = std::get<Applied>(outcome).head.seq;
    position.next = to;
  }
  OwnedPosition position() const { return owned_.at(partition_); }
  PgStore& store() { return *store_; }

 private:
  std::string random_key(std::uint32_t entities, std::uint32_t days) {
    static const std::vector<std::string> texts = {"plain", "a \"quoted\" one", "back\\slash/", "tab\tline\nbell\x07",
                                                   "größe €"};
    const std::uint32_t entity = random_() % entities;
    std::string key;
    for (const KeyColumn& column : pg_.view().key) {
      switch (column.type) {
        case KeyType::uuid:
          key += std::string(12, '\x5a');
          row_key::append_big_endian(key, entity);
          break;
        case KeyType::text:
          row_key::append_text(
              key, texts[entity % texts.size()] + (pg_.view().key.size() == 1 ? std::to_string(random_() % 9000) : ""));
          break;
        case KeyType::integer:
        case KeyType::timestamp:
          row_key::append_integer(key, static_cast<std::int64_t>(entity) - 7);
          break;
        case KeyType::date:
          row_key::append_date(key, 20'000 + static_cast<CivilDay>(random_() % days));
          break;
        case KeyType::hour:
        case KeyType::minute:
          row_key::append_begin(key, 1'790'000'400 + 3600 * static_cast<std::int64_t>(random_() % days));
          break;
      }
    }
    return key;
  }

  PgView& pg_;
  std::mt19937 random_;
  TopicPartition partition_;
  std::unique_ptr<PgStore> store_;
  OwnedPositions owned_;
  std::int64_t known_ = 0;
  std::uint32_t number_ = 0;
};

std::size_t random_size(std::mt19937& random, int step) {
  if (step == 10) return 8'100;
  if (step % 11 == 5) return 2'100 + random() % 2'000;
  return random() % 40;
}

// After how many of these commits the reader differed from the table.
int differences(PgView& pg, std::uint32_t seed, int commits, std::map<std::string, int>* kinds = nullptr) {
  std::mt19937 random(seed);
  Committer committer(pg, seed);
  committer.commit(10);
  FeedReader reader(pg);
  int differ = 0;
  for (int step = 0; step < commits; ++step) {
    committer.commit(random_size(random, step));
    if (step % 3 == 2) continue;  // two entries at once, sometimes
    reader.poll();
    if (reader.rows() != reader.rows_in_table() || reader.positions != reader.positions_in_table()) ++differ;
  }
  CHECK(reader.loads == 1);
  if (kinds != nullptr) *kinds = reader.kinds;
  return differ;
}

pqxx::result entries(PgView& pg) {
  return pg.query("SELECT seq, kind, body, nonce FROM daybook.change WHERE generation = " + pg.g() + " ORDER BY seq");
}

}  // namespace

TEST_CASE("a reader of the feed has the table after each commit") {
  for (const ViewDefinition& view : {stock_by_day(), awkward(), without_date()}) {
    for (std::uint32_t seed = 1; seed <= 2; ++seed) {
      CAPTURE(view.key.size());
      CAPTURE(seed);
      PgView pg(view);
      std::map<std::string, int> kinds;
      CHECK(differences(pg, seed, 18, &kinds) == 0);
      CHECK(kinds.at("rows") > 0);
      CHECK(kinds.at("keys") > 0);
      if (view.has_date()) CHECK(kinds.at("reset") == 1);
    }
  }
}

TEST_CASE("and has not when the commit function leaves something out") {
  struct Defect {
    std::string text;
    std::string instead;
  };
  for (const Defect& defect : {Defect{"IF v_rippled > 0 THEN\n            SELECT", "IF false THEN\n            SELECT"},
                               Defect{"IF v_rippled > 0 THEN\n            v_body", "IF false THEN\n            v_body"},
                               Defect{"concat_ws(',', v_body, string_agg", "coalesce(v_body, string_agg"},
                               Defect{"v_kind := 'reset'", "v_kind := 'none'"},
                               Defect{"AT TIME ZONE 'UTC', 'YYYY", "AT TIME ZONE 'UTC+1', 'YYYY"}}) {
    CAPTURE(defect.text);
    PgView pg(stock_by_day());
    std::string function = sql::render_commit(
        pg.view(), pg.generation().id, sql::quote_identifier("public") + "." + sql::quote_identifier(pg.view().name));
    const std::size_t at = function.find(defect.text);
    REQUIRE(at != std::string::npos);
    function.replace(at, defect.text.size(), defect.instead);
    pg.query(function);
    CHECK(differences(pg, 1, 18) > 0);
  }
}

TEST_CASE("entries of what changes no row, and of each generation by itself") {
  PgView pg(stock_by_day());
  PgView other(awkward());
  Committer committer(pg, 3), others(other, 4);
  committer.commit(0);
  others.commit(5);
  Batch letter(pg.view());
  letter.add(DeadLetter{partition_0, 1, -1, {}, {}, {}, {"invalid", "x"}, "", "", ""});
  committer.commit(letter, 2);
  committer.commit(3);
  const pqxx::result rows = entries(pg);
  REQUIRE(rows.size() == 3);
  CHECK(std::string(rows[0][1].c_str()) == "none");
  CHECK(std::string(rows[1][1].c_str()) == "none");
  CHECK(std::string(rows[2][1].c_str()) == "rows");
  for (int i = 0; i < 3; ++i) CHECK(rows[i][0].as<int>() == i + 1);
  const pqxx::result head = pg.query("SELECT seq, nonce FROM daybook.view_head WHERE generation = " + pg.g());
  CHECK(head[0][0].as<int>() == 3);
  CHECK(std::string(head[0][1].c_str()) == rows[2][3].c_str());
  CHECK(entries(other).size() == 1);
}

TEST_CASE("a row's JSON is the same whatever the session's settings are") {
  PgView pg(awkward());
  Committer committer(pg, 5, partition_0, "?options=-c%20DateStyle%3DGerman%20-c%20TimeZone%3DAsia/Tokyo");
  committer.commit(1);
  const std::string select = "SELECT '[' || " + sql::row_json(pg.view(), "t") + " || ']' FROM " + pg.view().name + " t";
  const std::string json = pg.query(select)[0][0].c_str();
  CHECK(std::string(entries(pg)[0][2].c_str()) == json);
  const auto row = nlohmann::ordered_json::parse(json).at(0);
  CHECK("[" + row.dump() + "]" == json);
  CHECK(row.size() == 7);
  const std::string date = row.at("Größe"), updated_at = row.at("updated_at");
  CHECK(date.size() == 10);
  CHECK(date.substr(0, 4) == "2024");
  CHECK(updated_at.size() == 27);
  CHECK(
      updated_at ==
      pg.query("SELECT to_char(updated_at, 'YYYY-MM-DD') || 'T' || to_char(updated_at, 'HH24:MI:SS.US') || 'Z' FROM " +
               pg.view().name)[0][0]
          .c_str());
  const postgres::Connection session = postgres::connect(std::getenv("DAYBOOK_DATABASE"), "daybook-test");
  pqxx::nontransaction transaction(*session);
  transaction.exec(
      "SET DateStyle = 'SQL, DMY'; SET TimeZone = 'America/New_York'; SET search_path = public, pg_catalog");
  CHECK(std::string(transaction.exec(select)[0][0].c_str()) == json);
}

TEST_CASE("positions that a person moved reach readers, and workers go on behind them") {
  PgView pg(stock_by_day());
  Committer committer(pg, 6);
  committer.commit(10);
  FeedReader reader(pg);
  const postgres::Connection person = postgres::connect(std::getenv("DAYBOOK_DATABASE"), "daybook-test");
  sql::move_positions(*person, pg.generation().id, {{partition_0, 2}});
  reader.poll();
  CHECK(reader.loads == 1);
  CHECK(reader.kinds.at("reset") == 1);
  CHECK(reader.positions == Positions{{partition_0, 2}});

  Batch batch(pg.view());
  batch.cover(partition_0, {committer.position().next, committer.position().next + 1, 0});
  CHECK(std::holds_alternative<Fenced>(committer.store().commit(batch, {{partition_0, committer.position()}}, 1)));
  CHECK(committer.store().tail(1).head.seq == 2);
  CHECK(committer.store().tail(1).fingerprints.size() <= 30);
  committer.take();
  CHECK(committer.position().next == 2);
  committer.commit(4);
  reader.poll();
  CHECK(reader.seq() == 3);
  CHECK(reader.rows() == reader.rows_in_table());
}

TEST_CASE("a listener is told of each commit once, when it can be seen") {
  struct Listener : pqxx::notification_receiver {
    using notification_receiver::notification_receiver;
    void operator()(const std::string&, int) override { ++heard; }
    int heard = 0;
  };
  PgView pg(stock_by_day());
  Committer committer(pg, 7);
  const postgres::Connection session = postgres::connect(std::getenv("DAYBOOK_DATABASE"), "daybook-test");
  Listener listener(*session, "daybook_change_" + pg.g());
  for (int commit = 1; commit <= 5; ++commit) {
    committer.commit(commit == 2 ? 0 : 3);
    while (listener.heard < commit) REQUIRE(session->await_notification(10, 0) > 0);
    CHECK(listener.heard == commit);
    CHECK(entries(pg).size() == static_cast<std::size_t>(commit));
  }
  sql::move_positions(*session, pg.generation().id, {{partition_0, 1}});
  while (listener.heard < 6) REQUIRE(session->await_notification(10, 0) > 0);
}

TEST_CASE("the feed keeps two full slots, and waits for nobody who reads the one to be emptied") {
  PgView pg(stock_by_day());
  Committer committer(pg, 8);
  const auto expire = [&](int entries, std::int64_t bytes) {
    return std::string(pg.query("SELECT daybook.expire_change(" + pg.g() + ", " + std::to_string(entries) + ", " +
                                std::to_string(bytes) + ")")[0][0]
                           .c_str());
  };
  const std::int64_t large = 1 << 30;
  FeedReader close(pg), far(pg);
  for (int commit = 1; commit <= 40; ++commit) {
    committer.commit(2);
    CHECK(expire(4, large) == (commit % 4 == 0 ? "dropped" : "kept"));
    CHECK(expire(4, large) == "kept");
    const pqxx::result kept = entries(pg);
    CHECK(kept.size() >= static_cast<std::size_t>(std::min(commit, 8)));
    CHECK(kept.size() <= 12);
    if (commit % 8 == 0) {
      close.poll();
      CHECK(close.rows() == close.rows_in_table());
    }
  }
  CHECK(close.loads == 1);
  far.poll();
  CHECK(far.loads == 2);
  CHECK(far.rows() == far.rows_in_table());

  committer.commit(2);
  CHECK(expire(4, large) == "kept");
  CHECK(expire(4, 1) == "dropped");  // by size
  committer.commit(2);
  {
    const postgres::Connection session = postgres::connect(std::getenv("DAYBOOK_DATABASE"), "daybook-test");
    pqxx::work slow(*session);
    slow.exec("SELECT count(*) FROM daybook.change WHERE generation = " + pg.g());
    const std::size_t before = entries(pg).size();
    CHECK(expire(1, large) == "busy");
    CHECK(entries(pg).size() == before);
    committer.commit(2);
  }
  CHECK(expire(1, large) == "dropped");
  const pqxx::result deleted = pg.query(
      "SELECT coalesce(sum(n_tup_del), 0) FROM pg_stat_user_tables WHERE relname LIKE 'change\\_" + pg.g() + "\\__'");
  CHECK(deleted[0][0].as<int>() == 0);
}

TEST_CASE("a view from before the feed gets one by migrate and views apply, whatever is run twice") {
  const std::string uri = std::getenv("DAYBOOK_DATABASE");
  const std::string name =
      "feed_upgrade_" + std::to_string(std::chrono::steady_clock::now().time_since_epoch().count());
  const std::string uri_here = uri.substr(0, uri.rfind('/') + 1) + name;
  const postgres::Connection server = postgres::connect(uri, "daybook-test");
  pqxx::nontransaction(*server).exec("CREATE DATABASE " + name);
  {
    const postgres::Connection connection = postgres::connect(uri_here, "daybook-test");
    const auto run = [&](const std::string& statement) { return pqxx::nontransaction(*connection).exec(statement); };
    std::string seventh;
    for (const auto& [path, text] : sql::embedded()) {
      if (path.rfind("migrations/", 0) != 0) continue;
      const int version = std::stoi(path.substr(sizeof "migrations/" - 1));
      if (version == 7) seventh = text;
      if (version >= 7) continue;
      run(text);
      run("INSERT INTO daybook.migration (version, name) VALUES (" + std::to_string(version) + ", 'former')");
    }
    ViewDefinition view = stock_by_day();
    std::string create = sql::render_create_view(view, "public." + view.name);
    create.resize(create.find("SELECT daybook.make_change"));
    run(create);
    run("UPDATE daybook.view_head SET seq = 9");
    run("CREATE FUNCTION daybook.commit_1(a int, b text[]) RETURNS int LANGUAGE sql AS 'SELECT 1'");

    CHECK_FALSE(sql::migrate(*connection).empty());
    CHECK(run("SELECT 1 FROM pg_proc WHERE proname = 'commit_1'").empty());
    sql::Generation generation = sql::require_generation(*connection, view.name);
    PgStore store(uri_here, view, generation, "test");
    store.connect();
    const auto commit = [&](std::int64_t from) {
      Batch batch(view);
      batch.cover(partition_0, {from, from + 1, 0});
      return store.commit(batch, {{partition_0, {from, 1}}}, 9 + from);
    };
    static_cast<void>(store.take("cluster", {partition_0}, {{partition_0, 0}}));
    const CommitOutcome outcome = commit(0);
    REQUIRE(std::holds_alternative<Retired>(outcome));
    CHECK(std::get<Retired>(outcome).why.find("`daybook views apply`") != std::string::npos);
    // The view is there; how it is served was not stored before migration 8.
    CHECK(sql::apply_view(*connection, view) == sql::Applied::reader_changed);
    CHECK(std::holds_alternative<Applied>(commit(0)));
    run(seventh);
    CHECK(std::holds_alternative<Applied>(commit(1)));
    CHECK(std::string(
              run("SELECT string_agg(seq || ' ' || kind, ', ' ORDER BY seq) FROM daybook.change")[0][0].c_str()) ==
          "10 none, 11 none");
  }
  pqxx::nontransaction(*server).exec("DROP DATABASE " + name);
}

TEST_CASE("workers that commit at once, slots that are emptied meanwhile, and a reader that polls all the time") {
  for (std::uint32_t seed = 1; seed <= 3; ++seed) {
    CAPTURE(seed);
    PgView pg(stock_by_day());
    FeedReader reader(pg);
    std::vector<std::thread> workers;
    std::atomic<int> running = 3;
    for (std::uint32_t worker = 0; worker < 3; ++worker) {
      workers.emplace_back([&, worker] {
        Committer committer(pg, seed * 10 + worker, {"events", static_cast<std::int32_t>(worker)});
        std::mt19937 random(seed * 10 + worker);
        for (int commit = 0; commit < 60; ++commit) {
          committer.commit(random() % 25 == 0 ? 2'050 : random() % 8);
        }
        --running;
      });
    }
    const postgres::Connection session = postgres::connect(std::getenv("DAYBOOK_DATABASE"), "daybook-test");
    int dropped = 0;
    while (running > 0) {
      reader.poll();
      const pqxx::result outcome =
          pqxx::nontransaction(*session).exec("SELECT daybook.expire_change(" + pg.g() + ", 40, 1000000000)");
      if (std::string(outcome[0][0].c_str()) == "dropped") ++dropped;
    }
    for (std::thread& worker : workers) worker.join();
    reader.poll();
    CHECK(dropped > 1);
    CHECK(reader.loads <= 2);
    CHECK(reader.seq() == 180);
    CHECK(reader.rows() == reader.rows_in_table());
    CHECK(reader.positions == reader.positions_in_table());
  }
}
