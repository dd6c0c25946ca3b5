// One row as the reader's API answers it: from memory or loaded, in its formats, and what is wrong with a request.
#include "tests/reader/api_site.h"

using namespace daybook;
using namespace daybook::reader;
using namespace daybook::test;

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

TEST_CASE("the log's line about a slow request: what was asked for, and where the time went") {
  Site site;
  const std::string path = "/v1/views/open/" + here + "/2026-01-01";
  const auto line = [&](const std::string& target, const Headers& headers = {}) {
    site.get(target, headers);
    return site.slow;
  };
  const auto row = [&](const std::string& what, const std::string& rest) {
    return "slow request: view=open route=row site=" + here + " day=2026-01-01 path=" + what +
           " status=200 duration_ms=1500" + rest;
  };
  const std::string hit = " query_duration_ms=0 cache_hit=true triggered_refresh=false cache_age_seconds=";
  site.open.fresh.age = 5ms;
  CHECK(line(path) == row(path, hit + "0.015"));  // as Daybook-Age says it
  CHECK(line("/open/" + here + "/2026-01-01", {{"Accept", "text/csv"}}) ==
        row("/open/" + here + "/2026-01-01", hit + "0.015"));
  // Loaded for this request, and with one that was there before it.
  site.open.cold.insert(key_of(here, "2026-01-01"));
  CHECK(line(path) ==
        row(path, " query_duration_ms=40 cache_hit=false triggered_refresh=true cache_age_seconds=0.015"));
  site.open.cost = {39'000'001ns, false};
  CHECK(line(path) ==
        row(path, " query_duration_ms=40 cache_hit=false triggered_refresh=false cache_age_seconds=0.015"));
  // It came while this request was on its way.
  site.open.cost = {};
  CHECK(line(path) == row(path, hit + "0.015"));
  site.open.unavailable = Unavailable{};
  CHECK(
      line(path).ends_with(" status=503 duration_ms=1500 query_duration_ms=0 cache_hit=false triggered_refresh=false "
                           "cache_age_seconds=0.015"));
  site.open.unavailable.reset();

  // Lists: the columns that have one value.
  site.open.cost = {40ms, true};
  CHECK(line("/v1/views/open?site=" + here + "&day.from=2026-01-01&limit=2")
            .starts_with("slow request: view=open route=list site=" + here +
                         " path=/v1/views/open status=200 duration_ms=1500 query_duration_ms=40 cache_hit=false "
                         "triggered_refresh=true cache_age_seconds="));
  CHECK(line("/v1/views/open?site=" + here + "&site=" + elsewhere)
            .starts_with("slow request: view=open route=list path="));
  // What is no key is not made one.
  CHECK(line("/v1/views/open/" + here + "/x")
            .starts_with("slow request: view=open route=row path=/v1/views/open/" + here + "/x status=400 "));
  CHECK(line("/nothing").starts_with("slow request: view= route=none path=/nothing status=404 "));
}

TEST_CASE("text in the log's line is in quotes") {
  const DefinitionOrMistakes made = read_definition(R"({"view": "words", "kind": "summary",
    "key": [{"name": "word", "type": "text"}, {"name": "number", "type": "int"}],
    "columns": [{"name": "level", "type": "int", "value": "sum"}],
    "sources": [{"topic": "t", "event": "e", "key": {"word": "/data/a", "number": "/data/b"}, "add": {"level": 1}}]})");
  REQUIRE(std::holds_alternative<ViewDefinition>(made));
  const ViewDefinition& words = std::get<ViewDefinition>(made);
  std::string key;
  REQUIRE(append_value(key, KeyType::text, "a b=\n\"\xc3\xa4"));
  REQUIRE(append_value(key, KeyType::integer, "-7"));
  CHECK(slow_request({.view = &words, .route = "row", .status = 200, .path = "/p", .key = key}, 1ms) ==
        "slow request: view=words route=row word=\"a b=\\n\\\"\\u00e4\" number=-7 path=/p status=200 duration_ms=1 "
        "query_duration_ms=0 cache_hit=false triggered_refresh=false cache_age_seconds=0.000");
}
