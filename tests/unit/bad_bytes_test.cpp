// Bytes that nobody should send: torture made here, every JSON of Debian's json-schema-test-suite, and the fuzzer's
// corpus, each as a record (structured, binary, in headers, as members) and as a view definition. Nothing crashes or
// hangs, and worker and verify judge alike (tests/support/referee.h).
#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <list>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>

#include "core/definition_reader.h"
#include "tests/support/definition_probe.h"
#include "tests/support/message_text.h"
#include "tests/support/referee.h"

using namespace daybook;
using namespace daybook::test;

namespace {

namespace fs = std::filesystem;
using nlohmann::json;

const fs::path source = DAYBOOK_SOURCE_DIR;
const fs::path suite = "/usr/share/json-schema-test-suite";
constexpr const char* uuid = "6f1c7ab0-3d0c-4f5e-9d2b-1f0e5a7c9b42";

std::string text_of(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  REQUIRE_MESSAGE(file.good(), path.string());
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

std::vector<fs::path> files_below(const fs::path& folder) {
  std::vector<fs::path> files;
  for (const fs::directory_entry& entry : fs::recursive_directory_iterator(folder)) {
    if (entry.is_regular_file()) files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  REQUIRE_MESSAGE(!files.empty(), folder.string());
  return files;
}

std::string repeated(const std::string& text, std::size_t times) {
  std::string all;
  all.reserve(text.size() * times);
  for (std::size_t i = 0; i < times; ++i) all += text;
  return all;
}

// Views, and what was seen of them, so that a test can tell that its events got anywhere.
class Judges {
 public:
  Judges() {
    for (const ViewDefinition& view :
         load_definitions({(source / "tests/fuzz/every_kind.json").string(),
                           (source / "schemas/bloodbank/views/dashboard_daily_summary.json").string()}))
      referees_.emplace_back(view);
  }

  void judge(const Message& message) {
    const bool large = message.value && message.value->size() > 64 * 1024;
    for (Referee& referee : referees_) {
      if (large && &referee != &referees_.front()) break;
      const auto begin = std::chrono::steady_clock::now();
      const std::string found = referee.disagreement(message);
      const auto took = std::chrono::steady_clock::now() - begin;
      CHECK_MESSAGE(found.empty(), found.substr(0, 2000));
      CHECK(took < std::chrono::seconds(20));  // milliseconds are usual, also with sanitizers
      if (referee.contributed()) ++contributed;
      if (referee.decoded().outcome == Outcome::rejected) ++codes[referee.decoded().rejection.code];
    }
  }

  // `value` is a text that stands where JSON has a value; it may be broken.
  void judge_everywhere(const std::string& value) {
    const std::vector<Header> binary = {{"ce_specversion", "1.0"}, {"ce_id", "1"},        {"ce_source", "/s"},
                                        {"ce_type", "all"},        {"ce_subject", value}, {"ce_time", "2026-03-10"}};
    const auto body = [this](const std::string& text, std::vector<Header> headers = {}) {
      judge({.headers = std::move(headers), .value = text});
    };
    body(value);
    body(value, binary);
    body(value, {{value, value}, {"ce_" + value.substr(0, 100), value}});
    const std::string row =
        std::string(R"("id":")") + uuid + R"(","name":"n","note":"o","number":1,"n":1,"at":)" + value;
    const std::string change = R"({"op":"c","source":{"table":"t","lsn":)" + value + R"(},"after":{)" + row + "}}";
    judge({.topic = 2, .headers = {}, .value = change, .key = value});
    const std::string wrapped = R"({"schema":)" + value + R"(,"payload":)" + value + "}";
    judge({.topic = 2, .headers = {}, .value = wrapped, .key = R"({"schema":null,"payload":{"n":1}})"});
    const std::string plain = R"({"kind":"a","from":)" + value + R"(,"data":{"n":1,"number":1}})";
    judge({.topic = 3, .headers = {{"id", uuid}, {"at", "7"}, {"name", value}}, .value = plain});
    judge({.topic = 3, .headers = {{"id", value}, {"at", value}}, .value = plain});
    const std::string reading = "{" + row + "}";
    judge({.topic = 4, .headers = {{"daybookredrive", value}}, .value = reading});
    const std::string head =
        std::string(R"({"specversion":"1.0","source":"/s","time":"2026-03-10","id":")") + uuid + '"';
    body(head + R"(,"type":"where","data":{"number":1,"b":false,"a":)" + value + "}}");
    if (value.size() > 64 * 1024) return;
    body(value, {{"content-type", "application/cloudevents+json"}});
    body(value, {{"content-type", value}});
    body(head + R"(,"type":"plain","data":)" + value + "}");
    body(head + R"(,"type":"all","data":)" + value + "}", {{"ce_type", "all"}});
    body(head + R"(,"type":"all","subject":"s","data":{"id":")" + uuid + R"(","name":)" + value +
         R"(,"number":1,"n":1,"m":1}})");
    body(head + R"(,"type":"all","subject":"s","data":{"id":")" + uuid + R"(","name":"n","number":1,"m":1,"n":)" +
         value + "}}");
    body(head + R"(,"type":"all","subject":)" + value + R"(,"data":{"id":")" + uuid +
         R"(","name":"n","number":1,"m":1,"n":1}})");
    body(head + R"(,"type":)" + value + R"(,"data":{}})");
    body(head + R"(,"type":"where","unread":)" + value + R"(,"data":{"number":1}})");
    body(R"({"specversion":)" + value + R"(,"id":)" + value + R"(,"source":)" + value + R"(,"type":"all"})");
    body(head + R"(,"type":"where","daybookredrive":)" + value + R"(,"data":{"number":1}})");
    if (value.size() < 5000 && value.size() > 1 && value.front() == '"')
      body(head + R"(,"type":"where","data":{"number":1,)" + value + ":1," + value + ":2}}");  // a name given twice
  }

  int contributed = 0;
  std::map<std::string, int> codes;

 private:
  std::list<Referee> referees_;
};

void read_as_definition(const std::string& value, std::initializer_list<const char*> places) {
  const auto read = [](const std::string& text) {
    const auto begin = std::chrono::steady_clock::now();
    CHECK_MESSAGE(probe_definition(text) == "", text.substr(0, 500));
    CHECK(std::chrono::steady_clock::now() - begin < std::chrono::seconds(20));
  };
  read(value);
  static const std::string whole = text_of(source / "tests/fuzz/every_kind.json");
  const auto replaced = [&](const std::string& what) {
    std::string text = whole;
    const std::size_t at = text.find(what);
    REQUIRE_MESSAGE(at != std::string::npos, what);
    return text.replace(at, what.size(), value);
  };
  for (const char* place : places) read(replaced(place));
}

std::vector<std::string> torture() {
  std::vector<std::string> all = {"",
                                  " ",
                                  "\n",
                                  "{",
                                  "}",
                                  "[",
                                  "]",
                                  "\"",
                                  "{}",
                                  "[]",
                                  "\"\"",
                                  "null",
                                  "true",
                                  "false",
                                  "nul",
                                  "NULL",
                                  "NaN",
                                  "-NaN",
                                  "Infinity",
                                  "-Infinity",
                                  "undefined",
                                  "0",
                                  "-0",
                                  "-0.0",
                                  "00",
                                  "01",
                                  "-01",
                                  "+1",
                                  "1.",
                                  ".5",
                                  "1e",
                                  "1e+",
                                  "1e5",
                                  "5.0",
                                  "0x10",
                                  "1_000",
                                  "1,5",
                                  "--1",
                                  "- 1",
                                  "1 2",
                                  "1e308",
                                  "1e309",
                                  "-1e309",
                                  "1e999999999999999999999",
                                  "1e-400",
                                  "1e-999999999999999999999",
                                  "0e999999999999999999999",
                                  "1.7976931348623157e308",
                                  "1.7976931348623159e308",
                                  "5e-324",
                                  "2e-324",
                                  "9007199254740992",
                                  "9007199254740993",
                                  "9007199254740992.0",
                                  "9007199254740993.0",
                                  "9007199254740994.0",
                                  "9223372036854775807",
                                  "9223372036854775808",
                                  "9223372036854775807.0",
                                  "-9223372036854775808",
                                  "-9223372036854775809",
                                  "-9223372036854775808.0",
                                  "18446744073709551615",
                                  "18446744073709551616",
                                  "10000000000000000001",
                                  "1e19",
                                  "1E400",
                                  "123456789012345678901234567890",
                                  "{\"a\":1,\"a\":2}",
                                  "{\"a\":1,\"\\u0061\":2}",
                                  "[{\"b\":{\"\":1,\"\":2}}]",
                                  "{\"a\":1,}",
                                  "[1,]",
                                  "[,1]",
                                  "{\"a\"}",
                                  "{a:1}",
                                  "{'a':1}",
                                  "{\"a\":1}x",
                                  "{}{}",
                                  "/* */1",
                                  "\"\\u0000\"",
                                  "\"\\ud800\"",
                                  "\"\\udc00\"",
                                  "\"\\ud800\\ud800\"",
                                  "\"\\ud800\\u0041\"",
                                  "\"\\udc00\\ud800\"",
                                  "\"\\ud83d\\ude00\"",
                                  "\"\\ud83d\"x",
                                  "\"\\u12\"",
                                  "\"\\u123g\"",
                                  "\"\\x41\"",
                                  "\"\\\"",
                                  "\"\\/\"",
                                  "\"\t\"",
                                  "\"\n\"",
                                  "\"\x7f\"",
                                  "\"\xff\"",
                                  "\"\xc0\x80\"",
                                  "\"\xc3\"",
                                  "\"\xed\xa0\x80\"",
                                  "\"\xed\xb0\x80\"",
                                  "\"\xf4\x90\x80\x80\"",
                                  "\"\xf0\x80\x80\xaf\"",
                                  "\"\xe2\x82\"",
                                  "\"\xef\xbf\xbf\"",
                                  "\"\xf4\x8f\xbf\xbf\"",
                                  "\xef\xbb\xbf{}",
                                  "\xef\xbb\xbf",
                                  "\"\xef\xbb\xbf\"",
                                  "\xff\xfe{}",
                                  "{}\xef\xbb\xbf",
                                  "\xc2\xa0{}",
                                  "\x0c{}",
                                  "\"2026-03-10\"",
                                  "\"2026-02-29\"",
                                  "\"0000-01-01\"",
                                  "\"9999-12-31\"",
                                  "\"10000-01-01\"",
                                  "\"9999-12-31T23:59:60Z\"",
                                  "\"0001-01-01T00:00:00+23:59\"",
                                  "\"2026-03-10T24:00:00Z\"",
                                  "\"2026-03-10T12:00:00.Z\"",
                                  "\"2026-03-10T12:00:00+5:45\"",
                                  "\"2026-03-10t12:00:00.123456789012345678901z\"",
                                  "\"6F1C7AB0-3D0C-4F5E-9D2B-1F0E5A7C9B42\"",
                                  "\"6f1c7ab0-3d0c-4f5e-9d2b-1f0e5a7c9b4\"",
                                  "\"{6f1c7ab0-3d0c-4f5e-9d2b-1f0e5a7c9b42}\"",
                                  "\"6f1c7ab03d0c4f5e9d2b1f0e5a7c9b42\"",
                                  "\"every_kind\""};
  for (const char* zero : {"\"a%b\"", "%", "{}%", "%{}", "{%}", "1%", "[1,%2]"}) {
    std::string text = zero;
    std::replace(text.begin(), text.end(), '%', '\0');
    all.push_back(text);
  }
  // Around the deepest that is read, and far beyond it, closed and not, of each kind of container.
  for (const std::size_t depth : {16, 17, 1018, 1019, 1020, 1021, 1022, 1023, 1024, 1025, 1026, 100'000}) {
    for (const char* innermost : {"", "1", "\"\"", "{}", "[]"}) {
      all.push_back(repeated("[", depth) + innermost + repeated("]", depth));
      all.push_back(repeated("{\"a\":", depth) + (*innermost == '\0' ? "null" : innermost) + repeated("}", depth));
    }
    all.push_back(repeated("[", depth));
    all.push_back(repeated("{\"a\":", depth));
    all.push_back(repeated("[{\"a\":", depth / 2) + "[]" + repeated("}]", depth / 2));
  }
  const std::size_t mebibyte = 1 << 20;
  all.push_back('"' + std::string(mebibyte, 'x') + '"');
  all.push_back('"' + std::string(mebibyte, 'x'));
  all.push_back('"' + repeated("\\ud83d\\ude00", 10'000) + '"');
  all.push_back('"' + repeated("\\u0000", 20'000) + '"');
  all.push_back('"' + std::string(1000, 'k') + '"');
  all.push_back('"' + std::string(1001, 'k') + '"');
  all.push_back('"' + repeated("á", 500) + '"');
  all.push_back(std::string(mebibyte, ' '));
  all.push_back(std::string(mebibyte, '1'));
  all.push_back("0." + std::string(100'000, '3'));
  all.push_back("1" + std::string(300, '0') + ".0");
  all.push_back("0." + std::string(400, '0') + "1e400");
  all.push_back("1e" + std::string(100'000, '9'));
  all.push_back(std::string(mebibyte, '\0'));
  all.push_back(std::string(mebibyte, '\xff'));
  all.push_back("[" + repeated("{},", 50'000) + "{}]");
  std::string names = "{";
  for (int i = 0; i < 20'000; ++i) names += "\"m" + std::to_string(i) + "\":1,";
  all.push_back(names + "\"last\":1}");
  all.push_back(names + "\"m77\":1}");
  std::string one_column = "{";
  for (int i = 0; i < 20'000; ++i) one_column += "\"total\":1,";
  all.push_back(one_column + "\"level\":1}");
  return all;
}

// Every value that stands as "data" of a test, and each file as it is.
std::vector<std::string> suite_values() {
  std::vector<std::string> all;
  for (const fs::path& path : files_below(suite)) {
    if (path.extension() != ".json") continue;
    all.push_back(text_of(path));
    const json content = json::parse(all.back());
    if (!content.is_array()) continue;
    for (const json& group : content) {
      if (group.contains("schema")) all.push_back(group["schema"].dump());
      for (const json& test : group.value("tests", json::array())) {
        if (test.contains("data")) all.push_back(test["data"].dump());
      }
    }
  }
  std::sort(all.begin(), all.end());
  all.erase(std::unique(all.begin(), all.end()), all.end());
  return all;
}

}  // namespace

TEST_CASE("torture as records") {
  Judges judges;
  for (const std::string& value : torture()) {
    CAPTURE(value.substr(0, 100));
    CAPTURE(value.size());
    judges.judge_everywhere(value);
  }
  CHECK(judges.contributed > 300);
  for (const char* code : {"malformed", "envelope", "member"}) CHECK_MESSAGE(judges.codes[code] > 100, code);
}

TEST_CASE("torture as definitions") {
  for (const std::string& value : torture()) {
    CAPTURE(value.substr(0, 100));
    CAPTURE(value.size());
    read_as_definition(value, {"3600", "\"every_kind\"", "\"/data/id\"", "\"sum\"", "\"Asia/Kathmandu\"", "\"first\"",
                               "[1e19, 0.1, 1.7976931348623157e308, 5e-324]", "{\"total\": 1}"});
  }
}

TEST_CASE("json-schema-test-suite as records and definitions") {
  REQUIRE_MESSAGE(fs::exists(suite), "scripts/setup installs json-schema-test-suite");
  const std::vector<std::string> values = suite_values();
  CHECK(values.size() > 500);
  Judges judges;
  for (const std::string& value : values) {
    CAPTURE(value.substr(0, 100));
    judges.judge_everywhere(value);
    read_as_definition(value, {"3600", "[1e19, 0.1, 1.7976931348623157e308, 5e-324]"});
  }
  CHECK(judges.contributed > 500);
}

TEST_CASE("the fuzzer's corpus") {
  Judges judges;
  for (const fs::path& path : files_below(source / "tests/fuzz/corpus/events")) {
    CAPTURE(path.string());
    const std::string text = text_of(path);
    judges.judge(read_message(text));
  }
  CHECK(judges.contributed > 20);
  for (const fs::path& path : files_below(source / "tests/fuzz/corpus/definitions")) {
    CAPTURE(path.string());
    CHECK(probe_definition(text_of(path)) == "");
  }
}
