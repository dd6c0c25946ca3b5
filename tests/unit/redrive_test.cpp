// How a dead letter becomes the record that is published again; and what of it reaches which view, as the worker
// decodes it.
#include "producer/redrive.h"

#include <doctest/doctest.h>

#include "core/definition_reader.h"
#include "core/error.h"
#include "worker/dead_letter_copier.h"
#include "worker/decode/decoder.h"

namespace {

using namespace daybook;
using namespace daybook::publishing;

constexpr const char* event =
    R"({ "specversion":"1.0","id":"1","source":"/s","type":"sold","n":1.50,"data":{"a":"x","n":7} })";

OwnedRecord record_of(const std::string& value, std::vector<std::pair<std::string, std::string>> headers = {}) {
  return {"key", value, std::move(headers)};
}

OwnedRecord binary(const std::string& body) {
  return record_of(body, {{"content-type", "application/json"},
                          {"ce_specversion", "1.0"},
                          {"ce_id", "1"},
                          {"ce_source", "/s"},
                          {"ce_type", "sold"},
                          {"other", "kept"}});
}

OwnedRecord made(const OwnedRecord& original, const std::vector<std::string>& corrections = {}) {
  const auto form = redriven(original, "v", parse_corrections(corrections));
  if (const auto* why = std::get_if<NotRedrivable>(&form)) FAIL(why->reason);
  return std::get<OwnedRecord>(form);
}

std::string why_not(const OwnedRecord& original, const std::vector<std::string>& corrections = {}) {
  const auto form = redriven(original, "v", parse_corrections(corrections));
  const auto* why = std::get_if<NotRedrivable>(&form);
  return why == nullptr ? "it was made" : why->reason;
}

// As the worker of a view sees it.
DecodedEvent decoded_by(const std::string& view, const OwnedRecord& record) {
  const auto read = read_definition(R"({"view": ")" + view + R"(", "kind": "summary",
    "key": [{"name": "a", "type": "text"}], "columns": [{"name": "n", "type": "int", "value": "sum"}],
    "updated_at": "timestamptz",
    "sources": [{"topic": "t", "event": "sold", "key": {"a": "/data/a"}, "add": {"n": "/data/n"}}]})");
  struct Headers : HeaderReader {
    void read(const void* native, std::vector<Header>& out) const override {
      for (const auto& [name, value] : static_cast<const OwnedRecord*>(native)->headers) out.push_back({name, value});
    }
  } const headers;
  Record seen;
  seen.value = record.value ? std::optional<std::string_view>(*record.value) : std::nullopt;
  seen.header_reader = &headers;
  seen.native = &record;
  Decoder decoder(std::get<ViewDefinition>(read), FingerprintKey{});
  DecodedEvent event;
  decoder.describe(seen, event);
  return event;
}

}  // namespace

TEST_CASE("redrive: a structured event keeps its bytes, but for the mark") {
  const OwnedRecord original = record_of(event, {{"content-type", "application/cloudevents+json"}, {"ce_x", "1"}});
  const OwnedRecord again = made(original);
  CHECK(
      *again.value ==
      R"({"daybookredrive":"v", "specversion":"1.0","id":"1","source":"/s","type":"sold","n":1.50,"data":{"a":"x","n":7} })");
  CHECK(again.key == original.key);
  CHECK(again.headers == original.headers);
  CHECK(made(again) == again);  // a redriven one that failed is redriven as it is
}

TEST_CASE("redrive: a binary event keeps its bytes and headers, and gets one more") {
  const OwnedRecord original = binary(R"({"a":"x", "n":7})");
  const OwnedRecord again = made(original);
  CHECK(again.value == original.value);
  CHECK(again.headers.size() == original.headers.size() + 1);
  CHECK(again.headers.back() == std::pair<std::string, std::string>("ce_daybookredrive", "v"));
  CHECK(made(again) == again);
}

TEST_CASE("redrive: only the view that it is marked for reads it, with the identity of the original") {
  // The last two: data that is an event itself, and a mark of a wrong type or for another view.
  const std::string marked = R"({"daybookredrive":"w",)" + std::string(event + 1);
  const std::string wrongly = R"({"daybookredrive":5,)" + std::string(event + 1);
  for (const OwnedRecord& original :
       {record_of(event), binary(R"({"a":"x","n":7})"), binary(event), record_of(marked), record_of(wrongly)}) {
    CAPTURE(*original.value);
    const OwnedRecord again = made(original);
    const DecodedEvent ours = decoded_by("v", again);
    CHECK(ours.outcome != Outcome::other_view);
    CHECK(ours.source == "/s");
    CHECK(ours.id == "1");
    CHECK(decoded_by("w", again).outcome == Outcome::other_view);
  }
  CHECK(decoded_by("v", made(record_of(event))).fingerprint.identity_high ==
        decoded_by("v", record_of(event)).fingerprint.identity_high);
}

TEST_CASE("redrive: corrections") {
  CHECK(decoded_by("v", made(record_of(event), {"/data/n=5"})).contributions.at(0).amount == 5);
  CHECK(decoded_by("v", made(binary(R"({"a":"x"})"), {"/data/n=5"})).contributions.at(0).amount == 5);
  const OwnedRecord text = made(record_of(event), {"/data/a=no JSON", "/type=other", "/data/list/0=\"5\""});
  const auto body = nlohmann::json::parse(*text.value);
  CHECK(body["data"]["a"] == "no JSON");
  CHECK(body["type"] == "other");
  CHECK(body["data"]["list"].dump() == R"(["5"])");
  CHECK(body["daybookredrive"] == "v");
  CHECK(made(binary("7"), {"/type=other", "/data={}"}).value == "{}");
  CHECK(made(binary("7"), {"/type=other"}).headers[4].second == "other");
  // An identity can be given to an event that has none.
  CHECK(made(record_of(R"({"specversion":"1.0","source":"/s","type":"sold"})"), {"/id=new"})
            .value->find("\"id\":\"new\"") != std::string::npos);
  CHECK(why_not(record_of(event), {"/type/x=1"}) == "--set /type/x names no place in it");
  CHECK(why_not(binary("{}"), {"/type/x=1"}) == "--set /type/x names no attribute: it is in binary mode");
  for (const char* wrong : {"data/n=5", "/data/n", "=5", "/daybookredrive=w", "/a~=1"})
    CHECK_THROWS_AS(parse_corrections({wrong}), UsageError);
}

TEST_CASE("redrive: what has no identity or can't be read is not published again") {
  CHECK(why_not(record_of("{")).rfind("it is malformed", 0) == 0);
  CHECK(why_not(record_of("")).rfind("it is malformed", 0) == 0);
  CHECK(why_not(record_of(R"({"id":"1","id":"2"})")).rfind("it is malformed", 0) == 0);
  CHECK(why_not(record_of(std::string(event) + '\0')) == "it has a zero byte: it is not JSON");
  CHECK(why_not(record_of("[]")) == "it is no event: the record is no JSON object");
  CHECK(why_not(record_of(R"({"specversion":"2.0"})")) == "its attribute specversion is not \"1.0\"");
  CHECK(why_not(record_of(R"({"specversion":"1.0","id":7,"source":"/s","type":"t"})")) ==
        "its attribute id is missing, empty or no string");
  CHECK(why_not({std::nullopt, std::nullopt, {}}) == "it has no value");
  CHECK(why_not(record_of(event, {{"Content-Type", "application/cloudevents-batch+json"}})) ==
        "it is a batch of events, which no worker reads");
  OwnedRecord empty_source = binary("{}");
  empty_source.headers.emplace_back("ce_source", "");  // the last one of a name counts
  CHECK(why_not(empty_source) == "its attribute source is missing, empty or no string");
}

TEST_CASE("redrive: records of one key are never in flight together") {
  std::vector<OwnedRecord> records(7);
  for (const auto& [index, key] :
       std::vector<std::pair<std::size_t, const char*>>{{1, "a"}, {2, "b"}, {3, "a"}, {5, ""}})
    records[index].key = key;
  CHECK(in_flight_together(records, 0, 9) == 3);  // none, a, b | a
  CHECK(in_flight_together(records, 3, 9) == 4);  // a, none, "", none: no key is no order
  CHECK(in_flight_together(records, 3, 2) == 2);
}

TEST_CASE("redrive: the trace is found in headers and in the event") {
  CHECK(traceparent_of(record_of("{", {{"traceparent", "00-1"}})) == "00-1");
  CHECK(traceparent_of(record_of("{}", {{"ce_traceparent", "00-2"}})) == "00-2");
  CHECK(traceparent_of(record_of(R"({"traceparent":"00-3"})")) == "00-3");
  CHECK(!traceparent_of(record_of("[")));
}

TEST_CASE("dead-letter topic: a copy is the record itself, with headers that say what it is about") {
  sql::StoredDeadLetter letter;
  letter.partition = {"t", 3};
  letter.offset = 42;
  letter.record = binary("{");
  letter.code = "malformed";
  letter.detail = "no JSON";
  letter.record_time = "2026-11-23T00:00:00.000Z";
  const kafka::Outgoing copy = dead_letter_copy(letter, "v", "dead");
  CHECK(copy.to.topic == "dead");
  CHECK(copy.to.partition == kafka::any_partition);
  CHECK(copy.record.key == letter.record.key);
  CHECK(copy.record.value == letter.record.value);
  const auto own = static_cast<std::ptrdiff_t>(letter.record.headers.size());
  CHECK(std::equal(letter.record.headers.begin(), letter.record.headers.end(), copy.record.headers.begin()));
  const std::vector<std::pair<std::string, std::string>> added(copy.record.headers.begin() + own,
                                                               copy.record.headers.end());
  CHECK(added == std::vector<std::pair<std::string, std::string>>{{"daybook_view", "v"},
                                                                  {"daybook_topic", "t"},
                                                                  {"daybook_partition", "3"},
                                                                  {"daybook_offset", "42"},
                                                                  {"daybook_code", "malformed"},
                                                                  {"daybook_detail", "no JSON"},
                                                                  {"daybook_time", "2026-11-23T00:00:00.000Z"}});
}
