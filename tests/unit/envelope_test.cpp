// Envelopes beside the cases in tests/cases/summary: what identifies an event, its times, and how a dead letter of each
// envelope is redriven. The worker's decoder and verify judge each record alike.
#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include "core/definition_reader.h"
#include "producer/redrive.h"
#include "tests/support/memory_store.h"
#include "tests/support/referee.h"
#include "worker/decode/decoder.h"

namespace {

using namespace daybook;
using namespace daybook::test;
using nlohmann::json;

ViewDefinition view_with(const json& envelope, const json& day, const char* event = "c", const char* n = "/after/n") {
  json definition = json::parse(R"({"view": "v", "kind": "summary",
    "key": [{"name": "day", "type": "date", "time_zone": "Asia/Kathmandu"}],
    "columns": [{"name": "n", "type": "int", "value": "sum"}], "sources": [{"topic": "t"}]})");
  json& source = definition["sources"][0];
  source["envelope"] = envelope;
  source["event"] = event;
  source["key"]["day"] = day;
  source["add"]["n"] = n;
  DefinitionOrMistakes read = read_definition(definition.dump());
  if (const auto* mistakes = std::get_if<std::vector<DefinitionMistake>>(&read)) FAIL(to_string(mistakes->front()));
  return std::get<ViewDefinition>(read);
}

struct Headers : HeaderReader {
  void read(const void* native, std::vector<Header>& out) const override {
    for (const auto& [name, value] : static_cast<const OwnedRecord*>(native)->headers) out.push_back({name, value});
  }
};

DecodedEvent decoded(const ViewDefinition& view, const OwnedRecord& record, std::int32_t partition = 0,
                     std::int64_t offset = 0) {
  static const Headers headers;
  Record seen;
  seen.partition = partition;
  seen.offset = offset;
  if (record.key) seen.key = *record.key;
  if (record.value) seen.value = *record.value;
  seen.header_reader = &headers;
  seen.native = &record;
  Decoder decoder(view, FingerprintKey{});
  DecodedEvent event;
  decoder.describe(seen, event);
  return event;
}

OwnedRecord change(const json& source, const std::optional<std::string>& key = R"({"id":1})") {
  return {key,
          json{{"op", "c"}, {"source", source}, {"after", {{"n", 1}, {"day", "2026-03-07"}}}, {"ts_ms", 1}}.dump(),
          {}};
}

std::string why_not(const OwnedRecord& record, const ViewDefinition& view, const std::vector<std::string>& words = {}) {
  const auto form = publishing::redriven(record, "v", publishing::parse_corrections(words), view.envelope("t"), "3/42");
  const auto* why = std::get_if<publishing::NotRedrivable>(&form);
  return why == nullptr ? "it was made" : why->reason;
}

OwnedRecord made(const OwnedRecord& record, const ViewDefinition& view, const std::vector<std::string>& words = {}) {
  const auto form = publishing::redriven(record, "v", publishing::parse_corrections(words), view.envelope("t"), "3/42");
  if (const auto* why = std::get_if<publishing::NotRedrivable>(&form)) FAIL(why->reason);
  return std::get<OwnedRecord>(form);
}

// The day of an event whose `at` is `value`, as worker and verify both say; or the code of the rejection.
std::string day_of(const json& value, const char* unit) {
  Referee referee(view_with(json::parse(R"({"type": {"is": "c"}})"), {{"member", "/at"}, {"unit", unit}}, "c", "/n"));
  const std::string body = json{{"at", value}, {"n", 1}}.dump();
  Message message;
  message.value = body;
  CHECK(referee.disagreement(message) == "");
  if (!referee.contributed()) return referee.decoded().rejection.code;
  const ViewDefinition view = view_with(json::parse(R"({"type": {"is": "c"}})"), "/at", "c", "/n");
  return key_text(view, referee.decoded().keys)[0];
}

}  // namespace

TEST_CASE("envelopes: the same change of a database is one event, however often and by whatever release it is read") {
  const ViewDefinition view = view_with("debezium", "/after/day");
  const json source = {{"lsn", 77},  {"txId", 5},        {"table", "lots"},
                       {"ts_ms", 9}, {"version", "2.5"}, {"xmin", nullptr}};
  const auto identity = [&](const OwnedRecord& record, std::int64_t offset = 0) {
    const DecodedEvent event = decoded(view, record, 2, offset);
    CHECK(event.outcome == Outcome::contributes);
    CHECK(event.source == "t");
    return event.id;
  };
  const std::string first = identity(change(source));
  CHECK(first == R"({"id":1} c lsn=77 table="lots" ts_ms=9 txId=5)");
  json again = {{"xmin", 8}, {"sequence", "[1,2]"}, {"version", "2.6"}, {"ts_ns", 9}, {"ts_us", 9}};
  for (const auto& [name, value] : source.items()) again.emplace(name, value);
  CHECK(identity(change(again), 5) == first);
  CHECK(identity(change(source, R"({"schema":{"type":"struct"},"payload":{"id":1}})")) == first);
  const json others = {{"lsn", 78}, {"txId", 6}, {"table", "other"}, {"snapshot", "true"}};
  for (const auto& [name, value] : others.items()) {
    json other = source;
    other[name] = value;
    CHECK(identity(change(other)) != first);
  }
  CHECK(identity(change(source, R"({"id":2})")) != first);
  CHECK(identity(change(source, "\xff\x01")) == "ff01" + first.substr(first.find(" c")));
  // Without a key, many rows may have one place in the database's log.
  CHECK(identity(change(source, std::nullopt), 5) == "t/2/5");
  CHECK(identity(change(source, "null"), 6) == "t/2/6");
  CHECK(identity(change(source, ""), 7) == "t/2/7");
}

TEST_CASE("envelopes: a record without an id is identified by its position, a redriven copy by its original's") {
  const ViewDefinition view = view_with(json::parse(R"({"type": "/kind"})"), "/day", "c", "/n");
  const OwnedRecord wrong = {"k", R"({"kind": "c", "day": "2026-03-07", "n": "1"})", {{"x", "kept"}}};
  CHECK(decoded(view, wrong, 3, 42).id == "t/3/42");
  const OwnedRecord again = made(wrong, view, {"/n=1"});
  CHECK(decoded(view, again, 0, 99).outcome == Outcome::contributes);
  CHECK(decoded(view, again, 0, 99).id == "t/3/42");
  CHECK(decoded(view, again, 1, 100).id == "t/3/42");  // published twice, it counts once
  CHECK(again.headers.size() == 3);
  CHECK(again.headers.front().second == "kept");
  // A position that nobody redrove to this view does not count.
  OwnedRecord forged = wrong;
  forged.headers = {{"daybookposition", "3/42"}};
  CHECK(decoded(view, forged, 0, 99).id == "t/0/99");
  // A redriven one that failed again keeps the first position.
  OwnedRecord moved = again;
  moved.headers.back().second = "1/1";
  CHECK(made(moved, view).headers == moved.headers);
  OwnedRecord others = again;
  for (auto& [name, value] : others.headers) value = name == "daybookredrive" ? "w" : value;
  CHECK(decoded(view, others).outcome == Outcome::other_view);
}

TEST_CASE("envelopes: redrive marks a header, corrects the payload, and refuses what has no identity") {
  const ViewDefinition debezium = view_with("debezium", "/after/day");
  const json source = {{"lsn", 77}};
  OwnedRecord record = change(source);
  CHECK(made(record, debezium).value == record.value);
  CHECK(decoded(debezium, made(record, debezium)).id == decoded(debezium, record).id);
  record.value = R"({"schema":{"a":1},"payload":)" + *record.value + "}";
  const json corrected = json::parse(*made(record, debezium, {"/after/n=7"}).value);
  CHECK(corrected["schema"] == json{{"a", 1}});
  CHECK(corrected["payload"]["after"]["n"] == 7);
  CHECK(decoded(debezium, made(record, debezium, {"/after/n=7"})).contributions.at(0).amount == 7);
  CHECK(why_not(record, debezium, {"/key/id=7"}) == "--set /key/id names the record's key, which can't be corrected");
  record.value = R"({"op":"c","source":"x"})";
  CHECK(why_not(record, debezium) == "its member source is missing or no object");
  record.value = R"({"source":{}})";
  CHECK(why_not(record, debezium) == "its member op is missing, empty or no string");
  record.value = "[1]";
  CHECK(why_not(record, debezium) == "it is no event: the record is no JSON object");
  record.value = "{";
  CHECK(why_not(record, debezium).starts_with("it is malformed"));

  const ViewDefinition outbox =
      view_with(json::parse(R"({"id": {"header": "id"}, "type": "/kind"})"), "/day", "c", "/n");
  const std::string body = R"({"kind":"c","day":"2026-03-07","n":1})";
  CHECK(why_not({"k", body, {{"id", "1"}}}, outbox) == "it was made");
  CHECK(why_not({"k", body, {{"id", ""}}}, outbox) == "its id, header id, is missing, empty or of a wrong type");
  CHECK(why_not({"k", "{}", {{"id", "1"}}}, outbox) == "its type, member /kind, is missing, empty or of a wrong type");
  CHECK(decoded(outbox, made({"k", body, {{"id", "7"}}}, outbox), 1, 1).id == "7");
}

TEST_CASE("envelopes: times as numbers, in every unit and up to the ends of the calendar") {
  CHECK(day_of(1772917199, "s") == "2026-03-08");  // 02:44:59 in Kathmandu
  CHECK(day_of(1772907299, "s") == "2026-03-07");
  CHECK(day_of(1772907299999, "ms") == "2026-03-07");
  CHECK(day_of(1772907300000, "ms") == "2026-03-08");
  CHECK(day_of(1772907299999999, "us") == "2026-03-07");
  CHECK(day_of(1772907300000000, "us") == "2026-03-08");
  CHECK(day_of(1772907299999999999, "ns") == "2026-03-07");
  CHECK(day_of(1772907300000000000, "ns") == "2026-03-08");
  CHECK(day_of(INT64_MIN, "ns") == "1677-09-21");
  CHECK(day_of(-1, "days") == "1969-12-31");
  CHECK(day_of(0, "ms") == "1970-01-01");
  CHECK(day_of(-19800001, "ms") == "1969-12-31");  // Kathmandu had +05:30 then
  CHECK(day_of(-19800000.0, "ms") == "1970-01-01");
  CHECK(day_of(-62135596800, "s") == "0001-01-01");
  CHECK(day_of(-62135596801, "s") == "member");
  CHECK(day_of(253402300799, "s") == "member");  // year 10000 in Kathmandu
  CHECK(day_of(253402200000, "s") == "9999-12-31");
  CHECK(day_of(2932896, "days") == "9999-12-31");
  CHECK(day_of(2932897, "days") == "member");
  CHECK(day_of(-719163, "days") == "member");
  for (const json& none : {json(), json("1772907299"), json("2026-03-07"), json(1.5), json(true), json(INT64_MAX),
                           json(INT64_MIN), json(18446744073709551615U), json(1e300)}) {
    for (const char* unit : {"s", "ms", "us", "days"}) CHECK(day_of(none, unit) == "member");
  }
}
