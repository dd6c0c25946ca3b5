// Streams of changes: what each client gets, goes on with, and does not see.
#include "tests/reader/api_site.h"

using namespace daybook;
using namespace daybook::reader;
using namespace daybook::test;

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
  const auto filtered = from("3-3-c", "?site=" + here);
  const std::string fifth = "event: row\nid: 3-4-d\ndata: " + row(5) + "\n\n";
  CHECK(begun->text == "retry: 1000\n\n" + fifth);
  CHECK(filtered->text == begun->text);
  site.loop.run();
  CHECK(begun->text == "retry: 1000\n\n" + fifth);
  CHECK(filtered->text == begun->text);
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
  const auto took = [](FakeStream& stream) {
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

TEST_CASE("a stream ends within 5 s when its token is not good any more, or is for something else") {
  Site site;
  site.who = {"somebody", {"views:read"}, {{"sites", {here}}}};
  std::map<std::string, std::optional<Identity>> holders;
  site.who_is = [&](std::string_view authorization) {
    const std::optional<Identity>& now = holders.at(std::string(authorization));
    return now ? std::make_shared<Identity>(*now) : nullptr;
  };
  std::map<std::string, std::shared_ptr<FakeStream>> streams;
  for (const char* token : {"stays", "gone", "other scopes", "other claims"}) {
    holders[token] = site.who;
    streams[token] = site.begin("/v1/views/own/changes", {{"Authorization", token}})->opened;
    site.loop.pass(300ms);
  }
  const auto without = site.begin("/v1/views/own/changes")->opened;  // access is off
  site.loop.pass(60s);
  CHECK(site.api.streams() == 5);
  holders["gone"].reset();
  holders["other scopes"]->scopes = {"views:read:open"};
  holders["other claims"]->claims["sites"] = {elsewhere};
  site.loop.pass(5s);
  for (const auto& [token, stream] : streams) {
    CAPTURE(token);
    CHECK(stream->has_ended() == (token != "stays"));
  }
  CHECK_FALSE(without->has_ended());
  CHECK(site.api.streams() == 2);
}

TEST_CASE("more streams than the reader takes are told to come later") {
  Site site;
  std::vector<std::shared_ptr<FakeStream>> streams;
  for (int i = 0; i < 16; ++i)
    streams.push_back(site.begin(i % 2 == 0 ? "/v1/views/open/changes" : "/v1/views/own/changes")->opened);
  const auto refused = site.get("/v1/views/open/changes");
  CHECK(problem(*refused, 503).starts_with("this reader has 16 streams of changes"));
  CHECK(header(*refused, "Retry-After") == "5");
  CHECK(site.served.back() == "open changes 503");
  CHECK(site.get("/v1/views/open/changes", {}, http::Method::head)->block->status == 200);  // which begins none
  streams.front()->end();
  site.loop.pass(1s);
  CHECK(site.begin("/v1/views/open/changes")->opened != nullptr);
}
