// A reader of the change feed as docs/feed.md describes one, plain and without regard to speed: it starts from the
// table and then knows only what the entries say.
#pragma once

#include <doctest/doctest.h>

#include <map>
#include <nlohmann/json.hpp>
#include <string>

#include "sql/row_json.h"
#include "tests/support/pg_view.h"

namespace daybook::test {

class FeedReader {
 public:
  explicit FeedReader(PgView& pg) : pg_(pg), json_(sql::row_json(pg.view(), "t")) { load(); }

  // All entries after the last one that was applied.
  void poll() {
    const pqxx::result entries = pg_.query(
        "SELECT h.seq, c.seq, c.nonce, c.kind, c.body, array_to_json(c.topics), array_to_json(c.partitions),"
        " array_to_json(c.next_offsets) FROM daybook.view_head h LEFT JOIN daybook.change c ON c.generation = " +
        pg_.g() + " AND c.seq >= " + std::to_string(seq_) + " WHERE h.generation = " + pg_.g() + " ORDER BY c.seq");
    for (const auto& entry : entries) {
      if (entry[1].is_null()) break;
      const auto seq = entry[1].as<std::int64_t>();
      if (seq == seq_ && entry[2].c_str() == nonce_) continue;
      if (seq != seq_ + 1) return load();
      seq_ = seq;
      nonce_ = entry[2].c_str();
      const std::string kind = entry[3].c_str();
      ++kinds[kind];
      apply(kind, entry[4].c_str());
      const auto topics = nlohmann::json::parse(entry[5].c_str());
      for (std::size_t i = 0; i < topics.size(); ++i) {
        positions[{topics[i], nlohmann::json::parse(entry[6].c_str())[i]}] = nlohmann::json::parse(entry[7].c_str())[i];
      }
    }
    if (seq_ != entries.at(0)[0].as<std::int64_t>()) load();
  }

  // Key columns as a JSON array -> the row's JSON.
  std::map<std::string, std::string> rows() const {
    std::map<std::string, std::string> rows;
    for (const auto& [key, row] : rows_) rows[key] = row.json;
    return rows;
  }
  std::map<std::string, std::string> rows_in_table() {
    std::map<std::string, std::string> rows;
    for (const auto& row : select("true")) rows[key_of(row[1].c_str())] = row[1].c_str();
    return rows;
  }
  Positions positions_in_table() {
    Positions stored;
    for (const auto& row :
         pg_.query("SELECT topic, partition, next_offset FROM daybook.position WHERE generation = " + pg_.g()))
      stored[{row[0].as<std::string>(), row[1].as<std::int32_t>()}] = row[2].as<std::int64_t>();
    return stored;
  }

  std::int64_t seq() const { return seq_; }
  Positions positions;
  int loads = 0;  // of the whole table because entries were missing, and the first one
  std::map<std::string, int> kinds;
  int gone = 0;  // rows that entries said are not there any more

 private:
  struct Row {
    std::string json;
    std::int64_t valid_at = 0;
  };

  // The head and rows of one snapshot.
  pqxx::result select(const std::string& condition) {
    return pg_.query("SELECT h.seq, " + json_ + ", h.nonce FROM " + sql::quote_identifier(pg_.view().name) +
                     " t, daybook.view_head h WHERE h.generation = " + pg_.g() + " AND (" + condition + ")");
  }

  std::string key_of(const std::string& row) const {
    const auto parsed = nlohmann::json::parse(row);
    nlohmann::json key = nlohmann::json::array();
    for (const KeyColumn& column : pg_.view().key) key.push_back(parsed.at(column.name));
    return key.dump();
  }

  void load() {
    ++loads;
    rows_.clear();
    const pqxx::result head = pg_.query("SELECT seq, nonce FROM daybook.view_head WHERE generation = " + pg_.g());
    seq_ = head[0][0].as<std::int64_t>();
    nonce_ = head[0][1].c_str();
    // Rows may be newer than the head that was read before them: each says which commit it is valid at.
    for (const auto& row : select("true")) rows_[key_of(row[1].c_str())] = {row[1].c_str(), row[0].as<std::int64_t>()};
    positions = positions_in_table();
  }

  void read_again(const std::string& condition) {
    for (const auto& row : select(condition))
      rows_[key_of(row[1].c_str())] = {row[1].c_str(), row[0].as<std::int64_t>()};
  }

  void apply(const std::string& kind, const std::string& body) {
    if (kind == "rows") {
      for (const auto& row : nlohmann::ordered_json::parse(body)) {
        const std::string json = row.dump();  // the bytes that PostgreSQL wrote, as the comparison shows
        if (row.is_array()) {
          ++gone;
          Row& known = rows_[json];
          if (known.valid_at < seq_) rows_.erase(json);
          continue;
        }
        Row& known = rows_[key_of(json)];
        if (known.valid_at < seq_) known = {json, seq_};
      }
    } else if (kind == "keys") {
      const auto parsed = nlohmann::json::parse(body);
      const auto column = [&](std::size_t i) { return "t." + sql::quote_identifier(pg_.view().key[i].name); };
      const auto literal = [](const nlohmann::json& value) {
        return sql::quote_literal(value.is_string() ? value.get<std::string>() : value.dump());
      };
      std::string keys;
      for (const auto& key : parsed.at("keys")) {
        REQUIRE(key.size() == pg_.view().key.size());
        keys += keys.empty() ? "(" : ", (";
        for (std::size_t i = 0; i < key.size(); ++i) keys += (i > 0 ? ", " : "") + literal(key[i]);
        keys += ")";
      }
      std::string columns;
      for (std::size_t i = 0; i < pg_.view().key.size(); ++i) columns += (i > 0 ? ", " : "") + column(i);
      read_again("(" + columns + ") IN (" + keys + ")");
      for (const auto& range : parsed.at("ranges")) {
        std::string condition;
        const std::size_t date = pg_.view().key.size() - 1;
        REQUIRE(range.size() == date + 2);
        for (std::size_t i = 0; i < date; ++i) condition += column(i) + " = " + literal(range[i]) + " AND ";
        condition += column(date) + " > " + literal(range[date]);
        if (!range[date + 1].is_null()) condition += " AND " + column(date) + " < " + literal(range[date + 1]);
        read_again(condition);
      }
    } else if (kind == "reset") {
      CHECK(body.empty());
      rows_.clear();
      read_again("true");
    } else {
      CHECK(kind == "none");
      CHECK(body.empty());
    }
  }

  PgView& pg_;
  std::string json_;
  std::map<std::string, Row> rows_;
  std::int64_t seq_ = 0;
  std::string nonce_;
};

}  // namespace daybook::test
