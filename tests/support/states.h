// Views of states for tests: definitions that use all that there is, random traffic for them, and what verify says of
// the table. The same seed gives the same log.
#pragma once

#include <doctest/doctest.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <vector>

#include "core/definition_reader.h"
#include "tests/support/fake_source.h"
#include "tests/support/pg_view.h"
#include "verify/compare.h"

namespace daybook::test {

// Rows put together from three topics: two parts that can go by themselves and one that goes with the whole row only.
inline ViewDefinition people() {
  static constexpr const char* text = R"({
    "view": "people", "kind": "latest",
    "key": [{"name": "part", "type": "text"}, {"name": "id", "type": "int"}],
    "columns": [
      {"name": "name", "type": "text", "required": true}, {"name": "hired", "type": "date"},
      {"name": "rate", "type": "decimal", "scale": 3}, {"name": "active", "type": "boolean"},
      {"name": "notes", "type": "json"}, {"name": "badge", "type": "uuid"},
      {"name": "since", "type": "timestamp"}, {"name": "floor", "type": "int"}, {"name": "seen", "type": "bigint"}],
    "sources": [
      {"topic": "staff", "event": "employee", "key": {"part": "/data/team", "id": "/data/id"}, "version": "/data/v",
       "set": {"name": "/data/name", "hired": "/data/hired", "rate": "/data/rate", "active": "/data/active",
               "notes": "/data/notes"}},
      {"topic": "badges", "event": "badge", "key": {"part": "/data/team", "id": "/data/id"}, "version": "/data/v",
       "set": {"badge": "/data/badge", "since": "/data/since"}},
      {"topic": "badges", "event": "no_badge", "key": {"part": "/data/team", "id": "/data/id"}, "version": "/data/v",
       "delete": ["badge", "since"]},
      {"topic": "places", "event": "place", "key": {"part": "/data/team", "id": "/data/id"}, "version": "/data/v",
       "set": {"floor": "/data/floor", "seen": "/data/seen"}},
      {"topic": "staff", "event": "left", "key": {"part": "/data/team", "id": "/data/id"}, "version": "/data/v",
       "delete": true}]})";
  DefinitionOrMistakes read = read_definition(text);
  if (const auto* mistakes = std::get_if<std::vector<DefinitionMistake>>(&read)) FAIL(to_string(mistakes->front()));
  return std::get<ViewDefinition>(std::move(read));
}

// One row for each event of two topics; events of some have the same key.
inline ViewDefinition entries() {
  static constexpr const char* text = R"({
    "view": "entries", "kind": "log",
    "key": [{"name": "app", "type": "text"}, {"name": "at", "type": "timestamp"}, {"name": "number", "type": "int"}],
    "columns": [
      {"name": "message", "type": "text", "required": true}, {"name": "took", "type": "decimal", "scale": 6},
      {"name": "detail", "type": "json"}],
    "partition": "day",
    "sources": [
      {"topic": "apps", "event": "logged", "key": {"app": "/data/app", "at": "/time", "number": "/data/n"},
       "set": {"message": "/data/message", "took": "/data/took"}},
      {"topic": "web", "event": "failed", "key": {"app": "/data/app", "at": "/time", "number": "/data/n"},
       "set": {"message": "/data/message", "detail": "/data/detail"}}]})";
  DefinitionOrMistakes read = read_definition(text);
  if (const auto* mistakes = std::get_if<std::vector<DefinitionMistake>>(&read)) FAIL(to_string(mistakes->front()));
  return std::get<ViewDefinition>(std::move(read));
}

struct TopicRecord {
  std::string topic;
  std::string value;
};

// Events of that view. `versions`: how many different ones; with fewer than there are events some are alike.
inline std::vector<TopicRecord> people_events(std::mt19937& random, int events, std::uint32_t versions) {
  const auto below = [&random](std::uint32_t n) { return random() % n; };
  std::vector<std::uint32_t> shuffled(versions);
  for (std::uint32_t i = 0; i < versions; ++i) shuffled[i] = i;
  std::shuffle(shuffled.begin(), shuffled.end(), random);
  static const std::vector<std::string> texts = {"plain", "a \"quoted\" one", "back\\slash", "line\nbell\x07",
                                                 "größe €"};
  std::vector<TopicRecord> records;
  for (int i = 0; i < events; ++i) {
    nlohmann::json data = {{"team", below(2) == 0 ? "red" : "größe"}, {"id", below(5)}};
    data["v"] = shuffled[static_cast<std::uint32_t>(i) % versions];
    nlohmann::json event = {{"specversion", "1.0"}, {"source", "/s"}, {"id", std::to_string(i)}};
    std::string topic = "staff";
    std::string rate;
    switch (below(8)) {
      case 0:
        event["type"] = "left";
        break;
      case 1:
      case 2:
        topic = "badges";
        event["type"] = "badge";
        data["badge"] = "0A0B0C0D-0102-0304-0506-0708090A0B0" + std::to_string(below(10));
        if (below(3) > 0)
          data["since"] =
              "2026-03-1" + std::to_string(below(10)) + "T23:59:59.12345" + std::to_string(below(10)) + "+05:45";
        break;
      case 3:
        topic = "badges";
        event["type"] = "no_badge";
        break;
      case 4:
        topic = "places";
        event["type"] = "place";
        data["floor"] = below(9) == 0 ? 3'000'000'000 : static_cast<std::int64_t>(below(40)) - 20;
        data["seen"] = below(5) == 0 ? nlohmann::json(nullptr) : nlohmann::json(INT64_MIN + below(3));
        break;
      default:
        event["type"] = "employee";
        if (below(12) > 0) data["name"] = texts[below(5)];  // else it is refused
        if (below(3) > 0) data["hired"] = "2020-02-2" + std::to_string(below(10));
        if (below(2) == 0) data["active"] = below(2) == 0;
        if (below(3) > 0) data["notes"] = {{"b", {1, nullptr, texts[below(5)]}}, {"a", below(3)}};
        // A number that no double holds.
        if (below(2) == 0)
          rate = ",\"rate\":" + std::to_string(below(9)) + "00000000000001.0" + std::to_string(below(99));
    }
    std::string text = data.dump();
    text.insert(text.size() - 1, rate);
    event["data"] = "DATA";
    std::string whole = event.dump();
    whole.replace(whole.find("\"DATA\""), 6, text);
    records.push_back({topic, whole});
  }
  return records;
}

// Events of that view on ten days. `numbers`: how many there are beside app and time; with few some keys are alike.
inline std::vector<TopicRecord> entry_events(std::mt19937& random, int events, std::uint32_t numbers) {
  const auto below = [&random](std::uint32_t n) { return random() % n; };
  std::vector<TopicRecord> records;
  for (int i = 0; i < events; ++i) {
    const bool failed = below(3) == 0;
    nlohmann::json data = {{"app", below(2) == 0 ? "a" : "größe"}, {"n", below(numbers)}};
    if (below(20) > 0) data["message"] = "message " + std::to_string(i);
    if (!failed && below(2) == 0) data["took"] = static_cast<double>(below(1000)) / 64;
    if (failed) data["detail"] = {{"i", i}};
    const nlohmann::json event = {{"specversion", "1.0"},
                                  {"source", "/s"},
                                  {"id", std::to_string(i)},
                                  {"type", failed ? "failed" : "logged"},
                                  {"time", "2026-03-1" + std::to_string(below(10)) + "T0" + std::to_string(below(3)) +
                                               ":00:00.00000" + std::to_string(below(2)) + "+01:00"},
                                  {"data", data}};
    records.push_back({failed ? "web" : "apps", event.dump()});
  }
  return records;
}

// Each record on a random partition of its topic, in the order given.
inline Log log_of(std::mt19937& random, const std::vector<TopicRecord>& records, int partitions) {
  Log log;
  for (const TopicRecord& record : records) {
    const TopicPartition partition{record.topic,
                                   static_cast<std::int32_t>(random() % static_cast<std::uint32_t>(partitions))};
    auto& part = log[partition];
    const std::int64_t next = part.empty() ? 0 : part.rbegin()->first + 1;
    part[next] = LogRecord{record.value, 1'790'000'000'000, {}};
  }
  return log;
}

// The table as verify reads it.
inline verify::TableRows table_of(PgView& pg) {
  std::string columns;
  for (const KeyColumn& column : pg.view().key) columns += sql::quote_identifier(column.name) + "::text, ";
  for (const ValueColumn& column : pg.view().columns) columns += sql::quote_identifier(column.name) + "::text, ";
  columns.resize(columns.size() - 2);
  pg.query("SET datestyle = 'ISO, YMD'; SET timezone = 'UTC'");
  verify::TableRows rows;
  for (const auto& row : pg.query("SELECT " + columns + " FROM " + sql::quote_identifier(pg.view().name))) {
    verify::Key key;
    int at = 0;
    while (key.size() < pg.view().key.size()) key.emplace_back(row[at++].c_str());
    auto& values = rows[key];
    for (; values.size() < pg.view().columns.size(); ++at)
      values.push_back(row[at].is_null() ? std::nullopt : std::optional<std::string>(row[at].c_str()));
  }
  return rows;
}

inline std::string text_of(const verify::TableRows& rows) {
  std::string text;
  for (const auto& [key, values] : rows) {
    for (const std::string& part : key) text += part + "|";
    for (const auto& value : values) text += value.value_or("NULL") + "|";
    text += "\n";
  }
  return text;
}

// What verify finds different between the table and the log; empty: nothing. `rows_from`: what was before is archived.
inline std::string verified(PgView& pg, const Log& log, const std::string& rows_from = "") {
  verify::Recomputation recomputation(pg.view());
  recomputation.pass_over_before(rows_from);
  for (const auto& [partition, records] : log)
    recomputation.expect(partition, 0, records.empty() ? 0 : records.rbegin()->first + 1);
  for (const DeadLetter& letter : pg.dead_letters())
    recomputation.expect(verify::DeadLetter{letter.partition, letter.offset, letter.rejection.code});
  for (const auto& [partition, records] : log) {
    for (const auto& [offset, record] : records) {
      verify::LogRecord out;
      out.topic = partition.topic;
      out.partition = partition.partition;
      out.offset = offset;
      out.timestamp_ms = record.timestamp_ms;
      for (const auto& [name, value] : record.headers) out.headers.emplace_back(name, value);
      if (record.value) out.value = *record.value;
      recomputation.add(out);
    }
  }
  std::string found;
  for (const verify::DeadLetterDifference& difference : recomputation.dead_letter_differences())
    found += "dead letter " + to_string(difference.partition, difference.offset) + " " + difference.code + ": " +
             difference.detail + "\n";
  const verify::Comparison comparison = verify::compare(table_of(pg), recomputation, 10);
  for (const verify::RowDifference& row : comparison.rows) {
    found += (row.uncertain ? "uncertain: " : "") + verify::describe_key(pg.view(), row.key);
    for (const verify::CellDifference& cell : row.cells)
      found += "; " + cell.column + ": table " + cell.table + ", log " + cell.log;
    found += "\n";
  }
  return found;
}

}  // namespace daybook::test
