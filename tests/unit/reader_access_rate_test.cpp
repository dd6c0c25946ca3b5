// Token buckets and their configuration: by table, and the bound on all that is ever admitted, on random times.
#include <doctest/doctest.h>

#include <cstdio>
#include <fstream>
#include <random>
#include <sstream>

#include "reader/access/files.h"
#include "reader/access/rate_limiter.h"

using namespace daybook::reader;

namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr RateLimiter::Time begin{seconds{1'800'000'000}};

Policy policy(std::int64_t limit, std::int64_t window, std::int64_t burst) {
  return {"p", Policy::By::address, limit, window, burst, {}};
}

std::vector<Policy> limits(std::string_view text) {
  auto read = read_limits(text);
  REQUIRE(std::holds_alternative<std::vector<Policy>>(read));
  return std::get<std::vector<Policy>>(read);
}

std::string mistakes(std::string_view text) {
  const auto read = read_limits(text);
  if (!std::holds_alternative<Mistakes>(read)) return "none";
  std::string all;
  for (const auto& mistake : std::get<Mistakes>(read)) all += to_string(mistake) + "\n";
  return all;
}

}  // namespace

TEST_CASE("a bucket, step by step") {
  // 60 a minute, 3 at once: one more each second.
  RateLimiter limiter({policy(60, 60, 3)});
  const ClientKey client = client_of_address("192.0.2.1");
  const struct {
    std::int64_t at;  // milliseconds
    bool admitted;
    std::int64_t remaining, full_after, retry_after;
  } steps[] = {
      {0, true, 2, 1, 0},    {0, true, 1, 2, 0},     {0, true, 0, 3, 0},         {0, false, 0, 3, 1},
      {999, false, 0, 3, 1}, {1000, true, 0, 3, 0},  {1001, false, 0, 3, 1},     {3500, true, 1, 2, 0},
      {3500, true, 0, 3, 0}, {3500, false, 0, 3, 1}, {1'000'000, true, 2, 1, 0},
  };
  for (const auto& step : steps) {
    CAPTURE(step.at);
    const RateLimiter::State state = limiter.take(0, client, begin + milliseconds(step.at));
    CHECK(state.admitted == step.admitted);
    CHECK(state.remaining == step.remaining);
    CHECK(state.full_after == step.full_after);
    CHECK(state.retry_after == step.retry_after);
  }
}

TEST_CASE("buckets are of a policy and a client") {
  RateLimiter limiter({policy(1, 60, 1), policy(1, 60, 1)});
  const ClientKey one = client_of_address("192.0.2.1"), other = client_of_address("192.0.2.2");
  CHECK(limiter.take(0, one, begin).admitted);
  CHECK_FALSE(limiter.take(0, one, begin).admitted);
  CHECK(limiter.take(0, other, begin).admitted);
  CHECK(limiter.take(1, one, begin).admitted);
  CHECK(limiter.take(0, one, begin).retry_after == 60);
}

TEST_CASE("addresses of one client are one") {
  CHECK(client_of_address("192.0.2.1") == client_of_address("::ffff:192.0.2.1"));
  CHECK(client_of_address("192.0.2.1") != client_of_address("192.0.2.2"));
  CHECK(client_of_address("::ffff:192.0.2.1") != client_of_address("::ffff:192.0.2.2"));
  CHECK(client_of_address("2001:db8:1:2::1") == client_of_address("2001:db8:1:2:ffff::9"));
  CHECK(client_of_address("2001:db8:1:2::1") != client_of_address("2001:db8:1:3::1"));
  CHECK(client_of_address("fe80::1%eth0") == client_of_address("fe80::1"));
  CHECK(client_of_address("strange") != client_of_address("stranger"));
}

TEST_CASE("never more than burst + rate * t is admitted, and a patient client is never refused") {
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937 random(seed);
  const auto between = [&random](std::int64_t a, std::int64_t b) {
    return std::uniform_int_distribution<std::int64_t>(a, b)(random);
  };
  for (int round = 0; round < 200; ++round) {
    const Policy rule = policy(between(1, 2000), between(1, 600), 0);
    Policy with_burst = rule;
    with_burst.burst = between(1, rule.limit * 3);
    RateLimiter limiter({with_burst});
    const ClientKey client = client_of_name(std::to_string(round));
    std::vector<std::int64_t> admitted;  // nanoseconds
    std::int64_t now = 0;
    const std::int64_t pace = rule.window * 1'000'000'000 / rule.limit;
    for (int i = 0; i < 400; ++i) {
      if (between(0, 3) == 0) now += between(0, 3 * pace);
      if (limiter.take(0, client, begin + std::chrono::nanoseconds(now)).admitted) admitted.push_back(now);
    }
    for (std::size_t first = 0; first < admitted.size(); ++first) {
      for (std::size_t last = first; last < admitted.size(); ++last) {
        const long double span = static_cast<long double>(admitted[last] - admitted[first]) / 1e9L;
        const long double most = static_cast<long double>(with_burst.burst) +
                                 span * static_cast<long double>(rule.limit) / static_cast<long double>(rule.window);
        if (static_cast<long double>(last - first + 1) > most + 1e-6L) {
          FAIL("limit ", rule.limit, " window ", rule.window, " burst ", with_burst.burst, ": ", last - first + 1,
               " in ", static_cast<double>(span), " s");
        }
      }
    }
    for (int i = 0; i < 50; ++i) {
      now += pace + 1;
      REQUIRE((limiter.take(0, client, begin + std::chrono::nanoseconds(now)).admitted || i < 1));
    }
  }
}

TEST_CASE("a clock that is set back shuts nobody out for longer than a bucket takes to fill") {
  RateLimiter limiter({policy(60, 60, 10)});
  const ClientKey client = client_of_address("192.0.2.1");
  CHECK(limiter.take(0, client, begin).admitted);
  const RateLimiter::State state = limiter.take(0, client, begin - seconds(86'400));
  CHECK_FALSE(state.admitted);
  CHECK(state.full_after <= 10);
  CHECK(limiter.take(0, client, begin - seconds(86'400 - 1)).admitted);
}

TEST_CASE("memory is bounded; full buckets go first, and busy ones keep what they know") {
  RateLimiter limiter({policy(10, 60, 10)}, 64 * 40);
  const ClientKey busy = client_of_address("192.0.2.1");
  for (int i = 0; i < 10; ++i) CHECK(limiter.take(0, busy, begin).admitted);
  for (int i = 0; i < 100'000; ++i) limiter.take(0, client_of_name("n" + std::to_string(i)), begin);
  CHECK(limiter.size() <= 64 * 40);
  CHECK(limiter.size() > 64 * 20);
  CHECK_FALSE(limiter.take(0, busy, begin).admitted);  // the others were nearer to full
  // An hour later all are full: what comes then pushes them out and no more than that.
  for (int i = 0; i < 64 * 30; ++i) limiter.take(0, client_of_name("m" + std::to_string(i)), begin + seconds(3600));
  CHECK(limiter.size() <= 64 * 40);
}

TEST_CASE("paths of a policy are prefixes of whole segments, however they are written") {
  Policy rule = policy(1, 1, 1);
  CHECK(applies(rule, "/anything"));
  rule.paths = {"/v1/views", "/labor/"};
  const struct {
    std::string_view path;
    bool applies;
  } cases[] = {
      {"/v1/views", true},      {"/v1/views/a/b", true},
      {"/v1/viewsets", false},  {"/v1", false},
      {"/labor/daily", true},   {"/labor", false},
      {"/v1/%76iews/a", true},  {"/v1%2Fviews", true},
      {"/v1/%7", false},        {"/", false},
      {"/v1/%76iewset", false}, {"", false},
  };
  for (const auto& one : cases) {
    CAPTURE(one.path);
    CHECK(applies(rule, one.path) == one.applies);
  }
}

TEST_CASE("the file of limits, and every mistake in one") {
  const auto read = limits(R"({"policies": [
    {"name": "address", "by": "address", "limit": 1000, "window": 60},
    {"name": "user", "by": "token", "limit": 200, "window": 60, "burst": 20, "paths": ["/v1/views"]}]})");
  REQUIRE(read.size() == 2);
  CHECK(read[0].burst == 1000);
  CHECK(read[0].by == Policy::By::address);
  CHECK(read[1].by == Policy::By::token);
  CHECK(read[1].burst == 20);
  CHECK(read[1].paths == std::vector<std::string>{"/v1/views"});

  const std::string found = mistakes(R"({"policies": [
    {"name": "A b", "by": "user", "limit": 0, "window": "1m", "brst": 1},
    {"name": "a", "by": "token", "limit": 5, "window": 60, "burst": 51, "paths": ["v1", "/a?b"]},
    {"name": "a", "limit": 5, "window": 60, "by": "token", "paths": []}]})");
  for (const char* part : {"/policies/0/name: found \"A b\"", "/policies/0/by: found \"user\"",
                           "/policies/0/limit: found 0", "/policies/0/window: found \"1m\"", "\"burst\" (did you mean",
                           "/policies/1/burst: found 51", "/policies/1/paths/0: found \"v1\"", "/policies/1/paths/1",
                           "/policies/2/name: found \"a\" a second time", "/policies/2/paths: found an empty array"}) {
    INFO(part, " in ", found);
    CHECK(found.find(part) != std::string::npos);
  }
  CHECK(mistakes("{") != "none");
  CHECK(mistakes(R"({"policies": []})") != "none");
}

TEST_CASE("the example of the documents is right") {
  std::ifstream file(DAYBOOK_SOURCE_DIR "/docs/examples/reader-limits.json");
  std::ostringstream text;
  text << file.rdbuf();
  const auto read = limits(text.str());
  REQUIRE(read.size() == 4);
  CHECK(read[0].limit == 1000);
  CHECK(read[1].limit == 200);
  CHECK(read[2].limit == 10);
  CHECK(read[3].limit == 100);
}
