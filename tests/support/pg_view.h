// A view on a real PostgreSQL, which DAYBOOK_DATABASE names, and the connection to look at it.
#pragma once

#include <doctest/doctest.h>
#include <spdlog/spdlog.h>

#include <chrono>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "postgres/connection.h"
#include "sql/apply.h"
#include "sql/render.h"
#include "tests/support/memory_store.h"
#include "worker/commit/pg_store.h"

namespace daybook::test {

// With a name that no other test of this server has. Everything of it is dropped at the end.
class PgView {
 public:
  explicit PgView(ViewDefinition view) : view_(std::move(view)) {
    spdlog::set_level(spdlog::level::err);
    const char* uri = std::getenv("DAYBOOK_DATABASE");
    REQUIRE_MESSAGE(uri != nullptr,
                    "DAYBOOK_DATABASE is not set: run scripts/test, or scripts/services start DIR and source DIR/env");
    uri_ = uri;
    connection_ = postgres::connect(uri_, "daybook-test");
    sql::migrate(*connection_);
    // Tests change columns that the file's lists name; those of lists give their own.
    view_.reader = {};
    view_.reader_json.clear();
    static int number = 0;
    view_.name = "t" + std::to_string(std::chrono::steady_clock::now().time_since_epoch().count()) + "_" +
                 std::to_string(++number);
    view_.canonical_json = "{\"view\": \"" + view_.name + "\"}";
    CHECK(sql::apply_view(*connection_, view_) == sql::Applied::created);
    CHECK(sql::apply_view(*connection_, view_) == sql::Applied::already_there);
  }
  ~PgView() {
    const std::string g = std::to_string(generation().id);
    pqxx::work transaction(*connection_);
    transaction.exec("DROP FUNCTION daybook.commit_" + g + "; DROP TABLE " + sql::quote_identifier(view_.name));
    transaction.exec("DROP TABLE IF EXISTS daybook.state_" + g);
    for (const char* slot : {"0", "1", "2"}) {
      transaction.exec("DROP TABLE daybook.seen_" + g + "_" + slot + ", daybook.change_" + g + "_" + slot);
    }
    for (const char* table : {"log_partition", "dead_letter", "position_move", "position", "view_head"}) {
      transaction.exec("DELETE FROM daybook." + std::string(table) + " WHERE generation = " + g);
    }
    transaction.exec("DELETE FROM daybook.generation WHERE id = " + g);
    transaction.commit();
  }

  const ViewDefinition& view() const { return view_; }
  sql::Generation generation() {
    if (!generation_) {
      pqxx::nontransaction transaction(*connection_);
      generation_ = sql::live_generation(transaction, view_.name);
    }
    return *generation_;
  }
  std::unique_ptr<PgStore> store() { return std::make_unique<PgStore>(uri_, view_, generation(), "test"); }
  sql::Applied apply(const ViewDefinition& changed) { return sql::apply_view(*connection_, changed); }
  pqxx::result query(const std::string& sql) {
    pqxx::nontransaction transaction(*connection_);
    return transaction.exec(sql);
  }
  std::string g() { return std::to_string(generation().id); }

  Rows rows() {
    std::string columns;
    for (const KeyColumn& column : view_.key) columns += sql::quote_identifier(column.name) + "::text, ";
    for (const ValueColumn& column : view_.columns) columns += sql::quote_identifier(column.name) + "::bigint, ";
    Rows rows;
    for (const auto& row : query("SELECT " + columns + "updated_at FROM " + sql::quote_identifier(view_.name))) {
      RowKeyText key;
      for (std::size_t i = 0; i < view_.key.size(); ++i) key.push_back(row[static_cast<int>(i)].c_str());
      for (std::size_t i = 0; i < view_.columns.size(); ++i) {
        rows[key].push_back(row[static_cast<int>(view_.key.size() + i)].as<std::int64_t>());
      }
    }
    return rows;
  }
  // All columns as PostgreSQL prints them, times in UTC; NULL: "NULL".
  TextRows text_rows() {
    std::string columns;
    for (const KeyColumn& column : view_.key) columns += sql::quote_identifier(column.name) + "::text, ";
    for (const ValueColumn& column : view_.columns) columns += sql::quote_identifier(column.name) + "::text, ";
    query("SET timezone = 'UTC'");
    TextRows rows;
    for (const auto& row : query("SELECT " + columns + "updated_at FROM " + sql::quote_identifier(view_.name))) {
      RowKeyText key;
      const std::size_t keys = view_.key.size();
      for (std::size_t i = 0; i < keys; ++i) key.push_back(row[static_cast<int>(i)].c_str());
      for (std::size_t i = keys; i < keys + view_.columns.size(); ++i) {
        const auto field = row[static_cast<int>(i)];
        rows[key].push_back(field.is_null() ? "NULL" : field.c_str());
      }
    }
    return rows;
  }
  std::vector<DeadLetter> dead_letters() {
    std::vector<DeadLetter> letters;
    for (const auto& row : query("SELECT topic, partition, record_offset, code, detail, record_value FROM "
                                 "daybook.dead_letter WHERE generation = " +
                                 g())) {
      DeadLetter letter;
      letter.partition = {row[0].as<std::string>(), row[1].as<std::int32_t>()};
      letter.offset = row[2].as<std::int64_t>();
      letter.rejection = {row[3].as<std::string>(), row[4].as<std::string>()};
      letter.value = postgres::bytes_of(row[5]);
      letters.push_back(letter);
    }
    return letters;
  }

 private:
  ViewDefinition view_;
  std::string uri_;
  postgres::Connection connection_;
  std::optional<sql::Generation> generation_;
};

}  // namespace daybook::test
