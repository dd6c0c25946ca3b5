// A database with one view for the tests of the reader's rows, with commits through the worker's own store.
// DAYBOOK_DATABASE names the server; each case has a database of its own, and readers that log in as roles of their
// own, which can be locked out.
#pragma once

#include <doctest/doctest.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <future>
#include <sstream>
#include <thread>

#include "core/definition_reader.h"
#include "core/row_key.h"
#include "postgres/connection.h"
#include "reader/reader.h"
#include "sql/apply.h"
#include "worker/commit/pg_store.h"

namespace daybook::reader {

using Steady = std::chrono::steady_clock;

inline const TopicPartition partition_0{"bloodbank.events", 0};
inline const std::string view_name = "dashboard_daily_summary";

inline std::string read_file(const std::string& path) {
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

inline std::string uri_with(std::string uri, const std::string& user, const std::string& database) {
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
    for (const std::string& role : {name_, feed_role()}) admin("CREATE ROLE " + role + " LOGIN SUPERUSER");
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
    for (const std::string& role : {name_, feed_role()}) admin("DROP ROLE " + role);
  }

  std::string uri() const { return uri_with(server_, name_, name_); }
  // The same as another role, so that only the feed can be locked out.
  std::string feed_uri() const { return uri_with(server_, feed_role(), name_); }
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

  // A second view.
  void apply_another() {
    std::string text = read_file(DAYBOOK_SOURCE_DIR "/schemas/bloodbank/views/dashboard_daily_summary.json");
    text.replace(text.find(view_name), view_name.size(), "another");
    sql::apply_view(*connection_, std::get<ViewDefinition>(read_definition(text)));
  }

  void lock_readers_out() { lock_out(name_); }
  void let_readers_in() { admin("ALTER ROLE " + name_ + " LOGIN"); }
  void lock_feed_out() { lock_out(feed_role()); }
  void let_feed_in() { admin("ALTER ROLE " + feed_role() + " LOGIN"); }
  void set_for_readers(const std::string& setting) { admin("ALTER ROLE " + name_ + " SET " + setting); }

  // Until it is destroyed nobody reads that table.
  class Held {
   public:
    Held(const std::string& uri, const std::string& table)
        : connection_(postgres::connect(uri, "daybook-test")), transaction_(*connection_) {
      transaction_.exec("LOCK TABLE " + table + " IN ACCESS EXCLUSIVE MODE");
    }

   private:
    postgres::Connection connection_;
    pqxx::work transaction_;
  };
  std::unique_ptr<Held> hold(const std::string& table) {
    return std::make_unique<Held>(uri_with(server_, "", name_), table);
  }
  // Readers that wait for such a table.
  std::size_t waiting() {
    return query("SELECT FROM pg_stat_activity WHERE datname = '" + name_ + "' AND usename LIKE '" + name_ +
                 "%' AND wait_event_type = 'Lock'")
        .size();
  }

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
  std::string feed_role() const { return name_ + "_feed"; }
  void lock_out(const std::string& role) {
    const std::string sessions = " FROM pg_stat_activity WHERE usename = '" + role + "'";
    admin("ALTER ROLE " + role + " NOLOGIN");
    admin("SELECT pg_terminate_backend(pid)" + sessions);
    REQUIRE(eventually([&] { return query("SELECT" + sessions).empty(); }));
  }
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

inline reader::ReaderSettings settings_of(const Database& database) {
  reader::ReaderSettings settings;
  settings.database = database.uri();
  settings.warm_rows = 0;
  return settings;
}

inline Result<HotRowPtr> load(ViewRows& view, const std::string& key) {
  std::promise<Result<HotRowPtr>> answer;
  view.load(key, [&](const Result<HotRowPtr>& result, const Cost&) { answer.set_value(result); });
  return answer.get_future().get();
}
inline HotRowPtr get(ViewRows& view, const std::string& key) {
  if (HotRowPtr hot = view.find_hot(key)) return hot;
  const Result<HotRowPtr> loaded = load(view, key);
  if (const Unavailable* why = std::get_if<Unavailable>(&loaded)) FAIL(why->detail);
  return std::get<HotRowPtr>(loaded);
}
inline Result<ListPage> list(ViewRows& view, const ListQuery& query) {
  std::promise<Result<ListPage>> answer;
  view.list(query, [&](const Result<ListPage>& result, const Cost&) { answer.set_value(result); });
  return answer.get_future().get();
}

inline std::int64_t member(const std::string& json, const std::string& name) {
  const std::size_t at = json.find("\"" + name + "\":");
  REQUIRE(at != std::string::npos);
  return std::stoll(json.substr(at + name.size() + 3));
}

inline std::shared_ptr<ViewRows> only_view(Reader& reader) {
  std::shared_ptr<ViewRows> view = reader.find(view_name);
  REQUIRE(view);
  return view;
}

}  // namespace daybook::reader
