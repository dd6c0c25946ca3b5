// What a changed definition means beside the stored one: cases as changes to one definition.
#include "core/definition_diff.h"

#include <doctest/doctest.h>

#include <functional>
#include <nlohmann/json.hpp>

#include "core/definition_reader.h"

namespace {

using namespace daybook;
using nlohmann::json;

json base() {
  return json::parse(R"({"view": "v", "kind": "summary", "description": "words",
    "key": [{"name": "a", "type": "text"}, {"name": "b", "type": "int"}],
    "columns": [{"name": "m", "type": "int", "value": "sum"}, {"name": "n", "type": "int", "value": "count"}],
    "sources": [
      {"topic": "t", "event": "x", "where": [{"member": "/data/s", "equals": "on"}], "key": {"a": "/data/a", "b": "/data/b"}, "add": {"m": "/data/m", "n": 1}},
      {"topic": "t", "event": "y", "key": {"a": "/data/a", "b": "/data/b"}, "subtract": {"m": "/data/m"}}],
    "reader": {"limit": 50}})");
}

ViewDefinition view_of(const json& definition) {
  DefinitionOrMistakes read = read_definition(definition.dump());
  if (const auto* mistakes = std::get_if<std::vector<DefinitionMistake>>(&read)) FAIL(to_string(mistakes->front()));
  return std::get<ViewDefinition>(read);
}

DefinitionDifference difference_after(const std::function<void(json&)>& change, json stored_json = base()) {
  const ViewDefinition stored = view_of(stored_json);
  json served = json::object();
  if (!stored.description.empty()) served["description"] = stored.description;
  if (!stored.reader_json.empty()) served["reader"] = json::parse(stored.reader_json);
  json changed = stored_json;
  change(changed);
  return compare_definitions(stored.canonical_json, served.dump(), view_of(changed));
}

std::string lines_of(const DefinitionDifference& difference) {
  std::string lines;
  for (const DefinitionChange& change : difference.changes)
    lines += to_string(change) + (change.in_place ? "\n" : " !\n");
  return lines;
}

}  // namespace

TEST_CASE("definition diff: the same") {
  for (const auto& change : std::vector<std::function<void(json&)>>{[](json&) {}, [](json& d) { d["$schema"] = "x"; },
                                                                    [](json& d) {
                                                                      d["reader"] = json{{"limit", 50}};
                                                                    }}) {
    const DefinitionDifference difference = difference_after(change);
    CHECK(difference.meaning == DefinitionMeaning::same);
    CHECK(lines_of(difference) == "");
  }
}

TEST_CASE("definition diff: what may change in place") {
  const auto in_place = [](const std::function<void(json&)>& change) {
    const DefinitionDifference difference = difference_after(change);
    CHECK(difference.meaning == DefinitionMeaning::in_place);
    return lines_of(difference);
  };
  CHECK(in_place([](json& d) { d["description"] = "others"; }) == "/description: is \"others\", was \"words\"\n");
  CHECK(in_place([](json& d) { d.erase("description"); }) == "/description: gone: \"words\"\n");
  CHECK(in_place([](json& d) { d["reader"] = json::parse(R"({"limit": 60, "filters": ["n"]})"); }) ==
        "/reader/limit: is 60, was 50\n/reader/filters: new: [\"n\"]\n");
  CHECK(in_place([](json& d) { d["deduplication_window_events"] = 1000; }) ==
        "/deduplication_window_events: is 1000, was 20000000\n");
  // What holds anyway, written down.
  CHECK(in_place([](json& d) { d["sources"][0]["envelope"] = "cloudevents"; }) == "");
  CHECK(in_place([](json& d) { d["sources"][1]["where"] = json::array(); }) == "");
  CHECK(in_place([](json& d) { d["sources"][1]["event"] = json::array({"y"}); }) == "");
  CHECK(in_place([](json& d) { d["updated_at"] = "timestamptz"; }) == "");
}

TEST_CASE("definition diff: what needs a replay, each with its place") {
  const auto replay = [](const std::function<void(json&)>& change) {
    const DefinitionDifference difference = difference_after(change);
    CHECK(difference.meaning == DefinitionMeaning::needs_replay);
    return lines_of(difference);
  };
  CHECK(replay([](json& d) { d["sources"][0]["where"][0]["equals"] = "off"; }) ==
        "/sources/0/where: is [{\"equals\":\"off\",\"member\":\"/data/s\"}], was "
        "[{\"equals\":\"on\",\"member\":\"/data/s\"}] !\n");
  CHECK(replay([](json& d) { d["deduplication_window_events"] = 30'000'000; }) ==
        "/deduplication_window_events: is 30000000, was 20000000 !\n");
  CHECK(replay([](json& d) { d["max_future_seconds"] = 5; }) == "/max_future_seconds: new: 5 !\n");
  CHECK(replay([](json& d) { d["columns"][0]["type"] = "bigint"; }) ==
        "/columns/0/type: is \"bigint\", was \"int\" !\n");
  CHECK(replay([](json& d) { std::swap(d["columns"][0], d["columns"][1]); }) ==
        "/columns: is [\"n\",\"m\"], was [\"m\",\"n\"] !\n");
  CHECK(replay([](json& d) { std::swap(d["sources"][0], d["sources"][1]); }).starts_with("/sources: is "));
  CHECK(replay([](json& d) {
          d["columns"].insert(d["columns"].begin(), json::parse(R"({"name": "k", "type": "int", "value": "count"})"));
          d["sources"].push_back(
              json::parse(R"({"topic": "u", "event": "z", "key": {"a": "/data/a", "b": "/data/b"}, "add": {"k": 1}})"));
        }) ==
        "/columns/0: new: {\"name\":\"k\",\"type\":\"int\",\"value\":\"count\"} !\n"
        "/sources/2: new: "
        "{\"add\":{\"k\":1},\"envelope\":\"cloudevents\",\"event\":\"z\",\"key\":{\"a\":\"/data/a\",\"b\":\"/data/"
        "b\"},\"topic\":\"u\",\"where\":[]} !\n");
  CHECK(replay([](json& d) {
          d["sources"][0].erase("where");
          d["sources"].erase(1);
        }).starts_with("/sources/0/where: is [], was [{"));
  CHECK(replay([](json& d) { d["description"] = "others", d["max_future_seconds"] = 5; }) ==
        "/description: is \"others\", was \"words\"\n/max_future_seconds: new: 5 !\n");
}

TEST_CASE("definition diff: a refusal says what differs and what to run") {
  const auto told = [](const std::function<void(json&)>& change) { return refusal("v", difference_after(change)); };
  CHECK(
      told([](json& d) { d["deduplication_window_events"] = 1000; }) ==
      "view v is in the database with another definition, from which this one differs in nothing that its rows depend "
      "on: run `daybook views apply` with this one, or the worker with the one that is there");
  CHECK(told([](json& d) { d["description"] = "", d["max_future_seconds"] = 5, d["columns"][0]["type"] = "bigint"; }) ==
        "view v is in the database with another definition: /columns/0/type: is \"bigint\", was \"int\" (and 1 more: "
        "`daybook views diff` shows them). Its rows can't become those of this definition without a replay of the log: "
        "give the changed definition a new view name and run `daybook views apply`, or use the definition that is "
        "there");
}
