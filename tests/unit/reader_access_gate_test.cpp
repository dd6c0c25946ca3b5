// The gate: API tokens, JWTs and limits together, the files behind them that change, the headers of the answers, and
// what goes to the log.
#include <doctest/doctest.h>
#include <spdlog/sinks/ostream_sink.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>

#include "core/error.h"
#include "reader/access/files.h"
#include "reader/access/gate.h"
#include "reader/access/verified_tokens.h"
#include "tests/support/jwt_maker.h"

using namespace daybook::reader;
using namespace daybook::test;

namespace {

using std::chrono::seconds;

const std::string secret = "0123456789abcdef0123456789abcdef";
constexpr Time now{seconds{1'800'000'000}};

// A folder of the test's own, and the log as text while it lasts.
class Place {
 public:
  Place() : before_(spdlog::default_logger()) {
    std::string name = std::filesystem::temp_directory_path() / "daybook-access-XXXXXX";
    REQUIRE(mkdtemp(name.data()) != nullptr);
    folder_ = name;
    auto logger = std::make_shared<spdlog::logger>("test", std::make_shared<spdlog::sinks::ostream_sink_mt>(log_));
    logger->set_pattern("%v");
    spdlog::set_default_logger(logger);
  }
  ~Place() {
    spdlog::set_default_logger(before_);
    std::filesystem::remove_all(folder_);
  }
  std::string path(const std::string& name) const { return folder_ + "/" + name; }
  // Takes the old file's place, as an editor or `daybook tokens new` does: what changes is seen even when size and
  // time are the same.
  std::string write(const std::string& name, const std::string& text, mode_t mode = 0600) const {
    const std::string file = path(name);
    std::ofstream(file + ".new") << text;
    chmod((file + ".new").c_str(), mode);
    std::filesystem::rename(file + ".new", file);
    return file;
  }
  std::string log() const { return log_.str(); }
  std::size_t count(const std::string& part) const {
    std::size_t found = 0;
    const std::string text = log();
    for (std::size_t at = 0; (at = text.find(part, at)) != std::string::npos; at += part.size()) ++found;
    return found;
  }

 private:
  std::string folder_;
  std::ostringstream log_;
  std::shared_ptr<spdlog::logger> before_;
};

std::string entry(const std::string& name, const std::string& token, const std::string& more = "") {
  return R"({"name":")" + name + R"(","sha256":")" + to_hex(sha256(token)) + R"(","scopes":["views:read"])" + more +
         "}";
}
std::string tokens(const std::string& entries) { return R"({"tokens":[)" + entries + "]}"; }
std::string jwks() { return R"({"keys":[)" + secret_jwk("h", secret) + "]}"; }
std::string jwt(const std::string& sub, std::int64_t exp, const std::string& with = secret) {
  return hs256(with, R"({"alg":"HS256","kid":"h"})",
               R"({"sub":")" + sub + R"(","exp":)" + std::to_string(exp) + R"(,"scope":"views:read"})");
}

std::string usage_error(const std::function<void()>& action) {
  try {
    action();
  } catch (const daybook::UsageError& error) {
    return error.what();
  }
  return "none";
}

Admission ask(Gate& gate, const std::string& token, Time at = now, const std::string& peer = "192.0.2.1",
              const std::string& path = "/v1/views") {
  return gate.admit(token.empty() ? "" : "Bearer " + token, peer, path, at);
}

}  // namespace

TEST_CASE("with access off everybody reads all rows, and nobody is an administrator") {
  Gate gate(GateSettings{});
  const Admission admission = gate.admit("Bearer whatever", "192.0.2.1", "/", now);
  REQUIRE(admission.status == 0);
  CHECK(admission.headers.empty());
  CHECK(admission.who->subject.empty());
  CHECK(admission.who->may_read("any"));
  CHECK(admission.who->has_scope("rows:all"));
  CHECK_FALSE(admission.who->has_scope("admin"));
}

TEST_CASE("API tokens") {
  const Place place;
  GateSettings settings;
  settings.tokens_file =
      place.write("tokens", tokens(entry("one", "daybook_one", R"(,"claims":{"facility_id":"f-1","ward":["a","b"]})") +
                                   "," + entry("old", "daybook_old", R"(,"expires":"2027-01-15T08:00:00Z")") + "," +
                                   entry("off", "daybook_off", R"(,"disabled":true)")));
  Gate gate(settings);
  const Admission admission = ask(gate, "daybook_one");
  REQUIRE(admission.status == 0);
  CHECK(admission.who->subject == "one");
  CHECK(admission.who->claims.at("facility_id") == std::vector<std::string>{"f-1"});
  CHECK(admission.who->claims.at("ward") == std::vector<std::string>{"a", "b"});
  CHECK(ask(gate, "daybook_old", Time{seconds{1'799'999'999}}).status == 0);

  const struct {
    std::string authorization;
    std::string header;
  } cases[] = {
      {"", "WWW-Authenticate: Bearer realm=\"daybook\"\r\n"},
      {"Bearer daybook_old", "error_description=\"the token has expired\"\r\n"},
      {"Bearer daybook_off", "error_description=\"the token was disabled\"\r\n"},
      {"Bearer daybook_two", "error_description=\"the token is not accepted\"\r\n"},
      {"Bearer daybook_on", "error_description=\"the token is not accepted\"\r\n"},
      {"Bearer " + to_hex(sha256("daybook_one")), "error_description=\"the token is not accepted\"\r\n"},
      {"Bearer", "error_description=\"the token is malformed\"\r\n"},
      {"Bearer ", "error_description=\"the token is malformed\"\r\n"},
      {"Bearer daybook_one daybook_one", "error_description=\"the token is malformed\"\r\n"},
      {"Bearer daybook_one,", "error_description=\"the token is malformed\"\r\n"},
      {"Basic daybook_one", "error_description=\"the token is malformed\"\r\n"},
      {"daybook_one", "error_description=\"the token is malformed\"\r\n"},
  };
  for (const auto& one : cases) {
    CAPTURE(one.authorization);
    const Admission refused = gate.admit(one.authorization, "192.0.2.1", "/v1/views", now);
    CHECK(refused.status == 401);
    CHECK(refused.who == nullptr);
    CHECK(refused.headers.ends_with(one.header));
    CHECK(refused.headers.starts_with("WWW-Authenticate: Bearer realm=\"daybook\""));
  }
  CHECK(gate.admit("bEARER daybook_one", "192.0.2.1", "/", now).status == 0);
  // A JWT is not taken without a file of keys.
  CHECK(ask(gate, jwt("u", 1'900'000'000)).status == 401);
}

TEST_CASE("who a token's holder is by now: for what goes on longer than a request") {
  const Place place;
  GateSettings settings;
  settings.tokens_file = place.write("tokens", tokens(entry("one", "daybook_one") + "," + entry("two", "daybook_two")));
  settings.jwks_file = place.write("jwks", jwks());
  settings.limits_file =
      place.write("limits", R"({"policies":[{"name":"all","by":"token","limit":1,"window":3600,"burst":1}]})");
  Gate gate(settings);
  const auto at = [](int s) { return now + seconds{s}; };
  const std::string one = "Bearer daybook_one", short_one = "Bearer " + jwt("s", 1'800'000'010);
  for (int i = 0; i < 3; ++i) {  // it costs no budget
    REQUIRE(gate.who_is(one, at(i)) != nullptr);
    CHECK(gate.who_is(one, at(i))->subject == "one");
  }
  CHECK(ask(gate, "daybook_one", at(3)).status == 0);
  CHECK(*gate.who_is(short_one, at(39)) == *gate.who_is(short_one, at(0)));  // within the leeway
  CHECK(gate.who_is(short_one, at(40)) == nullptr);
  CHECK(gate.who_is("", at(40)) == nullptr);
  CHECK(gate.who_is("Basic x", at(40)) == nullptr);
  CHECK(gate.who_is("Bearer daybook_three", at(40)) == nullptr);
  place.write("tokens", tokens(entry("two", "daybook_two", R"(,"claims":{"ward":"a"})")));
  const IdentityPtr before = gate.who_is("Bearer daybook_two", at(40));
  CHECK(gate.who_is(one, at(41)) == nullptr);
  CHECK_FALSE(*gate.who_is("Bearer daybook_two", at(41)) == *before);
  CHECK(place.count("refused") == 0);
  CHECK(Gate(GateSettings{}).who_is("", at(0))->may_read("any"));
}

TEST_CASE("more callers than a thread remembers are each who they are") {
  const Place place;
  GateSettings settings;
  constexpr int callers = 3000;
  std::string entries;
  for (int i = 0; i < callers; ++i)
    entries += (i == 0 ? "" : ",") + entry("name-" + std::to_string(i), "daybook_" + std::to_string(i));
  settings.tokens_file = place.write("tokens", tokens(entries));
  Gate gate(settings);
  int wrong = 0;
  for (int round = 0; round < 2; ++round) {
    for (int i = 0; i < callers; ++i) {
      const Admission admission = ask(gate, "daybook_" + std::to_string(i));
      if (admission.who == nullptr || admission.who->subject != "name-" + std::to_string(i)) ++wrong;
    }
  }
  CHECK(wrong == 0);
}

TEST_CASE("a JWT is checked once until it ends, and never beyond") {
  const Place place;
  GateSettings settings;
  settings.jwks_file = place.write("jwks", jwks());
  Gate gate(settings);
  const std::string token = jwt("u-1", 1'800'000'100);
  const Admission first = ask(gate, token);
  REQUIRE(first.status == 0);
  CHECK(first.who->subject == "u-1");
  CHECK(ask(gate, token).who == first.who);  // the same object: it was kept
  CHECK(ask(gate, token, now + seconds(129)).who == first.who);
  const Admission late = ask(gate, token, now + seconds(130));
  CHECK(late.status == 401);
  CHECK(late.detail == "the token has expired");
  CHECK(ask(gate, "daybook_one").status == 401);  // no file of API tokens
}

TEST_CASE("verified tokens are bounded and end") {
  VerifiedTokens verified(64 * 4);
  const auto known = [](std::int64_t until) {
    Known one;
    one.who = std::make_shared<Identity>();
    one.from = 1'799'999'990;
    one.until = until;
    return one;
  };
  const Sha256 a = sha256("a");
  CHECK_FALSE(verified.find(a, now).has_value());
  verified.keep(a, known(1'800'000'010), now);
  CHECK(verified.find(a, now).has_value());
  CHECK(verified.find(a, now + seconds(9)).has_value());
  CHECK_FALSE(verified.find(a, now + seconds(10)).has_value());
  verified.keep(a, known(1'800'000'010), now);
  CHECK_FALSE(verified.find(a, now - seconds(11)).has_value());
  for (int i = 0; i < 5000; ++i) verified.keep(sha256(std::to_string(i)), known(1'800'000'010), now);
  CHECK(verified.size() <= 64 * 4);
  CHECK(verified.find(sha256("4999"), now).has_value());  // the newest one is there
}

TEST_CASE("files are read again when they changed, at most once a second") {
  const Place place;
  GateSettings settings;
  settings.tokens_file = place.write("tokens", tokens(entry("one", "daybook_one")));
  settings.jwks_file = place.write("jwks", jwks());
  Gate gate(settings);
  REQUIRE(ask(gate, "daybook_one").status == 0);
  const std::string token = jwt("u-1", 1'900'000'000);
  REQUIRE(ask(gate, token).status == 0);

  place.write("tokens", tokens(entry("two", "daybook_two")));
  CHECK(ask(gate, "daybook_two").status == 401);  // the same second
  CHECK(ask(gate, "daybook_two", now + seconds(1)).status == 0);
  CHECK(ask(gate, "daybook_one", now + seconds(1)).status == 401);
  CHECK(place.count("was read again") == 1);

  // Broken: the old one holds, and the log says so, once a change.
  place.write("tokens", R"({"tokens":[{"name":"x"}]})");
  CHECK(ask(gate, "daybook_two", now + seconds(2)).status == 0);
  CHECK(ask(gate, "daybook_two", now + seconds(3)).status == 0);
  CHECK(place.count("what it said before still holds") == 1);
  CHECK(place.count("/tokens/0/sha256: found nothing") == 1);
  // Gone: too.
  std::filesystem::remove(place.path("tokens"));
  CHECK(ask(gate, "daybook_two", now + seconds(4)).status == 0);
  CHECK(place.count("what it said before still holds") == 2);
  // Right again.
  place.write("tokens", tokens(entry("three", "daybook_three")));
  CHECK(ask(gate, "daybook_three", now + seconds(5)).status == 0);
  CHECK(ask(gate, "daybook_two", now + seconds(5)).status == 401);

  // Another thread sees it, too, though it had the old one.
  CHECK(ask(gate, token, now + seconds(6)).status == 0);
  // With a new key, tokens that the old one verified are no good any more.
  place.write("jwks", R"({"keys":[)" + secret_jwk("h", "another secret of thirty-two bytes") + "]}");
  CHECK(ask(gate, token, now + seconds(7)).status == 401);
  unsigned elsewhere = 0;
  std::thread([&] { elsewhere = ask(gate, token, now + seconds(7)).status; }).join();
  CHECK(elsewhere == 401);
}

TEST_CASE("limits by address and by token, and their headers") {
  const Place place;
  GateSettings settings;
  settings.tokens_file = place.write("tokens", tokens(entry("one", "daybook_one") + "," + entry("two", "daybook_two")));
  settings.limits_file = place.write("limits", R"({"policies":[
    {"name":"address","by":"address","limit":6,"window":60},
    {"name":"user","by":"token","limit":2,"window":60,"paths":["/v1"]}]})");
  Gate gate(settings);
  const Admission first = ask(gate, "daybook_one");
  CHECK(first.status == 0);
  CHECK(first.headers ==
        "RateLimit-Policy: \"address\";q=6;w=60, \"user\";q=2;w=60\r\nRateLimit: \"address\";r=5;t=10, "
        "\"user\";r=1;t=30\r\n");
  CHECK(ask(gate, "daybook_one", now, "192.0.2.9").status == 0);  // another address, the same user
  const Admission user = ask(gate, "daybook_one");
  CHECK(user.status == 429);
  CHECK(user.who == nullptr);
  CHECK(user.detail == "more requests than the limit \"user\" allows; again in 30 s");
  CHECK(user.headers ==
        "RateLimit-Policy: \"address\";q=6;w=60, \"user\";q=2;w=60\r\n"
        "RateLimit: \"address\";r=4;t=20, \"user\";r=0;t=30\r\nRetry-After: 30\r\n");
  CHECK(ask(gate, "daybook_two").status == 0);
  CHECK(ask(gate, "daybook_one", now, "192.0.2.1", "/other").status == 0);  // not a path of that policy
  CHECK(ask(gate, "daybook_bad").status == 401);                            // counts for the address
  CHECK(ask(gate, "").status == 401);
  const Admission address = ask(gate, "daybook_two", now, "192.0.2.1", "/other");
  CHECK(address.status == 429);
  CHECK(address.headers ==
        "RateLimit-Policy: \"address\";q=6;w=60\r\nRateLimit: \"address\";r=0;t=10\r\nRetry-After: 10\r\n");
  CHECK(ask(gate, "", now).status == 429);  // before the token is looked at
  CHECK(ask(gate, "daybook_two", now + seconds(10), "192.0.2.1", "/other").status == 0);

  // New limits begin with full buckets.
  place.write("limits", R"({"policies":[{"name":"address","by":"address","limit":1,"window":1}]})");
  CHECK(ask(gate, "daybook_two", now + seconds(11)).headers ==
        "RateLimit-Policy: \"address\";q=1;w=1\r\nRateLimit: \"address\";r=0;t=1\r\n");
}

TEST_CASE("with access off a token's limits are the address's") {
  const Place place;
  GateSettings settings;
  settings.limits_file = place.write("limits", R"({"policies":[{"name":"user","by":"token","limit":1,"window":60}]})");
  Gate gate(settings);
  CHECK(ask(gate, "").status == 0);
  CHECK(ask(gate, "").status == 429);
  CHECK(ask(gate, "", now, "192.0.2.2").status == 0);
}

TEST_CASE("the log has a line a reason and ten seconds, and no token") {
  const Place place;
  GateSettings settings;
  settings.tokens_file = place.write("tokens", tokens(entry("one", "daybook_one")));
  Gate gate(settings);
  for (int i = 0; i < 100; ++i) {
    ask(gate, "daybook_guess" + std::to_string(i));
    ask(gate, "");
  }
  CHECK(place.count("access: refused") == 2);
  ask(gate, "daybook_guess", now + seconds(10));
  CHECK(place.count("access: refused") == 3);
  CHECK(place.count("99 more like this") == 1);
  CHECK(place.count("guess") == 0);
}

TEST_CASE("rights of the files") {
  const Place place;
  GateSettings settings;
  settings.tokens_file = place.write("tokens", tokens(entry("one", "daybook_one")), 0644);
  settings.jwks_file = place.write("jwks", jwks(), 0640);
  { Gate gate(settings); }
  CHECK(place.count("can be read by every user") == 1);
  chmod(settings.tokens_file.c_str(), 0646);
  CHECK(usage_error([&] { Gate gate(settings); }).find("everybody may write") != std::string::npos);
}

TEST_CASE("every mistake of every file at once, and settings that mean nothing") {
  const Place place;
  GateSettings settings;
  settings.tokens_file = place.write("tokens", R"({"tokens":[
    {"name":"a b","sha256":"daybook_oops","scopes":["views:write","views:read:X y"],"claims":{"a":1,"b":["x",2]},"expires":"soon","disabled":"no"},
    {"name":"c","sha256":")" + to_hex(sha256("x")) +
                                                   R"(","scopes":["admin"]},
    {"name":"c","sha256":")" + to_hex(sha256("x")) +
                                                   R"(","scopes":[],"scpes":[]}]})");
  settings.jwks_file = place.path("missing");
  settings.limits_file = place.write("limits", "{}");
  const std::string found = usage_error([&] { Gate gate(settings); });
  for (const char* part :
       {"/tokens/0/name: found \"a b\"", "/tokens/0/sha256: found something else",
        "/tokens/0/scopes/0: found \"views:write\"", "/tokens/0/scopes/1", "/tokens/0/claims/a: found 1",
        "/tokens/0/claims/b/1: found 2", "/tokens/0/expires: found \"soon\"", "/tokens/0/disabled: found \"no\"",
        "/tokens/2/name: found \"c\" a second time", "/tokens/2/sha256: found this hash a second",
        "/tokens/2/scopes: found an empty array", "\"scopes\" (did you mean", "missing: a file that can't be read",
        "/policies: found nothing"}) {
    INFO(part, " in ", found);
    CHECK(found.find(part) != std::string::npos);
  }
  CHECK(found.find("oops") == std::string::npos);

  GateSettings alone;
  alone.jwt.audiences = {"daybook"};
  CHECK(usage_error([&] { Gate gate(alone); }).find("give --jwks FILE") != std::string::npos);
}

TEST_CASE("who may listen where") {
  const daybook::http::Address loopback{"127.0.0.1", 8080, true}, all{"0.0.0.0", 8080, false}, v6{"::", 8080, false};
  const auto message = [](const daybook::http::Address& address, bool access_on, bool anywhere) {
    return usage_error([&] { check_exposure(address, access_on, anywhere); });
  };
  CHECK(message(loopback, false, false) == "none");
  CHECK(message(all, true, false) == "none");
  CHECK(message(all, false, true) == "none");
  CHECK(message(all, false, false) ==
        "--listen 0.0.0.0:8080 is reachable from other machines, and everybody there could read every row: say who may "
        "(--tokens FILE, --jwks FILE), give a loopback address such as 127.0.0.1:8080, or say that this is meant with "
        "--anywhere");
  CHECK(message(v6, false, false).find("--listen [::]:8080") == 0);
}

TEST_CASE("many threads at once: the limit holds exactly, and files may change meanwhile") {
  const Place place;
  GateSettings settings;
  settings.tokens_file = place.write("tokens", tokens(entry("one", "daybook_one")));
  settings.jwks_file = place.write("jwks", jwks());
  settings.limits_file =
      place.write("limits", R"({"policies":[{"name":"user","by":"token","limit":1000,"window":86400}]})");
  Gate gate(settings);
  const std::string token = jwt("u-1", 1'900'000'000);
  std::atomic<int> api{0}, jwts{0}, wrong{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 1000; ++i) {
        const Time at = now + seconds(i / 100);
        const unsigned a = ask(gate, "daybook_one", at).status, j = ask(gate, token, at).status;
        api += a == 0 ? 1 : 0;
        jwts += j == 0 ? 1 : 0;
        wrong += (a != 0 && a != 429) || (j != 0 && j != 429) ? 1 : 0;
      }
    });
  }
  for (int i = 0; i < 20; ++i)
    place.write("tokens", tokens(entry("one", "daybook_one") + "," + entry("n", "daybook_" + std::to_string(i))));
  for (std::thread& thread : threads) thread.join();
  CHECK(api == 1000);
  CHECK(jwts == 1000);
  CHECK(wrong == 0);
}
