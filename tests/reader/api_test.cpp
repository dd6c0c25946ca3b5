// The reader's API as an application: requests in, answers out, over rows in a map and a loop that a test moves.
#include "reader/api/api.h"

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include "core/definition_reader.h"
#include "producer/json_schema.h"
#include "reader/api/cursor.h"
#include "reader/api/key.h"
#include "reader/hot_row.h"
#include "tests/support/fake_rows.h"

using namespace daybook;
using namespace daybook::reader;
using namespace std::chrono_literals;
using Json = nlohmann::json;
using Headers = std::map<std::string, std::string>;

namespace {

const std::string here = "0a0b0c0d-0102-0304-0506-0708090a0b0c";
const std::string elsewhere = "ffffffff-0102-0304-0506-0708090a0b0c";

ViewDefinition definition(const std::string& name, const std::string& reader) {
  const DefinitionOrMistakes made = read_definition(R"({"view": ")" + name + R"(", "kind": "summary",
    "key": [{"name": "site", "type": "uuid"}, {"name": "day", "type": "date", "time_zone": "UTC"}],
    "columns": [{"name": "level", "type": "int", "value": "balance"}],
    "sources": [{"topic": "t", "event": "e", "key": {"site": "/data/a", "day": "/time"}, "add": {"level": 1}}],
    "reader": )" + reader + "}");
  return std::get<ViewDefinition>(made);
}

std::string key_of(const std::string& site, const std::string& day) {
  std::string key;
  REQUIRE(append_value(key, KeyType::uuid, site));
  REQUIRE(append_value(key, KeyType::date, day));
  return key;
}
std::string json_of(const std::string& site, const std::string& day, int level) {
  return R"({"site":")" + site + R"(","day":")" + day + R"(","level":)" + std::to_string(level) +
         R"(,"updated_at":"2026-01-31T10:00:00.000001Z"})";
}

ChangeSet commit_of(std::int64_t seq, const std::string& nonce, std::vector<ChangedRow> rows = {}, bool reset = false) {
  return {0, seq, nonce, reset, std::move(rows)};
}

HotRowPtr hot_row(const std::string& json, const std::string& cache_control) {
  return make_row(AnswerStyle("v", cache_control), HotRow::Kind::row, json);
}

// Two views: `open` for all who may read it, `own` limited by a claim.
struct Site {
  test::FakeRows open{definition(
      "open",
      R"({"cache_control": "public, max-age=1", "filters": ["day"], "limit": 20, "routes": ["/open/{site}/{day}", "/open"]})")};
  test::FakeRows own{definition("own", R"({"rows_by_claim": {"site": "sites"}})")};
  test::FakeLoop loop;
  Identity who{"somebody", {"views:read", "rows:all"}, {}};
  Admission refusal;  // when its status is set
  std::string gate_headers;
  std::vector<std::string> served;
  Api api{{&open, &own},
          [this](const http::Incoming&) {
            if (refusal.status != 0) return refusal;
            return Admission{0, "", gate_headers, std::make_shared<Identity>(who)};
          },
          {.max_age = 30s},
          [this](const Served& s, std::chrono::nanoseconds) {
            served.push_back(std::string(s.view) + " " + std::string(s.route) + " " + std::to_string(s.status) +
                             (s.is_hit ? " hit" : ""));
          }};

  Site() {
    put(open, here, "2026-01-01", 5);
    put(own, here, "2026-01-01", 5);
    put(own, elsewhere, "2026-01-01", 6);
    open.applied[{"t", 0}] = 10;
  }
  static void put(test::FakeRows& rows, const std::string& site, const std::string& day, int level) {
    rows.rows[key_of(site, day)] = hot_row(json_of(site, day, level), rows.definition().cache_control());
  }

  std::shared_ptr<test::FakeConnection> begin(const std::string& target, const Headers& headers = {},
                                              http::Method method = http::Method::get) {
    const auto connection = std::make_shared<test::FakeConnection>(loop);
    const test::FakeRequest request(target, headers, method);
    api.on_request(request, http::Exchange(connection));
    return connection;
  }
  // With all that the database and the loop would do.
  std::shared_ptr<test::FakeConnection> get(const std::string& target, const Headers& headers = {},
                                            http::Method method = http::Method::get) {
    const auto connection = begin(target, headers, method);
    open.answer_pending();
    own.answer_pending();
    loop.run();
    CHECK(connection->answers == 1);
    return connection;
  }
};

std::string header(const test::FakeConnection& answer, const std::string& name) {
  const std::string all = "\r\n" + answer.block->whole_head() + answer.headers;
  const std::size_t at = all.find("\r\n" + name + ": ");
  if (at == std::string::npos) return "";
  const std::size_t value = at + name.size() + 4;
  CHECK_MESSAGE(all.find("\r\n" + name + ": ", value) == std::string::npos, name, " twice");
  return all.substr(value, all.find("\r\n", value) - value);
}

// Checks that it is a problem, and gives its detail.
std::string problem(const test::FakeConnection& answer, unsigned status) {
  CHECK(answer.block->status == status);
  CHECK(header(answer, "Content-Type") == "application/problem+json");
  const Json body = Json::parse(answer.block->body);
  CHECK(body["status"] == status);
  return body["detail"];
}

}  // namespace

TEST_CASE("a hot row: the ready block as it is, with its age") {
  Site site;
  site.open.fresh.age = 7ms;
  const auto answer = site.get("/v1/views/open/" + here + "/2026-01-01");
  CHECK(answer->block == site.open.rows.begin()->second);
  CHECK(answer->headers == "Daybook-Age: 17\r\nVary: Accept\r\n");  // true for the 10 ms that it is said
  CHECK(site.served == std::vector<std::string>{"open row 200 hit"});
  // The route of the definition, a key in capitals, one that is encoded, HEAD: the same block.
  std::string capitals = here;
  for (char& c : capitals) c = static_cast<char>(std::toupper(c));
  CHECK(site.get("/open/" + here + "/2026-01-01")->block == answer->block);
  CHECK(site.get("/v1/views/open/" + capitals + "/2026-01-01")->block == answer->block);
  CHECK(site.get("/v1/views/open/" + here + "/2026%2d01-01")->block == answer->block);
  CHECK(site.get("/v1/views/open/" + here + "/2026-01-01", {}, http::Method::head)->block == answer->block);
  site.gate_headers = "RateLimit: x\r\n";
  CHECK(site.get("/v1/views/open/" + here + "/2026-01-01")->headers.starts_with("RateLimit: x\r\n"));
  CHECK(site.open.loads == 0);
}

TEST_CASE("what is not in memory is loaded; what is nowhere is a 404") {
  Site site;
  const std::string key = site.open.rows.begin()->first;
  site.open.cold.insert(key);
  const auto answer = site.get("/v1/views/open/" + here + "/2026-01-01");
  CHECK(answer->block == site.open.rows[key]);
  CHECK(site.open.loads == 1);
  CHECK(site.served.back() == "open row 200");
  CHECK(problem(*site.get("/v1/views/open/" + elsewhere + "/2026-01-01"), 404) == "view open has no row with this key");
  // Known to be absent: the same bytes.
  site.open.rows[key_of(elsewhere, "2026-01-01")] = std::make_shared<HotRow>();
  const int loads = site.open.loads;
  CHECK(problem(*site.get("/v1/views/open/" + elsewhere + "/2026-01-01"), 404) == "view open has no row with this key");
  CHECK(site.open.loads == loads);
  site.open.unavailable = Unavailable{Unavailable::Why::busy, "no connection within 30 s"};
  const auto refused = site.get("/v1/views/open/" + here + "/2026-01-02");
  CHECK(problem(*refused, 503) == "no connection within 30 s");
  CHECK(header(*refused, "Retry-After") == "1");
}

TEST_CASE("wrong requests are problems that say what was expected") {
  Site site;
  CHECK(problem(*site.get("/v1/views/open/x/2026-01-01"), 400).starts_with("site is not a uuid"));
  CHECK(problem(*site.get("/v1/views/open/" + here + "/2026-02-30"), 400) == "day is not a date such as 2026-11-23");
  CHECK(problem(*site.get("/v1/views/open/" + here + "/%zz"), 400).starts_with("the path has a wrong encoding"));
  CHECK(problem(*site.get("/v1/views/open/" + here), 404) == "a row of this view is at /v1/views/open/{site}/{day}");
  CHECK(problem(*site.get("/v1/views/open/" + here + "/2026-01-01?x=1"), 400) ==
        "the parameter x is unknown, expected after or wait");
  CHECK(problem(*site.get("/nothing"), 404).starts_with("there is nothing at this path"));
  CHECK(problem(*site.get("/v1/views/none"), 404) == "there is no view none; /v1/views lists what there is");
  CHECK(problem(*site.get("/v1/views/open?color=red"), 400)
            .starts_with("the parameter color is unknown, expected site, day, each"));
  CHECK(problem(*site.get("/v1/views?x=1"), 400) == "/v1/views takes no parameters");
  const auto post = site.get("/v1/views/open/" + here + "/2026-01-01", {}, http::Method::post);
  problem(*post, 405);
  CHECK(header(*post, "Allow") == "GET, HEAD");
  problem(*site.get("/v1/views/open/" + here + "/2026-01-01", {{"Accept", "image/png"}}), 406);
  problem(*site.get("/v1/views/open", {{"Accept", "text/html"}}), 406);
  site.refusal = {429, "too many", "Retry-After: 3\r\n", nullptr};
  const auto limited = site.get("/v1/views/open/" + here + "/2026-01-01");
  CHECK(problem(*limited, 429) == "too many");
  CHECK(header(*limited, "Retry-After") == "3");
  CHECK(site.served.back() == " none 429");
}

TEST_CASE("If-None-Match") {
  Site site;
  const std::string etag(site.open.rows.begin()->second->etag());
  const std::string path = "/v1/views/open/" + here + "/2026-01-01";
  for (const std::string& tags : {etag, "W/" + etag, "\"x\", " + etag, std::string("*")}) {
    const auto answer = site.get(path, {{"If-None-Match", tags}});
    CHECK(answer->block->status == 304);
    CHECK(header(*answer, "ETag") == etag);
    CHECK(header(*answer, "Cache-Control") == "public, max-age=1");
  }
  CHECK(site.get(path, {{"If-None-Match", "\"x\""}})->block->status == 200);
  // Lists, CSV, and where there is nothing.
  const std::string tag = header(*site.get("/v1/views/open"), "ETag");
  CHECK(site.get("/v1/views/open", {{"If-None-Match", tag}})->block->status == 304);
  const auto csv = site.get(path, {{"Accept", "text/csv"}});
  CHECK(header(*csv, "ETag") != etag);
  CHECK(site.get(path, {{"Accept", "text/csv"}, {"If-None-Match", header(*csv, "ETag")}})->block->status == 304);
  CHECK(site.get("/v1/views/open/" + here + "/2020-01-01", {{"If-None-Match", "*"}})->block->status == 404);
}

TEST_CASE("CSV") {
  Site site;
  const auto row = site.get("/v1/views/open/" + here + "/2026-01-01", {{"Accept", "text/csv"}});
  CHECK(row->block->body == "site,day,level,updated_at\r\n" + here + ",2026-01-01,5,2026-01-31T10:00:00.000001Z\r\n");
  CHECK(header(*row, "Content-Type").starts_with("text/csv"));
  site.open.page.rows.assign(20, json_of(here, "2026-01-01", 5));
  const auto list = site.get("/open", {{"Accept", "text/csv"}, {"Accept-Encoding", "gzip"}});
  CHECK(header(*list, "Content-Encoding") == "gzip");
  CHECK(header(*list, "Vary") == "Accept, Accept-Encoding");
}

TEST_CASE("lists: pages that lead to one another") {
  Site site;
  site.open.page = {{json_of(here, "2026-01-02", 6), json_of(here, "2026-01-01", 5)}, {"2026-01-01", here}};
  const auto first = site.get("/v1/views/open?site=" + here + "&day.from=2026-01-01&limit=2&after=t/0@9");
  const Json body = Json::parse(first->block->body);
  CHECK(body["rows"].size() == 2);
  CHECK(body["rows"][1]["level"] == 5);
  const std::string link = header(*first, "Link");
  REQUIRE(link.starts_with("</v1/views/open?day.from=2026-01-01&site=" + here + "&limit=2&cursor="));
  CHECK(link.ends_with(">; rel=\"next\""));
  CHECK(link.find(body["next"].get<std::string>()) != std::string::npos);
  const ListQuery& asked = site.open.asked.back();
  CHECK(asked.order == std::vector<std::string>{"day", "site"});
  CHECK(asked.descending);  // by default the newest first
  CHECK(asked.limit == 2);
  CHECK(asked.after.empty());

  site.open.page = {{json_of(here, "2025-12-31", 4)}, {}};
  const auto last = site.get(link.substr(1, link.find('>') - 1));
  CHECK(site.open.asked.back().after == Place{"2026-01-01", here});
  CHECK(header(*last, "Link").empty());
  CHECK(Json::parse(last->block->body)["next"].is_null());
  CHECK(header(*last, "Cache-Control") == "public, max-age=1");
  CHECK(std::stoi(header(*last, "Daybook-Age")) < 10'000);
  problem(*site.get("/v1/views/open?cursor=" + body["next"].get<std::string>()), 400);
}

TEST_CASE("a list is as old as memory was when it came, and as it says itself") {
  Site site;
  const auto age = [](const test::FakeConnection& answer) { return std::stoi(header(answer, "Daybook-Age")); };
  const auto spend = [](std::chrono::milliseconds time) {
    const auto end = std::chrono::steady_clock::now() + time;
    while (std::chrono::steady_clock::now() < end) {
    }
  };
  site.open.fresh.age = 3'000ms;
  site.open.page.behind = 700ms;
  const auto late = site.begin("/v1/views/open");
  site.open.answer_pending();
  site.open.fresh = {};  // newer by the time that it is sent: no matter
  spend(20ms);
  site.loop.run();
  CHECK(age(*late) >= 3'720);
  CHECK(age(*late) < 13'700);
  CHECK(header(*late, "Daybook-Feed").empty());
  // A row is told of by memory as it is.
  spend(10ms);
  CHECK(age(*site.get("/v1/views/open/" + here + "/2026-01-01")) == 10);

  const auto old = site.begin("/v1/views/open");
  site.open.fresh = {29'990ms, true, 5, "the database is away"};
  site.open.answer_pending();
  site.open.fresh = {};
  site.loop.run();
  CHECK(problem(*old, 503).ends_with(" ms old, and at most 30000 ms are given"));
}

TEST_CASE("rows limited by claims: what one may not see is as if it were not there") {
  Site site;
  site.who.scopes = {"views:read:own"};
  site.who.claims["sites"] = {"0A0B0C0D-0102-0304-0506-0708090A0B0C"};
  const std::string mine = "/v1/views/own/" + here + "/2026-01-01";
  const auto row = site.get(mine);
  CHECK(row->block->status == 200);
  CHECK(header(*row, "Cache-Control") == "private, no-cache");
  const auto forbidden = site.get("/v1/views/own/" + elsewhere + "/2026-01-01");
  const auto unknown = site.get("/v1/views/own/" + here + "/2020-01-01");
  problem(*forbidden, 404);
  CHECK(forbidden->block->head == unknown->block->head);
  CHECK(forbidden->block->body == unknown->block->body);
  CHECK(forbidden->headers == unknown->headers);
  CHECK(site.get("/v1/views/own/" + elsewhere + "/2026-01-01", {{"If-None-Match", "*"}})->block->status == 404);
  CHECK(site.get("/v1/views/own/" + elsewhere + "/2026-01-01", {{"Accept", "text/csv"}})->block->status == 404);

  site.get("/v1/views/own");
  REQUIRE(site.own.asked.back().filters.size() == 1);
  CHECK(site.own.asked.back().filters[0].operands == std::vector<std::string>{here});
  const std::size_t asked = site.own.asked.size();
  CHECK(Json::parse(site.get("/v1/views/own?site=" + elsewhere)->block->body)["rows"].empty());
  CHECK(site.own.asked.size() == asked);  // nobody had to be asked
  site.who.claims.clear();
  problem(*site.get(mine), 404);
  site.who.scopes.push_back("rows:all");
  CHECK(site.get("/v1/views/own/" + elsewhere + "/2026-01-01")->block->status == 200);
  // Who administers may know what there is, but not see it.
  site.who.scopes = {"views:read:own", "admin"};
  problem(*site.get(mine), 403);
}

TEST_CASE("a view that one may not read is as if it were not there") {
  Site site;
  site.who.scopes = {"views:read:open"};
  const auto answers = [&](const std::string& path) { return problem(*site.get(path), 404); };
  CHECK(answers("/v1/views/own") == "there is no view own; /v1/views lists what there is");
  CHECK(answers("/v1/views/own/changes") == answers("/v1/views/own/x"));
  CHECK(Json::parse(site.get("/v1/views")->block->body)["views"].size() == 1);
  CHECK(site.get("/openapi.json")->block->body.find("views/own") == std::string::npos);
  site.who.scopes = {"views:read:own"};
  CHECK(answers("/open/" + here + "/2026-01-01") == answers("/nothing"));
  site.who.scopes = {"admin"};
  problem(*site.get("/v1/views/own/" + here + "/2026-01-01"), 403);
  problem(*site.get("/v1/views/none"), 404);
}

TEST_CASE("after= waits until the event is applied") {
  Site site;
  const std::string path = "/v1/views/open/" + here + "/2026-01-01?after=t/0@";
  // All below 10 is there, as publishing the event at 9 returns it.
  const auto there = site.begin(path + "10");
  CHECK(there->answers == 1);
  CHECK(there->block->status == 200);
  CHECK(header(*there, "Cache-Control") == "private, no-cache");
  CHECK(header(*there, "ETag") == site.open.rows.begin()->second->etag());

  const auto waits = site.begin(path + "11&wait=2000");
  site.loop.pass(1000ms);
  CHECK(waits->answers == 0);
  site.open.commit(commit_of(1, "n"));  // one that does not reach it
  site.loop.run();
  CHECK(waits->answers == 0);
  Site::put(site.open, here, "2026-01-01", 8);
  site.open.applied[{"t", 0}] = 11;
  site.open.commit(commit_of(2, "n"));
  CHECK(waits->answers == 0);  // answered on its loop
  site.loop.run();
  REQUIRE(waits->answers == 1);
  CHECK(Json::parse(waits->block->body)["level"] == 8);
  site.loop.pass(5000ms);
  CHECK(waits->answers == 1);

  const auto late = site.begin(path + "12");
  site.loop.pass(499ms);
  CHECK(late->answers == 0);
  site.loop.pass(1ms);
  CHECK(problem(*late, 504) == "not all of t/0@12 was applied within 500 ms: ask again, or with a longer wait=");
  site.open.applied[{"t", 0}] = 12;
  site.open.commit(commit_of(3, "n"));
  site.loop.run();
  CHECK(late->answers == 1);
  problem(*site.get(path + "13&wait=0"), 504);
  // The first event of a partition makes it known; a topic that the view does not read never is.
  const auto first = site.begin(path + "1&after=t/8@1&wait=2000");
  CHECK(first->answers == 0);
  site.open.applied[{"t", 8}] = 1;
  site.open.commit(commit_of(4, "n"));
  site.loop.run();
  REQUIRE(first->answers == 1);
  CHECK(first->block->status == 200);
  CHECK(problem(*site.get(path + "1&after=t/7@1&wait=0"), 400).starts_with("view open reads no partition t/7"));
  CHECK(problem(*site.get(path + "1&after=u/0@1"), 400).starts_with("view open reads no partition u/0"));
  CHECK(site.get("/v1/views/open?after=t/0@3")->block->head.find("Cache-Control: private, no-cache\r\n") !=
        std::string::npos);
}

TEST_CASE("a lost feed is said, and beyond the age nothing is given") {
  Site site;
  const std::string path = "/v1/views/open/" + here + "/2026-01-01";
  CHECK(header(*site.get(path), "Daybook-Feed").empty());
  const auto wait_for_refresh = [] {  // what is said of the age is kept for 10 ms of real time
    const auto end = std::chrono::steady_clock::now() + 10ms;
    while (std::chrono::steady_clock::now() < end) {
    }
  };
  site.open.fresh = {29'990ms, true, 5, "the database is away"};
  wait_for_refresh();
  const auto old = site.get(path);
  CHECK(old->block->status == 200);
  CHECK(header(*old, "Daybook-Feed") == "lost");
  CHECK(header(*old, "Daybook-Age") == "30000");
  site.open.fresh.age = 29'991ms;
  wait_for_refresh();
  for (const std::string& target :
       {path, std::string("/v1/views/open"), std::string("/v1/views/open/changes"), path + "?after=t/0@1"}) {
    const auto refused = site.get(target);
    CHECK(problem(*refused, 503).ends_with(" ms are given"));  // why is not for clients
    CHECK(header(*refused, "Retry-After") == "1");
    CHECK(header(*refused, "Daybook-Feed") == "lost");
  }
}

TEST_CASE("changes: each loop is told once, each client what it asked for") {
  Site site;
  const std::string row1 = json_of(here, "2026-01-01", 6);
  const std::string row2 = json_of(elsewhere, "2026-01-01", 7);
  const auto all = site.begin("/v1/views/open/changes");
  const auto one = site.begin("/v1/views/open/changes?site=" + here);
  const auto day = site.begin("/v1/views/open/changes?day=2026-01-02");
  CHECK(all->stream_head.find("Content-Type: text/event-stream\r\n") != std::string::npos);
  CHECK(all->stream_head.find("X-Accel-Buffering: no\r\n") != std::string::npos);
  CHECK(all->stream_head.find("Daybook-Age: ") != std::string::npos);
  CHECK(all->opened->text == "retry: 1000\n\nevent: reset\ndata: {\"reason\":\"start\"}\n\n");
  CHECK(site.api.streams() == 3);
  for (const auto& client : {all, one, day}) client->opened->text.clear();

  site.open.commit(
      {.seq = 1, .nonce = "a", .rows = {{key_of(here, "2026-01-01"), row1}, {key_of(elsewhere, "2026-01-01"), row2}}});
  CHECK(all->opened->text.empty());
  site.loop.run();
  CHECK(all->opened->text == "event: row\ndata: " + row1 + "\n\nevent: row\nid: 3-1-a\ndata: " + row2 + "\n\n");
  CHECK(one->opened->text == "event: row\ndata: " + row1 + "\n\n");
  CHECK(day->opened->text.empty());
  site.open.commit(commit_of(2, "b"));
  site.loop.run();
  site.open.commit(commit_of(3, "c", {{key_of(here, "2026-01-02"), row1}}));
  site.loop.run();
  CHECK(day->opened->text == "event: row\nid: 3-3-c\ndata: " + row1 + "\n\n");
  CHECK(one->opened->pieces.back() == day->opened->pieces.back());  // made once
  site.open.commit(commit_of(4, "d", {}, true));
  site.loop.run();
  for (const auto& client : {all, one, day})
    CHECK(client->opened->text.ends_with("event: reset\nid: 3-4-d\ndata: {\"reason\":\"reload\"}\n\n"));

  day->opened->text.clear();
  site.loop.pass(15s);
  CHECK(day->opened->text == ": keep-alive\nid: 3-4-d\n\n");
  site.open.fresh.feed_is_lost = true;
  site.loop.pass(1s);
  CHECK(day->opened->text.ends_with("event: feed\ndata: {\"feed\":\"lost\"}\n\n"));
  // Who comes now is told, too.
  const auto late = site.begin("/v1/views/open/changes");
  CHECK(late->opened->text.ends_with("\n\nevent: feed\ndata: {\"feed\":\"lost\"}\n\n"));
  late->opened->end();
  for (const auto& client : {all, one, day}) client->opened->end();
  site.loop.pass(1s);
  CHECK(site.api.streams() == 0);
  site.open.commit(commit_of(5, "e"));
  CHECK(!site.loop.has_tasks());  // nobody listens
  problem(*site.get("/v1/views/open/changes?level=1"), 400);
  CHECK(site.get("/v1/views/open/changes", {}, http::Method::head)->block->status == 200);
}

TEST_CASE("Last-Event-ID: goes on behind it, or says that it can't") {
  Site site;
  const auto row = [](int level) { return json_of(here, "2026-01-01", level); };
  const std::string key = key_of(here, "2026-01-01");
  site.open.commit(commit_of(1, "a", {{key, row(1)}}));
  site.open.commit(commit_of(2, "b", {{key, row(2)}, {key, row(3)}}));
  site.open.commit(commit_of(3, "c", {{key, row(4)}}));
  const auto from = [&](const std::string& id, const std::string& query = "") {
    return site.begin("/v1/views/open/changes" + query, {{"Last-Event-ID", id}})->opened;
  };
  const std::string third = "event: row\nid: 3-2-b\ndata: " + row(3) + "\n\n";
  const std::string fourth = "event: row\nid: 3-3-c\ndata: " + row(4) + "\n\n";
  CHECK(from("3-1-a")->text == "retry: 1000\n\nevent: row\nid: 3-1-a\ndata: " + row(2) + "\n\n" + third + fourth);
  CHECK(from("3-2-b", "?site=" + here)->text == "retry: 1000\n\n" + fourth);
  CHECK(from("3-1-a", "?site=" + elsewhere)->text == "retry: 1000\n\n");
  const auto last = from("3-3-c");
  CHECK(last->text == "retry: 1000\n\n");
  for (const char* gone : {"3-1-x", "2-1-a", "3-9-a", "nonsense"})
    CHECK(from(gone)->text == "retry: 1000\n\nevent: reset\nid: 3-3-c\ndata: {\"reason\":\"gone\"}\n\n");
  // A commit that was on its way to the loop when the stream began is not written twice.
  site.open.commit(commit_of(4, "d", {{key, row(5)}}));
  const auto begun = from("3-3-c");
  const std::string fifth = "event: row\nid: 3-4-d\ndata: " + row(5) + "\n\n";
  CHECK(begun->text == "retry: 1000\n\n" + fifth);
  site.loop.run();
  CHECK(begun->text == "retry: 1000\n\n" + fifth);
  CHECK(last->text == "retry: 1000\n\n" + fifth);
  // Who was cut off within a commit that a failover took away gets all rows of the one in its place.
  const ChangeSetPtr lost =
      std::exchange(site.open.history[1],
                    std::make_shared<ChangeSet>(ChangeSet{3, 2, "other", false, {{key, row(7)}, {key, row(8)}}}));
  const std::string cut = *event_texts(lost, FeedPlace{3, 1, "a"}).rows[0];
  const std::size_t id = cut.find("id: ") + 4;
  CHECK(from(cut.substr(id, cut.find('\n', id) - id))->text.find(row(7)) != std::string::npos);
  // After a failover numbers begin anew.
  site.open.commit(commit_of(2, "y", {}, true));
  site.open.commit(commit_of(3, "z", {{key, row(6)}}));
  site.loop.run();
  CHECK(begun->text.ends_with("event: row\nid: 3-3-z\ndata: " + row(6) + "\n\n"));
}

TEST_CASE("a client that missed much goes on with a reset, not with more than its queue holds") {
  Site site;
  const auto row = [](const std::string& where, std::size_t size) {
    return ChangedRow{key_of(where, "2026-01-01"), "\"" + std::string(size - 2, 'x') + "\""};
  };
  site.open.commit(commit_of(1, "a"));
  for (int seq = 2; seq <= 5; ++seq)
    site.open.commit(commit_of(seq, "b", {row(here, 130'000), row(elsewhere, 10'000)}));
  const auto from = [&](const std::string& id, const std::string& query) {
    return site.begin("/v1/views/open/changes" + query, {{"Last-Event-ID", id}})->opened->text;
  };
  CHECK(from("3-1-a", "") == "retry: 1000\n\nevent: reset\nid: 3-5-b\ndata: {\"reason\":\"gone\"}\n\n");
  CHECK(from("3-2-b", "").size() > 3 * 140'000);
  CHECK(from("3-1-a", "?site=" + elsewhere).size() > 4 * 10'000);  // what the filter leaves counts
  // Nor is more than so much looked through.
  const ChangedRow other = row(elsewhere, 10);
  for (int seq = 6; seq <= 15; ++seq) site.open.commit(commit_of(seq, "c", std::vector<ChangedRow>(2'000, other)));
  CHECK(from("3-6-c", "?site=" + here) == "retry: 1000\n\n");
  CHECK(from("3-4-b", "?site=" + here).find("event: reset\nid: 3-15-c\n") != std::string::npos);
}

TEST_CASE("a client that does not keep up gets a reset in place of what it has no room for") {
  Site site;
  const auto all = site.begin("/v1/views/open/changes")->opened;
  const auto one = site.begin("/v1/views/open/changes?site=" + here)->opened;
  const auto day = site.begin("/v1/views/open/changes?day=2026-01-01")->opened;
  const auto quick = site.begin("/v1/views/open/changes")->opened;
  const auto took = [](test::FakeStream& stream) {
    stream.text.clear();
    stream.unread = 0;
  };
  const ChangedRow row{key_of(here, "2026-01-01"), "\"" + std::string(100'000, 'x') + "\""};
  for (const auto& stream : {all, one, day}) took(*stream);
  for (int seq = 1; seq <= 64; ++seq) {  // of one look at the feed: no client takes anything in between
    site.open.commit(commit_of(seq, "n", {row}));
    took(*quick);
    site.loop.run();
  }
  for (const auto& stream : {all, one, day}) {
    CHECK(stream->text.size() > 400'000);
    CHECK(stream->text.size() < 600'000);
    CHECK(stream->text.find("event: reset") == std::string::npos);
    stream->text.clear();
  }
  CHECK(quick->text.ends_with("id: 3-64-n\ndata: " + row.json + "\n\n"));
  // Nor is it told a place that it does not have.
  site.loop.pass(15s);
  for (const auto& stream : {all, one, day}) CHECK(stream->text.empty());
  took(*all);
  site.loop.pass(1s);
  CHECK(all->text == "event: reset\nid: 3-64-n\ndata: {\"reason\":\"gone\"}\n\n");
  // The next commit tells it, too; what follows comes as ever.
  took(*one);
  site.open.commit(commit_of(65, "n", {row}));
  site.loop.run();
  CHECK(one->text == "event: reset\nid: 3-65-n\ndata: {\"reason\":\"gone\"}\n\n");
  took(*one);
  site.open.commit(commit_of(66, "n", {row}));
  site.loop.run();
  CHECK(one->text == "event: row\nid: 3-66-n\ndata: " + row.json + "\n\n");
  CHECK(day->text.empty());
  // One commit alone that is too large.
  took(*quick);
  site.open.commit(commit_of(67, "n", std::vector<ChangedRow>(6, row)));
  site.loop.run();
  CHECK(quick->text == "event: reset\nid: 3-67-n\ndata: {\"reason\":\"gone\"}\n\n");
  // A client that left is not waited for.
  day->end();
  day->unread = 0;
  site.loop.pass(1s);
  CHECK(site.api.streams() == 3);
}

TEST_CASE("changes are limited by claims") {
  Site site;
  site.who.scopes = {"views:read"};
  site.who.claims["sites"] = {here};
  const auto mine = site.begin("/v1/views/own/changes")->opened;
  const auto forbidden = site.begin("/v1/views/own/changes?site=" + elsewhere)->opened;
  mine->text.clear();
  forbidden->text.clear();
  site.own.commit(
      commit_of(1, "a", {{key_of(elsewhere, "2026-01-01"), "{\"secret\":1}"}, {key_of(here, "2026-01-01"), "{}"}}));
  site.loop.run();
  CHECK(mine->text == "event: row\nid: 3-1-a\ndata: {}\n\n");
  CHECK(forbidden->text.empty());
  // Nor from what was missed.
  site.own.commit(commit_of(2, "b", {{key_of(elsewhere, "2026-01-01"), "{\"secret\":1}"}}));
  const auto missed = site.begin("/v1/views/own/changes", {{"Last-Event-ID", "3-1-a"}})->opened;
  CHECK(missed->text == "retry: 1000\n\n");
}

TEST_CASE("after stop() nothing is posted to a loop, and nobody waits") {
  Site site;
  const auto stream = site.begin("/v1/views/open/changes");
  const std::string path = "/v1/views/open?after=t/0@";
  const auto waits = site.begin(path + "99&wait=10000");
  const auto knows = site.begin(path + "50&wait=10000");
  site.open.applied[{"t", 0}] = 60;  // just now: not told yet
  site.api.stop();
  site.loop.run();
  CHECK(stream->opened->has_ended());
  CHECK(problem(*waits, 503) == "this reader is stopping: ask again");
  CHECK(header(*waits, "Retry-After") == "1");
  site.open.answer_pending();
  site.loop.run();
  REQUIRE(knows->answers == 1);
  CHECK(knows->block->status == 200);
  site.open.commit(commit_of(1, "a"));
  CHECK(!site.loop.has_tasks());
  CHECK(site.begin("/v1/views/open/changes")->opened->has_ended());
  problem(*site.get(path + "99"), 503);
  CHECK(site.api.streams() == 0);
}

TEST_CASE("another API takes over: streams end, those who wait are still told") {
  Site site;
  const auto stream = site.begin("/v1/views/open/changes");
  const std::string path = "/v1/views/open/" + here + "/2026-01-01?wait=1000&after=t/0@";
  const auto waits = site.begin(path + "20");
  const auto late = site.begin(path + "30");
  site.api.end_streams();
  site.loop.run();
  CHECK(stream->opened->has_ended());
  CHECK(site.api.streams() == 0);
  CHECK(site.begin("/v1/views/open/changes")->opened->has_ended());
  CHECK(waits->answers == 0);
  site.open.applied[{"t", 0}] = 21;
  site.open.commit(commit_of(1, "a"));
  site.loop.run();
  REQUIRE(waits->answers == 1);
  CHECK(waits->block->status == 200);
  // What is known when the time is over counts, though nobody told of it.
  site.open.applied[{"t", 0}] = 31;
  site.loop.pass(1s);
  REQUIRE(late->answers == 1);
  CHECK(late->block->status == 200);
}

TEST_CASE("the list of views") {
  Site site;
  site.open.fresh = {12ms, false, 77, ""};
  const Json views = Json::parse(site.get("/v1/views")->block->body)["views"];
  REQUIRE(views.size() == 2);
  CHECK(views[0]["name"] == "open");
  CHECK(views[0]["kind"] == "summary");
  CHECK(views[0]["key"] ==
        Json::parse(R"([{"name":"site","type":"uuid"},{"name":"day","type":"date","time_zone":"UTC"}])"));
  CHECK(views[0]["columns"] == Json::parse(R"([{"name":"level","type":"int","value":"balance"}])"));
  CHECK(views[0]["links"]["row"] == "/v1/views/open/{site}/{day}");
  CHECK(views[0]["freshness"] == Json::parse(R"({"age_ms":12,"feed":"following","generation":3,"seq":77})"));
}

// Draft 7 of JSON Schema, of which 3.1's own is a superset in what we use: what a document of OpenAPI 3.1 must have.
TEST_CASE("the description of the API, and answers held against it") {
  Site site;
  const auto answer = site.get("/openapi.json");
  const Json document = Json::parse(answer->block->body);
  const Json rules = Json::parse(R"({
    "type": "object", "required": ["openapi", "info", "paths", "components"],
    "properties": {
      "openapi": {"const": "3.1.0"},
      "info": {"type": "object", "required": ["title", "version"]},
      "paths": {"type": "object", "additionalProperties": false, "patternProperties": {"^/": {
        "type": "object", "required": ["get"], "additionalProperties": false, "properties": {"get": {
          "type": "object", "required": ["operationId", "responses"],
          "properties": {
            "parameters": {"type": "array", "items": {"oneOf": [
              {"required": ["$ref"]},
              {"required": ["name", "in", "schema"], "properties": {"in": {"enum": ["path", "query", "header"]}}, "if": {"properties": {"in": {"const": "path"}}},
               "then": {"required": ["required"], "properties": {"required": {"const": true}}}}]}},
            "responses": {"type": "object", "minProperties": 2, "additionalProperties": false, "patternProperties": {"^[1-5][0-9][0-9]$": {
              "oneOf": [{"required": ["$ref"]}, {"required": ["description"]}]}}}}}}}}},
      "components": {"type": "object", "additionalProperties": false,
        "properties": {"schemas": {}, "parameters": {}, "headers": {}, "responses": {}, "securitySchemes": {}}}}})");
  const publishing::JsonSchema schema{rules};
  for (const publishing::Refusal& refusal : schema.refusals(document)) MESSAGE(refusal.pointer, ": ", refusal.reason);
  CHECK(schema.accepts(document));

  std::set<std::string> ids;
  for (const auto& [path, item] : document["paths"].items()) {
    CHECK(ids.insert(item["get"]["operationId"]).second);
    std::set<std::string> in_path;
    for (const Json& parameter : item["get"].value("parameters", Json::array()))
      if (parameter.value("in", "") == "path") in_path.insert(parameter["name"]);
    for (const std::string& name : in_path) CHECK(path.find("{" + name + "}") != std::string::npos);
    CHECK(static_cast<std::size_t>(std::count(path.begin(), path.end(), '{')) == in_path.size());
  }
  for (const char* path : {"/v1/views", "/v1/views/open", "/v1/views/open/changes", "/v1/views/open/{site}/{day}",
                           "/open", "/open/{site}/{day}"})
    CHECK_MESSAGE(document["paths"].contains(path), path);
  const Json flat = document.flatten();
  for (const auto& [pointer, value] : flat.items()) {
    if (!pointer.ends_with("/$ref")) continue;
    CHECK_MESSAGE(document.contains(Json::json_pointer(value.get<std::string>().substr(1))), value.get<std::string>());
  }

  // Each answer has a status that is described, and the body that the description says.
  const auto conforms = [&](const std::string& path, const std::string& target) {
    const auto got = site.get(target);
    const std::string status = std::to_string(got->block->status);
    Json response = document["paths"][path]["get"]["responses"];
    REQUIRE_MESSAGE(response.contains(status), target, " ", status);
    response = response[status];
    if (response.contains("$ref"))
      response = document[Json::json_pointer(response["$ref"].get<std::string>().substr(1))];
    std::string type = header(*got, "Content-Type");
    REQUIRE_MESSAGE(response["content"].contains(type), target, " ", type);
    Json body_schema = response["content"][type]["schema"];
    body_schema["components"] = document["components"];
    if (body_schema.contains("$ref"))
      body_schema = {{"allOf", {{{"$ref", body_schema["$ref"]}}}}, {"components", document["components"]}};
    const publishing::JsonSchema expected{body_schema};
    CHECK_MESSAGE(expected.accepts(Json::parse(got->block->body)), target, got->block->body);
  };
  site.open.page = {{json_of(here, "2026-01-01", 5)}, {"2026-01-01", here}};
  const std::string row = "/v1/views/open/{site}/{day}";
  conforms(row, "/v1/views/open/" + here + "/2026-01-01");
  conforms("/open/{site}/{day}", "/open/" + here + "/2026-01-01");
  conforms(row, "/v1/views/open/" + here + "/2020-01-01");
  conforms(row, "/v1/views/open/x/2020-01-01");
  conforms(row, "/v1/views/open/" + here + "/2026-01-01?after=t/0@99&wait=0");
  conforms("/v1/views/open", "/v1/views/open?limit=1");
  conforms("/open", "/open");
  conforms("/v1/views/open", "/v1/views/open?limit=0");
  conforms("/v1/views", "/v1/views");
  site.open.unavailable = Unavailable{};
  conforms("/v1/views/open", "/v1/views/open");
}
