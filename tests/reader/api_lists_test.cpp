// Lists, pages, and what those see who may not see all.
#include "tests/reader/api_site.h"

using namespace daybook;
using namespace daybook::reader;
using namespace daybook::test;

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
  CHECK(site.open.asked.back().after == reader::Place{"2026-01-01", here});
  CHECK(header(*last, "Link").empty());
  CHECK(Json::parse(last->block->body)["next"].is_null());
  CHECK(header(*last, "Cache-Control") == "public, max-age=1");
  CHECK(std::stoi(header(*last, "Daybook-Age")) < 10'000);
  problem(*site.get("/v1/views/open?cursor=" + body["next"].get<std::string>()), 400);
}

TEST_CASE("a list is as old as memory was when it came, and as it says itself") {
  Site site;
  const auto age = [](const FakeConnection& answer) { return std::stoi(header(answer, "Daybook-Age")); };
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
