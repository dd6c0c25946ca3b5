// View definitions: the cases in tests/cases/definitions, and what a definition becomes.
//
// A bad case's name says who has to see its mistake: syntax-* only the reader, since a JSON Schema sees no
// text; shape-* the reader and schemas/view.schema.json; meaning-* the reader, while the schema is content.
#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <random>
#include <set>
#include <sstream>

#include "core/definition_members.h"
#include "core/definition_reader.h"
#include "core/error.h"
#include "producer/json_schema.h"

namespace daybook {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

const fs::path source = DAYBOOK_SOURCE_DIR;
const fs::path cases = source / "tests/cases/definitions";

std::string text_of(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  REQUIRE_MESSAGE(file.good(), path.string());
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

std::vector<fs::path> json_files(const fs::path& folder) {
  std::vector<fs::path> files;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder)) {
    if (entry.path().extension() == ".json") files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  REQUIRE_MESSAGE(!files.empty(), folder.string());
  return files;
}

std::vector<fs::path> shipped_definitions() {
  std::vector<fs::path> all;
  for (const fs::directory_entry& system : fs::directory_iterator(source / "schemas")) {
    if (!fs::is_directory(system.path() / "views")) continue;
    for (fs::path& file : json_files(system.path() / "views")) all.push_back(std::move(file));
  }
  return all;
}

class ViewSchema {
 public:
  bool accepts(const Json& definition) const { return schema_.accepts(definition); }
  const Json& document() const { return document_; }

 private:
  const Json document_ = Json::parse(text_of(source / "schemas/view.schema.json"));
  const publishing::JsonSchema schema_{document_};
};

std::string lines_of(const DefinitionOrMistakes& read) {
  std::string lines;
  if (const auto* mistakes = std::get_if<std::vector<DefinitionMistake>>(&read)) {
    for (const DefinitionMistake& mistake : *mistakes) lines += to_string(mistake) + "\n";
  }
  return lines;
}

ViewDefinition read_good(const fs::path& path) {
  DefinitionOrMistakes read = read_definition_file(path.string());
  REQUIRE_MESSAGE(std::holds_alternative<ViewDefinition>(read), path.string(), "\n", lines_of(read));
  return std::get<ViewDefinition>(std::move(read));
}

TEST_CASE("good definitions pass the reader and the schema") {
  const ViewSchema schema;
  std::vector<fs::path> files = json_files(cases / "good");
  for (const fs::path& file : shipped_definitions()) files.push_back(file);
  for (const fs::path& file : files) {
    CAPTURE(file.string());
    const ViewDefinition view = read_good(file);
    CHECK(!view.topics().empty());
    CHECK(schema.accepts(Json::parse(text_of(file))));
  }
}

TEST_CASE("bad definitions have exactly the mistakes beside them, in the order of the file") {
  const ViewSchema schema;
  for (const fs::path& file : json_files(cases / "bad")) {
    CAPTURE(file.string());
    const std::string expected = text_of(fs::path(file).replace_extension(".mistakes"));
    CHECK(!expected.empty());
    const DefinitionOrMistakes read = read_definition_file(file.string());
    CHECK(!std::holds_alternative<ViewDefinition>(read));
    CHECK(lines_of(read) == expected);
    CHECK(lines_of(read_definition(text_of(file))) == expected);

    const std::string name = file.filename().string();
    if (name.starts_with("syntax-")) continue;
    REQUIRE((name.starts_with("shape-") || name.starts_with("meaning-")));
    CHECK(schema.accepts(Json::parse(text_of(file))) == name.starts_with("meaning-"));
  }
}

TEST_CASE("a definition with each member") {
  const ViewDefinition view = read_good(cases / "good/every_member.json");
  CHECK(view.name == "every_member");
  CHECK(view.description == "Each member, each form of it.");
  REQUIRE(view.key.size() == 4);
  CHECK(view.key[0].name == "site");
  CHECK(view.key[0].type == KeyType::uuid);
  CHECK(view.key[1].type == KeyType::text);
  CHECK(view.key[2].type == KeyType::integer);
  CHECK(view.key[3].type == KeyType::date);
  CHECK(view.key[3].time_zone == "America/Argentina/Buenos_Aires");
  CHECK(view.has_date());
  CHECK(view.has_balance());
  REQUIRE(view.columns.size() == 3);
  CHECK(view.columns[0].name == "level");
  CHECK(view.columns[0].aggregate == Aggregate::balance);
  CHECK(view.columns[0].type == ColumnType::int8);
  CHECK(view.columns[1].aggregate == Aggregate::sum);
  CHECK(view.columns[1].type == ColumnType::int4);
  CHECK(view.columns[2].aggregate == Aggregate::count);
  CHECK(!view.updated_at_with_time_zone);
  CHECK(view.max_future_seconds == 0);
  CHECK(view.deduplication_window_events == 1000);
  CHECK(view.topics() == std::vector<std::string>{"first.topic", "second_topic-2"});

  const Serving& reader = view.reader;
  CHECK(reader.cache_control == "private, max-age=5");
  CHECK(view.cache_control() == "private, no-cache");  // who asks decides what there is to see
  CHECK(reader.filters == std::vector<std::string>{"day", "flow", "grade"});
  CHECK(reader.order == std::vector<std::string>{"flow", "day"});
  CHECK(reader.descending);
  CHECK(view.list_order() == std::vector<std::string>{"flow", "day", "site", "product", "grade"});
  CHECK(reader.limit == 1000);
  CHECK(reader.routes == std::vector<std::string>{"/stock/{day}/{site}/{product}/{grade}", "/stock/{site}", "/on/{day}",
                                                  "/~all.v2_x-y"});
  CHECK(reader.rows_by_claim ==
        std::map<std::string, std::string>{{"grade", "https://example.org/grade"}, {"site", "sites"}});

  REQUIRE(view.sources.size() == 3);
  const SourceRule& first = view.sources[0];
  CHECK(first.topic == "first.topic");
  CHECK(first.event_type == "moved");
  using Test = Condition::Test;
  REQUIRE(first.where.size() == 6);
  CHECK(first.where[0].member.text == "/data/state");
  CHECK(first.where[0].test == Test::in);
  CHECK(first.where[0].operands == std::vector<Scalar>{"done"});
  CHECK(first.where[1].test == Test::not_in);
  CHECK(first.where[1].operands == std::vector<Scalar>{std::int64_t{5}});  // written 5.0
  CHECK(first.where[2].test == Test::in);
  CHECK(first.where[2].operands == std::vector<Scalar>{"road", std::int64_t{1}, 2.5, true});
  CHECK(first.where[3].test == Test::not_in);
  CHECK(first.where[3].operands == std::vector<Scalar>{false, "ä~", INT64_MIN});
  CHECK(first.where[4].test == Test::is_null);
  CHECK(first.where[4].operands.empty());
  CHECK(first.where[5].test == Test::is_not_null);
  CHECK(first.where[5].member.tokens == std::vector<std::string>{"data", "on time"});
  REQUIRE(first.key.size() == 4);  // in the order of the key, not of the source
  CHECK(first.key[0].tokens == std::vector<std::string>{"data", "m~n", "0"});
  CHECK(first.key[1].tokens == std::vector<std::string>{"data", "a/b"});
  CHECK(first.key[2].text == "/data/grade");
  CHECK(first.key[3].text == "/time");
  REQUIRE(first.amounts.size() == 3);
  CHECK(first.amounts[0].column == 0);
  CHECK(first.amounts[0].sign == 1);
  CHECK(std::get<JsonPointer>(first.amounts[0].value).text == "/data/quantity");
  CHECK(first.amounts[1].column == 1);
  CHECK(std::get<std::int64_t>(first.amounts[1].value) == INT32_MIN);
  CHECK(first.amounts[2].column == 2);
  CHECK(first.amounts[2].sign == -1);
  CHECK(std::get<std::int64_t>(first.amounts[2].value) == INT64_MAX);
  REQUIRE(view.sources[1].amounts.size() == 2);
  CHECK(view.sources[1].amounts[0].sign == -1);
  CHECK(view.sources[1].where.empty());
}

TEST_CASE("the examples in docs/views.md and the first of docs/envelopes.md are definitions") {
  int examples = 0;
  for (const char* name : {"docs/views.md", "docs/envelopes.md"}) {
    CAPTURE(name);
    const std::string page = text_of(source / name);
    for (std::size_t begin = page.find("```json\n"); begin != std::string::npos;
         begin = page.find("```json\n", begin)) {
      begin += 8;
      const std::string example = page.substr(begin, page.find("```", begin) - begin);
      const DefinitionOrMistakes read = read_definition(example);
      CHECK_MESSAGE(std::holds_alternative<ViewDefinition>(read), lines_of(read));
      CHECK(ViewSchema().accepts(Json::parse(example)));
      ++examples;
      if (name == std::string("docs/envelopes.md")) break;  // the others are parts of one
    }
  }
  CHECK(examples >= 4);
}

TEST_CASE("the fragments of docs/envelopes.md are sources") {
  const std::string page = text_of(source / "docs/envelopes.md");
  std::size_t fragments = 0;
  std::size_t at = page.find("```json\n", page.find("```json\n") + 1);
  for (; at != std::string::npos; at = page.find("```json\n", at + 1)) {
    const Json fragment = Json::parse(page.substr(at + 8, page.find("```", at + 8) - at - 8));
    Json definition = {{"view", "v"}, {"kind", "summary"}, {"key", Json::array()}, {"columns", Json::array()}};
    for (const auto& [column, place] : fragment["key"].items()) {
      if (column == "day") continue;
      definition["key"].push_back(Json{{"name", column}, {"type", "text"}});
    }
    definition["key"].push_back(Json{{"name", "day"}, {"type", "date"}, {"time_zone", "UTC"}});
    for (const auto& [column, amount] : fragment["add"].items())
      definition["columns"].push_back(Json{{"name", column}, {"type", "int"}, {"value", "sum"}});
    definition["sources"] = Json::array({fragment});
    const DefinitionOrMistakes read = read_definition(definition.dump());
    CHECK_MESSAGE(std::holds_alternative<ViewDefinition>(read), lines_of(read));
    CHECK(ViewSchema().accepts(definition));
    ++fragments;
  }
  CHECK(fragments == 2);
}

TEST_CASE("envelopes, types and places") {
  const ViewDefinition view = read_good(cases / "good/envelopes.json");
  REQUIRE(view.sources.size() == 8);  // a rule for each type of a source
  const auto rule = [&](std::size_t i) { return view.sources[i]; };
  CHECK(rule(0).event_type == "moved");
  CHECK(rule(1).event_type == "counted");
  CHECK(rule(0).envelope.kind == Envelope::Kind::cloudevents);
  CHECK(rule(1).key[1].text == "/time");  // {"envelope": "time"}
  CHECK(rule(1).key[1].unit == TimeUnit::text);
  CHECK(rule(2).envelope.kind == Envelope::Kind::debezium);
  CHECK(rule(3).event_type == "r");
  CHECK(rule(3).key[1].text == "/after/on");
  CHECK(rule(3).key[1].unit == TimeUnit::days);
  CHECK(rule(4).key[1].tokens == std::vector<std::string>{"source", "ts_ms"});
  CHECK(rule(4).key[1].unit == TimeUnit::milliseconds);
  const Envelope& plain = view.envelope("p");
  CHECK(plain.kind == Envelope::Kind::plain);
  CHECK(plain.id.place->text == "/id");
  CHECK(plain.type.place->text == "/kind");
  CHECK(!plain.source.place);
  CHECK(plain.source.constant == "shop");
  CHECK(rule(5).key[0].text == "/site");
  CHECK(rule(5).key[1] == *plain.time);
  CHECK(plain.time->unit == TimeUnit::microseconds);
  const Envelope& outbox = view.envelope("o");
  CHECK(outbox.id.place->header == "id");
  CHECK(outbox.time->shown() == "header at");
  CHECK(rule(6).key[0].header == "site");
  CHECK(rule(6).key[1].unit == TimeUnit::nanoseconds);
  CHECK(!view.envelope("c").id.place);
  CHECK(view.envelope("c").type.constant == "moved");
  CHECK(view.topics() == std::vector<std::string>{"t", "d", "p", "o", "c"});
}

TEST_CASE("what is left out has its default") {
  const ViewDefinition view = read_good(cases / "good/smallest.json");
  CHECK(view.updated_at_with_time_zone);
  CHECK(!view.max_future_seconds.has_value());
  CHECK(view.deduplication_window_events == 20'000'000);
  CHECK(view.description.empty());
  CHECK(!view.has_date());
  CHECK(!view.has_balance());
  CHECK(view.reader_json.empty());
  CHECK(view.cache_control() == "no-cache");
  CHECK(view.reader.limit == 100);
  CHECK(view.reader.order.empty());
}

TEST_CASE("how a view is served is kept beside its canonical form") {
  Json whole = Json::parse(text_of(cases / "good/every_member.json"));
  const auto as_read = [](const Json& definition) {
    return std::get<ViewDefinition>(read_definition(definition.dump()));
  };
  const ViewDefinition view = as_read(whole);
  CHECK(view.canonical_json.find("reader") == std::string::npos);
  CHECK(view.reader_json == whole["reader"].dump());

  whole.erase("reader");
  const ViewDefinition bare = as_read(whole);
  CHECK(bare.canonical_json == view.canonical_json);  // the same rows
  CHECK(bare.reader_json.empty());
  CHECK(!bare.reader.descending);
  CHECK(bare.list_order() == std::vector<std::string>{"site", "product", "grade", "day"});
  whole["reader"] = Json::object();
  const ViewDefinition defaults = as_read(whole);
  CHECK(defaults.reader_json == "{}");
  CHECK(defaults.reader.descending);  // the newest dates first
  CHECK(defaults.list_order() == std::vector<std::string>{"day", "site", "product", "grade"});

  for (const ViewDefinition* stored : {&view, &bare, &defaults}) {
    Json served = Json::object();
    if (!stored->reader_json.empty()) served["reader"] = Json::parse(stored->reader_json);
    if (stored != &bare) served["description"] = "a } of \"words\"";
    const ViewDefinition again =
        std::get<ViewDefinition>(read_stored_definition(stored->canonical_json, served.dump()));
    CHECK(again.description == served.value("description", ""));
    CHECK(again.canonical_json == stored->canonical_json);
    CHECK(again.reader_json == stored->reader_json);
    CHECK(again.list_order() == stored->list_order());
  }
}

TEST_CASE("the canonical form knows neither order nor space nor remarks") {
  const ViewDefinition view = read_good(cases / "good/every_member.json");
  const auto ordered = nlohmann::ordered_json::parse(text_of(cases / "good/every_member.json"));
  nlohmann::ordered_json backwards = nlohmann::ordered_json::object();
  for (auto member = ordered.rbegin(); member != ordered.rend(); ++member) backwards[member.key()] = member.value();
  backwards["description"] = "other words";
  backwards.erase("$schema");
  const DefinitionOrMistakes read = read_definition(backwards.dump(7));
  REQUIRE_MESSAGE(std::holds_alternative<ViewDefinition>(read), lines_of(read));
  CHECK(std::get<ViewDefinition>(read).canonical_json == view.canonical_json);

  const DefinitionOrMistakes again = read_definition(view.canonical_json);
  REQUIRE_MESSAGE(std::holds_alternative<ViewDefinition>(again), lines_of(again));
  CHECK(std::get<ViewDefinition>(again).canonical_json == view.canonical_json);
  CHECK(view.canonical_json.find("description") == std::string::npos);
  CHECK(view.canonical_json.find('\n') == std::string::npos);

  Json changed = Json::parse(view.canonical_json);
  changed["max_future_seconds"] = 1;
  CHECK(std::get<ViewDefinition>(read_definition(changed.dump())).canonical_json != view.canonical_json);
}

TEST_CASE("several files: all mistakes of all of them at once") {
  const std::string good = (cases / "good/utc.json").string();
  const std::string bad = (cases / "bad/shape-kind.json").string();
  const std::string other_bad = (cases / "bad/shape-updated_at.json").string();
  const std::string absent = (cases / "absent.json").string();
  CHECK(load_definitions({good, (cases / "good/smallest.json").string()}).size() == 2);
  try {
    load_definitions({good, bad, other_bad, absent, good, cases.string()});
    FAIL("no error");
  } catch (const UsageError& error) {
    CHECK(error.what() ==
          "mistakes in view definitions:\n" + bad +
              ": /kind: found \"totals\", expected \"summary\", \"latest\" or \"log\"\n" + other_bad +
              ": /updated_at: found \"TIMESTAMPTZ\", expected \"timestamptz\" or \"timestamp\"\n" + absent +
              ": found a file that can't be read (No such file or directory), expected a view definition in JSON\n" +
              good + ": /view: found \"stock\", which " + good +
              " defines, too, expected a name that no other of these files has\n" + cases.string() +
              ": found a file that can't be read (Is a directory), expected a view definition in JSON");
  }
}

TEST_CASE("a mistake is one line whatever the file holds") {
  const DefinitionMistake mistake{"/a\nb\x1b[31m\x7f", "x\r", "y"};
  CHECK(to_string(mistake) == "/a\\u000ab\\u001b[31m\\u007f: found x\\u000d, expected y");
}

TEST_CASE("a text that is too long is not read") {
  const std::string expected = "found more than 262144 bytes, expected a view definition, which is short\n";
  CHECK(lines_of(read_definition(std::string(262145, ' '))) == expected);
  CHECK(lines_of(read_definition_file("/dev/zero")) == expected);
}

TEST_CASE("the schema and the reader know the same members") {
  const ViewSchema schema;
  const Json& document = schema.document();
  const Json& definitions = document["definitions"];
  const auto check = [](const Json& object, DefinitionShape::Members members, const char* what) {
    CAPTURE(what);
    std::set<std::string> names, required;
    for (const DefinitionShape::Member& member : members) {
      names.emplace(member.name);
      if (member.required) required.emplace(member.name);
    }
    std::set<std::string> schema_names;
    for (const auto& [name, property] : object["properties"].items()) {
      schema_names.insert(name);
      const std::string reference = property.contains("$ref") ? property["$ref"].get<std::string>() : "";
      CHECK_MESSAGE((property.contains("description") || !reference.empty()), name);
    }
    CHECK(schema_names == names);
    CHECK(object["required"].get<std::set<std::string>>() == required);
    CHECK(object["additionalProperties"] == false);
  };
  check(document, root_members, "view");
  check(definitions["key_column"], key_members, "key column");
  check(definitions["value_column"], column_members, "column");
  check(definitions["source"], source_members, "source");
  check(definitions["state_column"], state_column_members, "column of a state");
  check(definitions["latest_source"], latest_source_members, "source of a latest view");
  check(definitions["log_source"], log_source_members, "source of a log view");
  check(definitions["plain_envelope"], envelope_members, "envelope");
  check(definitions["constant"], constant_members, "constant");
  check(definitions["place"], place_members, "place");
  check(definitions["condition"], condition_members, "condition");
  check(definitions["reader"], reader_members, "reader");
  check(definitions["reader"]["properties"]["order"], order_members, "order");
}

TEST_CASE("damaged definitions are mistakes, never exceptions") {
  std::mt19937 random(20261123);
  const std::string whole = text_of(cases / "good/every_member.json");
  const std::string pieces[] = {"null",   "\"\"", "[]",      "{}",   "-1",      "1e400",
                                "\"/a\"", ",",    "{\"a\":", "\xff", "\\u0000", "true"};
  for (int i = 0; i < 5'000; ++i) {
    std::string text = whole;
    for (int changes = 1 + random() % 3; changes > 0; --changes) {
      const std::size_t at = random() % text.size();
      switch (random() % 3) {
        case 0:
          text.erase(at, 1 + random() % 20);
          break;
        case 1:
          text.insert(at, pieces[random() % std::size(pieces)]);
          break;
        default:
          text[at] = static_cast<char>(random());
      }
    }
    const DefinitionOrMistakes read = read_definition(text);
    if (!std::holds_alternative<ViewDefinition>(read)) REQUIRE(!lines_of(read).empty());
  }
}

TEST_CASE("each value of a definition replaced by each type") {
  const ViewSchema schema;
  const Json whole = Json::parse(text_of(cases / "good/every_member.json"));
  const Json replacements[] = {nullptr,       true,           -1,      1.5,           "", "x", "/x",
                               Json::array(), Json::object(), Json{1}, Json{{"x", 1}}};
  const Json flat = whole.flatten();
  std::set<std::string> done;
  for (const auto& [pointer, value] : flat.items()) {
    for (Json::json_pointer place(pointer); !place.empty() && done.insert(place.to_string()).second; place.pop_back()) {
      for (const Json& replacement : replacements) {
        Json changed = whole;
        changed[place] = replacement;
        CAPTURE(place.to_string());
        CAPTURE(replacement.dump());
        const DefinitionOrMistakes read = read_definition(changed.dump());
        // What the schema refuses, the reader refuses; it alone knows what members mean together.
        if (!schema.accepts(changed)) REQUIRE(!std::holds_alternative<ViewDefinition>(read));
      }
    }
  }
}

}  // namespace
}  // namespace daybook
