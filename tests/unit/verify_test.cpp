// The independent recomputation: envelopes, values, duplicates, dead letters, balances, what is uncertain.
#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "core/definition_reader.h"
#include "verify/compare.h"
#include "verify/recompute.h"
#include "verify/values.h"

namespace {

using namespace daybook;
using namespace daybook::verify;
using nlohmann::json;

constexpr const char* facility = "0f8fad5b-d9cb-469f-a165-70867728950e";
constexpr const char* topic = "bloodbank.events";

ViewDefinition summary(const std::string& extra = "") {
  std::string text = R"({"view": "v", "kind": "summary",
    "key": [{"name": "facility_id", "type": "uuid"}, {"name": "date", "type": "date", "time_zone": "Africa/Nairobi"}],
    "columns": [{"name": "stock", "type": "int", "value": "balance"}, {"name": "sent", "type": "int", "value": "sum"}],
    "updated_at": "timestamptz")" +
                     extra + R"(,
    "sources": [
      {"topic": "bloodbank.events", "event": "stock", "key": {"facility_id": "/data/facility_id", "date": "/time"},
       "add": {"stock": "/data/quantity"}},
      {"topic": "bloodbank.events", "event": "sent", "where": [{"member": "/data/on", "null": false}],
       "key": {"facility_id": "/data/facility_id", "date": "/data/on"}, "add": {"sent": "/data/quantity"}}]})";
  DefinitionOrMistakes read = read_definition(text);
  if (auto* mistakes = std::get_if<std::vector<DefinitionMistake>>(&read)) {
    for (const DefinitionMistake& m : *mistakes) MESSAGE(m.pointer, ": found ", m.found, ", expected ", m.expected);
    FAIL("the test's definition has mistakes");
  }
  return std::get<ViewDefinition>(read);
}

json stock(const std::string& id, const std::string& time, const json& quantity) {
  return {{"specversion", "1.0"}, {"id", id},     {"source", "s"},
          {"type", "stock"},      {"time", time}, {"data", {{"facility_id", facility}, {"quantity", quantity}}}};
}

struct Log {
  explicit Log(Recomputation& target) : recomputation(target) {}
  Outcome add(const std::string& body, std::int32_t partition = 0,
              std::vector<std::pair<std::string_view, std::string_view>> headers = {}, std::int64_t timestamp_ms = -1) {
    LogRecord record;
    record.topic = topic;
    record.partition = partition;
    record.offset = next[partition]++;
    record.timestamp_ms = timestamp_ms;
    record.headers = std::move(headers);
    record.value = body;
    const Judgement judgement = recomputation.judge(record);
    recomputation.apply(judgement);
    code = judgement.rejection.code;
    return judgement.outcome;
  }
  Outcome add(const json& event, std::int32_t partition = 0) { return add(event.dump(), partition); }
  Recomputation& recomputation;
  std::map<std::int32_t, std::int64_t> next;
  std::string code;
};

std::string outcome_code(const std::string& body,
                         std::vector<std::pair<std::string_view, std::string_view>> headers = {}) {
  Recomputation recomputation{summary()};
  Log log(recomputation);
  return log.add(body, 0, std::move(headers)) == Outcome::invalid ? log.code : "";
}

Key key(const std::string& date) { return {facility, date}; }

}  // namespace

TEST_CASE("verify: a balance is the sum up to the day, in the key's zone, late events included") {
  Recomputation recomputation{summary()};
  Log log(recomputation);
  log.add(stock("1", "2026-11-23T20:59:59Z", 10));  // 23:59:59 in Nairobi
  log.add(stock("2", "2026-11-23T21:00:00Z", 5));
  log.add(stock("3", "2026-11-20T12:00:00+03:00", -2));
  CHECK(recomputation.rows() ==
        std::map<Key, Values>{{key("2026-11-20"), {-2, 0}}, {key("2026-11-23"), {8, 0}}, {key("2026-11-24"), {13, 0}}});
}

TEST_CASE("verify: envelopes") {
  const json event = stock("1", "2026-11-23T20:59:59Z", 10);
  CHECK(outcome_code(event.dump()) == "");
  CHECK(outcome_code(event.dump(), {{"content-type", "application/json"}}) == "");
  CHECK(outcome_code(event.dump(), {{"Content-Type", "Application/CloudEvents+json; charset=utf-8"}}) == "");
  const std::vector<std::pair<std::string_view, std::string_view>> binary = {{"ce_specversion", "1.0"},
                                                                             {"ce_id", "1"},
                                                                             {"ce_source", "s"},
                                                                             {"ce_type", "stock"},
                                                                             {"ce_time", "2026-11-23T20:59:59Z"}};
  CHECK(outcome_code(event["data"].dump(), binary) == "");
  CHECK(outcome_code("{", binary) == "malformed");
  CHECK(outcome_code(event["data"].dump(), {{"ce_specversion", "1.0"}}) == "envelope");
  CHECK(outcome_code(event["data"].dump()) == "envelope");
  for (const char* name : {"specversion", "id", "source", "type"}) {
    json wrong = event;
    wrong.erase(name);
    CHECK(outcome_code(wrong.dump()) == "envelope");
    wrong[name] = "";
    CHECK(outcome_code(wrong.dump()) == "envelope");
    wrong[name] = 1;
    CHECK(outcome_code(wrong.dump()) == "envelope");
  }
  CHECK(outcome_code("[]") == "envelope");
}

TEST_CASE("verify: what is no JSON") {
  for (const std::string& body :
       {std::string(), std::string("{"), std::string("{} x"), std::string("{\"a\":1,\"a\":2}"),
        std::string("{\"a\":1e309}"), std::string("{\"a\":NaN}"), std::string("{\"a\":\"\xff\"}"),
        std::string("{}\0{", 4), std::string("\xEF\xBB\xBF{}"), std::string(100'000, '[')}) {
    CHECK(outcome_code(body) == "malformed");
  }
  const auto nested = [](std::size_t depth, const std::string& inner) {
    return outcome_code(std::string(depth, '[') + inner + std::string(depth, ']'));
  };
  CHECK(nested(max_depth, "1") == "envelope");  // read, but no event
  CHECK(nested(max_depth + 1, "1") == "malformed");
  CHECK(outcome_code(R"({"a":18446744073709551615})") == "envelope");
  CHECK(outcome_code(R"({"a":18446744073709551616})") == "malformed");
}

TEST_CASE("verify: members") {
  for (const json& quantity :
       {json(), json("5"), json(1.5), json(true), json::array(), json(9223372036854775808u), json(1e16)}) {
    CHECK(outcome_code(stock("1", "2026-11-23T00:00:00Z", quantity).dump()) == "member");
  }
  for (const json& quantity : {json(5.0), json(-9223372036854775807), json(9007199254740992.0)}) {
    CHECK(outcome_code(stock("1", "2026-11-23T00:00:00Z", quantity).dump()) == "");
  }
  CHECK(outcome_code(R"({"specversion":"1.0","id":"1","source":"s","type":"unknown"})") == "");
  CHECK(outcome_code(R"({"specversion":"1.0","id":"1","source":"s","type":"sent","data":{"on":null}})") == "");
  CHECK(outcome_code(R"({"specversion":"1.0","id":"1","source":"s","type":"sent","data":{"on":5}})") == "member");
}

TEST_CASE("verify: date members") {
  absl::TimeZone utc = absl::UTCTimeZone();
  const auto day = [&utc](const std::string& text) {
    const std::optional<Day> found = day_of(text, utc);
    return found ? iso_date(found->day) : "none";
  };
  CHECK(day("2024-02-29") == "2024-02-29");
  CHECK(day("0001-01-01") == "0001-01-01");
  CHECK(day("2016-12-31T23:59:60Z") == "2016-12-31");
  CHECK(day("2026-11-23t23:59:59.999999999z") == "2026-11-23");
  CHECK(day("2026-11-24T05:44:59+05:45") == "2026-11-23");
  CHECK(day("9999-12-31T23:59:59Z") == "9999-12-31");
  for (const char* wrong :
       {"", "2023-02-29", "0000-01-01", "2026-13-01", "2026-1-1", "2026-11-23T10:00:00", "2026-11-23T24:00:00Z",
        "2026-11-23T10:00Z", "2026-11-23T10:00:00.Z", "2026-11-23T10:00:00+24:00", "2026-11-23T10:00:00Z ",
        "9999-12-31T23:59:59-01:00", "0001-01-01T00:00:00+01:00", "now", "20261123"}) {
    CHECK_MESSAGE(day(wrong) == "none", wrong);
  }
}

TEST_CASE("verify: dead letters are left out and judged") {
  Recomputation recomputation{summary()};
  const TopicPartition partition{topic, 0};
  recomputation.expect(DeadLetter{partition, 0, "member"});    // invalid: right
  recomputation.expect(DeadLetter{partition, 1, "member"});    // valid: a difference
  recomputation.expect(DeadLetter{partition, 2, "range"});     // valid, taken as recorded; occupies no identity
  recomputation.expect(DeadLetter{partition, 9, "envelope"});  // no such record
  Log log(recomputation);
  log.add(stock("a", "2026-11-23T00:00:00Z", "many"));
  log.add(stock("b", "2026-11-23T00:00:00Z", 1));
  log.add(stock("c", "2026-11-23T00:00:00Z", 2));
  log.add(stock("c", "2026-11-23T00:00:00Z", 2));
  log.add(stock("d", "2026-11-23T00:00:00Z", "many"));  // invalid without a dead letter
  CHECK(recomputation.rows() == std::map<Key, Values>{{key("2026-11-23"), {2, 0}}});
  const std::vector<DeadLetterDifference> found = recomputation.dead_letter_differences();
  REQUIRE(found.size() == 3);
  CHECK((found[0].kind == DeadLetterDifference::Kind::unfounded && found[0].offset == 1));
  CHECK((found[1].kind == DeadLetterDifference::Kind::missing && found[1].offset == 4));
  CHECK((found[2].kind == DeadLetterDifference::Kind::no_record && found[2].offset == 9));
  CHECK(recomputation.counts().dead_letters == 4);
}

TEST_CASE("verify: redriven records count for the view that they name") {
  Recomputation recomputation{summary()};
  Log log(recomputation);
  nlohmann::json event = stock("a", "2026-11-23T00:00:00Z", 1);
  event["daybookredrive"] = "other";
  CHECK(log.add(event.dump()) == Outcome::other_view);
  CHECK(recomputation.rows().empty());
  event["daybookredrive"] = "v";
  CHECK(log.add(event.dump()) == Outcome::contributes);
  CHECK(recomputation.rows().size() == 1);
}

TEST_CASE("verify: an event from the future is measured against its record's time") {
  Recomputation recomputation{summary(R"(, "max_future_seconds": 60)")};
  Log log(recomputation);
  CHECK(log.add(stock("a", "1970-01-01T00:01:01Z", 1).dump(), 0, {}, 1000) == Outcome::contributes);
  CHECK(log.add(stock("b", "1970-01-01T00:01:02Z", 1).dump(), 0, {}, 1000) == Outcome::invalid);
  CHECK(log.code == "future");
  CHECK(log.add(stock("c", "1970-01-02", 1).dump(), 0, {}, 1000) == Outcome::contributes);
}

TEST_CASE("verify: the table is compared row by row") {
  Recomputation recomputation{summary()};
  Log log(recomputation);
  log.add(stock("1", "2026-11-01T00:00:00Z", 1));
  log.add(stock("2", "2026-11-02T00:00:00Z", 1));
  const TableRows right = {{key("2026-11-01"), {"1", "0"}}, {key("2026-11-02"), {"2", "0"}}};
  CHECK(compare(right, recomputation, 10).rows.empty());

  const TableRows wrong = {{key("2026-11-02"), {"3", std::nullopt}}, {key("2026-11-03"), {"2", "0"}}};
  const Comparison found = compare(wrong, recomputation, 10);
  CHECK(found.differing_rows == 3);
  REQUIRE(found.rows.size() == 3);
  CHECK(found.rows[0].kind == RowDifference::Kind::only_in_log);
  CHECK(found.rows[1].cells.size() == 2);
  CHECK(found.rows[1].cells[0].table == "3");
  CHECK(found.rows[1].cells[0].log == "2");
  CHECK(found.rows[1].cells[1].table == "NULL");
  CHECK(found.rows[2].kind == RowDifference::Kind::only_in_table);
  CHECK(compare(wrong, recomputation, 1).rows.size() == 1);
}

TEST_CASE("verify: copies count once; with other data on another partition either may stand") {
  Recomputation recomputation{summary()};
  Log log(recomputation);
  log.add(stock("1", "2026-11-01T00:00:00Z", 10), 0);
  log.add(stock("1", "2026-11-01T00:00:00Z", 10), 1);
  CHECK(recomputation.counts().duplicates == 1);
  CHECK(recomputation.counts().reused_ids == 0);
  log.add(stock("2", "2026-11-02T00:00:00Z", 5), 0);
  log.add(stock("2", "2026-11-02T00:00:00Z", 6), 0);  // after the first in its own partition: surely dropped
  CHECK(recomputation.counts().reused_ids == 1);
  CHECK(
      compare({{key("2026-11-01"), {"10", "0"}}, {key("2026-11-02"), {"16", "0"}}}, recomputation, 9).differing_rows ==
      1);
  log.add(stock("2", "2026-11-02T00:00:00Z", 7), 1);
  const auto judge = [&recomputation](const char* first, const char* second) {
    return compare({{key("2026-11-01"), {first, "0"}}, {key("2026-11-02"), {second, "0"}}}, recomputation, 9);
  };
  CHECK(judge("10", "15").rows.empty());
  CHECK(judge("10", "17").uncertain_rows == 1);
  CHECK(judge("10", "17").differing_rows == 0);
  CHECK(judge("10", "30").differing_rows == 1);  // no copy explains that
  CHECK(judge("11", "15").differing_rows == 1);  // a row that no doubtful copy touched
}

TEST_CASE("verify: copies beyond the deduplication window may count twice") {
  Recomputation recomputation{summary(R"(, "deduplication_window_events": 1000)")};
  recomputation.expect({topic, 0}, 0, 1002);
  Log log(recomputation);
  log.add(stock("1", "2026-11-01T00:00:00Z", 10));
  for (int i = 0; i < 1000; ++i) log.add(stock("x" + std::to_string(i), "2026-11-02T00:00:00Z", 0));
  log.add(stock("1", "2026-11-01T00:00:00Z", 10));
  CHECK(recomputation.counts().outside_window == 1);
  const auto judge = [&recomputation](const char* first, const char* second) {
    return compare({{key("2026-11-01"), {first, "0"}}, {key("2026-11-02"), {second, "0"}}}, recomputation, 9);
  };
  CHECK(judge("10", "10").rows.empty());
  CHECK(judge("20", "20").uncertain_rows == 2);
  CHECK(judge("20", "20").differing_rows == 0);
  CHECK(judge("0", "10").differing_rows == 1);
}
