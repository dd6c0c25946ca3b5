// What `publish` does with a line, without a broker: completed, validated, routed or refused.
#include <doctest/doctest.h>

#include <cstdio>
#include <fstream>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "producer/event_line.h"
#include "producer/line_reader.h"
#include "producer/strict_json.h"

using daybook::publishing::EventLines;
using daybook::publishing::EventSchema;
using daybook::publishing::EventSchemas;
using daybook::publishing::LineReader;
using daybook::publishing::OutgoingEvent;
using daybook::publishing::Refusal;
using nlohmann::json;

namespace {

constexpr const char* sold = R"({
  "x-daybook": {"type": "shop.sold", "topic": "shop.events", "key": "/data/shop"},
  "type": "object", "required": ["time", "data"],
  "properties": {
    "time": {"format": "date-time"},
    "data": {"type": "object", "required": ["shop", "n"], "properties": {
      "shop": {"type": ["string", "integer"], "pattern": "^[a-z0-9]+$"},
      "n": {"type": "integer"}, "day": {"type": "string", "format": "date"}, "pattern": {"type": "integer"}}}}
})";

struct Lines {
  EventSchemas schemas;
  EventLines lines;
  OutgoingEvent out;
  explicit Lines(daybook::publishing::LineSettings settings = {}, bool with_schema = true)
      : lines(std::move(settings), &schemas) {
    if (with_schema) schemas.emplace("shop.sold", std::make_unique<EventSchema>("sold.json", sold));
  }
  // "" when accepted, else "POINTER: REASON" of each refusal.
  std::string operator()(std::string_view line) {
    std::string text;
    for (const Refusal& refusal : lines.convert(line, out)) text += refusal.pointer + ": " + refusal.reason + "\n";
    return text;
  }
};

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

}  // namespace

TEST_CASE("a complete event is published as it stands") {
  Lines lines;
  const std::string line =
      R"( {"specversion":"1.0","id":"1","source":"/x","type":"shop.sold","time":"2026-01-01T00:00:00Z", "data": {"shop":"a","n":1, "more":[1.50]}} )";
  CHECK(lines(line) == "");
  CHECK(lines.out.value == line.substr(1, line.size() - 2));
  CHECK(lines.out.topic == "shop.events");
  CHECK(lines.out.key == "a");
}

TEST_CASE("absent attributes are added, the others stay") {
  Lines lines({.topic = "", .source = "/till", .type = ""});
  CHECK(lines(R"({"type":"shop.sold","data":{"shop":17,"n":1}})") == "");
  const json event = json::parse(lines.out.value);
  CHECK(event["specversion"] == "1.0");
  CHECK(event["source"] == "/till");
  CHECK(event["id"].get<std::string>().size() == 36);
  CHECK(event["data"] == json{{"shop", 17}, {"n", 1}});
  CHECK(lines.out.key == "17");

  CHECK(
      lines(
          R"({"type":"shop.sold","source":"/own","id":"x","time":"2026-01-01T00:00:00Z","data":{"shop":"a","n":1}})") ==
      "");
  CHECK(json::parse(lines.out.value)["source"] == "/own");
  CHECK(json::parse(lines.out.value)["id"] == "x");
}

TEST_CASE("with a type, lines are data") {
  Lines lines({.topic = "elsewhere", .source = "/till", .type = "shop.sold"});
  CHECK(lines(R"({"shop":"b", "n":2})") == "");
  const json event = json::parse(lines.out.value);
  CHECK(event["type"] == "shop.sold");
  CHECK(event["data"] == json{{"shop", "b"}, {"n", 2}});
  CHECK(lines.out.topic == "elsewhere");
  CHECK(contains(lines("[]"), "/data: "));
  CHECK(contains(lines("{}"), "/data: Missing required property 'n'"));
}

TEST_CASE("refusals name the member and all reasons") {
  Lines lines({.topic = "", .source = "/till", .type = ""});
  const auto with_data = [](const std::string& data) { return R"({"type":"shop.sold","data":)" + data + "}"; };
  CHECK(contains(lines(with_data(R"({"shop":"a","n":"two","day":"2026-02-30"})")), "/data/n: found \"two\""));
  CHECK(contains(lines(with_data(R"({"shop":"a","n":"two","day":"2026-02-30"})")),
                 "/data/day: found \"2026-02-30\": expected a date"));
  CHECK(contains(lines(with_data(R"({"n":1})")), "/data: Missing required property 'shop'"));
  CHECK(contains(lines(with_data(R"({"shop":"A","n":1})")), "matches ^[a-z0-9]+$"));
  CHECK(contains(lines(with_data(R"({"shop":"a","n":9223372036854775808})")), "/data/n: "));
  CHECK(contains(lines(with_data(R"({"shop":"a","n":1.5})")), "/data/n: found 1.5"));
  CHECK(contains(lines(with_data(R"({"shop":"a","n":1,"n":2})")), ": member \"n\" appears twice"));
  CHECK(
      contains(lines(R"({"type":"shop.lost","data":{}})"), "/type: found \"shop.lost\", no event schema declares it"));
  CHECK(contains(lines(R"({"data":{}})"), "/type: missing"));
  CHECK(contains(lines(R"({"specversion":"0.3","id":"","type":"shop.sold"})"), "/specversion: found \"0.3\""));
  CHECK(contains(lines(R"({"specversion":"0.3","id":"","type":"shop.sold"})"), "/id: found \"\""));
  CHECK(contains(lines("[1]"), ": found array, expected an object"));
  CHECK(contains(lines("{\"a\":\"\xff\"}"), "not JSON"));
  CHECK(contains(lines("{} {}"), "not JSON"));
  CHECK(contains(lines(std::string(100'000, '[')), "nested deeper"));
  Lines sourceless;
  CHECK(contains(sourceless(R"({"type":"shop.sold","data":{"shop":"a","n":1}})"), "/source: missing"));
}

TEST_CASE("long strings do not reach the regular expressions") {
  Lines lines({.topic = "", .source = "/till", .type = ""});
  CHECK(contains(lines(R"({"type":"shop.sold","data":{"n":1,"shop":")" + std::string(2'000'000, 'a') + "\"}}"),
                 "/data/shop: "));
}

TEST_CASE("without schemas only the envelope is checked, and partitionkey is the key") {
  Lines lines({.topic = "any", .source = "/s", .type = ""}, false);
  CHECK(lines(R"({"type":"what.ever","partitionkey":"k","data":null})") == "");
  CHECK(lines.out.key == "k");
  CHECK(lines(R"({"type":"what.ever"})") == "");
  CHECK_FALSE(lines.out.key.has_value());
  CHECK(contains(lines(R"({"type":"x","partitionkey":{}})"), "/partitionkey: "));
  CHECK(contains(lines(R"({"type":"x","time":"yesterday"})"), "/time: found \"yesterday\""));
}

TEST_CASE("a schema that can't be used is refused with its reason") {
  const auto mistake = [](const std::string& text) -> std::string {
    try {
      EventSchema("f.json", text);
    } catch (const daybook::UsageError& error) {
      return error.what();
    }
    return "";
  };
  CHECK(contains(mistake("{"), "f.json: not JSON"));
  CHECK(contains(mistake("{}"), "/x-daybook: missing"));
  CHECK(contains(mistake(R"({"x-daybook":{"topic":"t"}})"), "/x-daybook/type: missing"));
  CHECK(contains(mistake(R"({"x-daybook":{"type":"t","key":"data"}})"), "/x-daybook/key: found \"data\""));
  CHECK(contains(mistake(R"({"x-daybook":{"type":"t","tpoic":"data"}})"), "/x-daybook/tpoic: unknown"));
  CHECK(contains(mistake(R"({"x-daybook":{"type":"t"},"type":5})"), "not a JSON Schema"));
  CHECK(contains(mistake(R"({"x-daybook":{"type":"t"},"properties":{"a":{"pattern":"("}}})"), "not a JSON Schema"));
  CHECK(
      mistake(R"({"x-daybook":{"type":"t"},"enum":[{"format":5}],"properties":{"format":{"const":{"pattern":1}}}})") ==
      "");
}

TEST_CASE("lines are read whole, in bounded memory") {
  const std::string path = "producer_lines_test.tmp";
  const std::string huge(LineReader::longest_line + 1'000'000, 'x');
  const std::string large(700'000, 'y');
  std::ofstream(path, std::ios::binary) << "one\r\n\n" << large << "\n" << huge << "\nlast";
  {
    LineReader reader(path);
    LineReader::Line line;
    REQUIRE(reader.next(line));
    CHECK(line.text == "one");
    REQUIRE(reader.next(line));
    CHECK(line.text == "");
    REQUIRE(reader.next(line));
    CHECK(line.text == large);
    REQUIRE(reader.next(line));
    CHECK(line.too_long);
    CHECK(line.number == 4);
    REQUIRE(reader.next(line));
    CHECK(line.text == "last");
    CHECK(line.number == 5);
    CHECK_FALSE(reader.next(line));
  }
  std::remove(path.c_str());
  CHECK_THROWS_AS(LineReader("no/such/file"), daybook::UsageError);
}
