// The producer library without a broker: envelopes, identities, and what it refuses to be configured as.
#include <doctest/doctest.h>

#include <chrono>
#include <nlohmann/json.hpp>
#include <regex>
#include <set>

#include "producer/producer.h"

using daybook::structured_event;
using nlohmann::json;

namespace {

template <typename Call>
std::string usage_error(Call call) {
  try {
    call();
  } catch (const daybook::UsageError& error) {
    return error.what();
  }
  return "";
}

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

}  // namespace

TEST_CASE("an envelope has every attribute, given or made") {
  const auto time = std::chrono::sys_days{std::chrono::year{2026} / 2 / 28} + std::chrono::milliseconds(45'296'007);
  const json given = json::parse(structured_event({.type = "shop.sold",
                                                   .source = "/shop",
                                                   .id = "7",
                                                   .time = time,
                                                   .subject = "till \"1\"\n",
                                                   .data = R"({"n": 1})"}));
  CHECK(given == json{{"specversion", "1.0"},
                      {"id", "7"},
                      {"source", "/shop"},
                      {"type", "shop.sold"},
                      {"time", "2026-02-28T12:34:56.007Z"},
                      {"subject", "till \"1\"\n"},
                      {"datacontenttype", "application/json"},
                      {"data", {{"n", 1}}}});

  const auto before = daybook::rfc3339(std::chrono::system_clock::now());
  const json made = json::parse(structured_event({.type = "t", .source = "s"}));
  const auto after = daybook::rfc3339(std::chrono::system_clock::now());
  CHECK(made["time"] >= before);
  CHECK(made["time"] <= after);
  CHECK_FALSE(made.contains("subject"));
  CHECK_FALSE(made.contains("data"));
  const std::regex version_4("[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}");
  CHECK(std::regex_match(made["id"].get<std::string>(), version_4));
}

TEST_CASE("times before 1970 keep their milliseconds") {
  const std::chrono::system_clock::time_point epoch{};
  CHECK(daybook::rfc3339(epoch - std::chrono::milliseconds(1)) == "1969-12-31T23:59:59.999Z");
}

TEST_CASE("random ids differ") {
  std::set<std::string> ids;
  for (int i = 0; i < 1000; ++i) ids.insert(daybook::random_uuid());
  CHECK(ids.size() == 1000);
}

TEST_CASE("an envelope that readers would refuse is refused, all reasons at once") {
  const std::string text = usage_error([] { structured_event({.data = R"({"a":1,"a":2})"}); });
  CHECK(contains(text, "type is empty"));
  CHECK(contains(text, "source is empty"));
  CHECK(contains(text, "member \"a\" appears twice"));
  CHECK(contains(usage_error([] { structured_event({.type = "t", .source = "\xff"}); }), "source is not UTF-8"));
  CHECK(contains(usage_error([] { structured_event({.type = "t", .source = "s", .data = "1e309"}); }), "1e309"));
  CHECK(contains(usage_error([] { structured_event({.type = "t", .source = "s", .data = std::string(5000, '[')}); }),
                 "nested"));
}

TEST_CASE("properties that the guarantees depend on can't be replaced") {
  const auto refusal = [](std::map<std::string, std::string> properties) {
    return usage_error([&properties] { daybook::Producer({.brokers = "127.0.0.1:1", .properties = properties}); });
  };
  const std::string text = refusal({{"acks", "1"}, {"enable.idempotence", "false"}, {"no.such.property", "1"}});
  CHECK(contains(text, "acks"));
  CHECK(contains(text, "enable.idempotence"));
  CHECK(contains(text, "no.such.property"));
  CHECK(contains(refusal({{"request.required.acks", "0"}}), "request.required.acks"));
  CHECK(contains(refusal({{"transactional.id", "x"}}), "transactional.id"));
  CHECK(contains(usage_error([] { daybook::Producer(daybook::ProducerSettings{}); }), "broker"));
  CHECK(
      refusal({{"acks", "all"}, {"compression.type", "zstd"}, {"queue.buffering.max.ms", "50"}, {"log_level", "0"}}) ==
      "");
}
