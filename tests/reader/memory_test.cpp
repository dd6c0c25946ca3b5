// What a reader keeps in memory, piece by piece.
#include <doctest/doctest.h>

#include "core/definition_reader.h"
#include "core/row_key.h"
#include "reader/cache.h"
#include "reader/pages.h"
#include "reader/recent.h"

using namespace daybook;
using namespace daybook::reader;

namespace {

ViewDefinition summary() {
  return load_definitions({DAYBOOK_SOURCE_DIR "/schemas/bloodbank/views/dashboard_daily_summary.json"}).front();
}

const std::string facility = "00000000-0000-4000-8000-00000000000";

std::string key_of(int entity, const char* date) {
  std::string key;
  row_key::append_uuid(key, facility + std::to_string(entity));
  row_key::append_date(key, *parse_date(date));
  return key;
}

std::string json_of(int entity, const char* date, int stock) {
  return R"({"facility_id":")" + facility + std::to_string(entity) + R"(","date":")" + date + R"(","total_stock":)" +
         std::to_string(stock) + "}";
}

const AnswerStyle style{"v", "private, max-age=5"};

// A cache with a commit `seq` in it.
struct Fixture {
  Frontier frontier;
  Cache cache{{true, true, 1 << 20, 4}, frontier, [](const ChangedRow& row) {
                return row.gone ? make_absent(style) : make_row(style, HotRow::Kind::row, row.json);
              }};

  HotRowPtr loaded(const std::string& key, std::int64_t seq, HotRowPtr row) {
    const Cache::Begun begun = cache.begin_load(key);
    REQUIRE(begun.present == nullptr);
    const auto finished = cache.finish_load(key, {seq, "", std::move(row)});
    REQUIRE(std::holds_alternative<HotRowPtr>(finished));
    return std::get<HotRowPtr>(finished);
  }
  void apply(std::int64_t seq, Change change) {
    change.seq = seq;
    frontier.rise(seq, "");
    cache.apply(change);
  }
};

HotRowPtr row(const std::string& json) { return make_row(style, HotRow::Kind::row, json); }
HotRowPtr carried(const std::string& json) { return make_row(style, HotRow::Kind::carried, json); }

}  // namespace

TEST_CASE("a row is a ready answer, with the same tag for the same bytes") {
  const HotRowPtr a = row(json_of(1, "2026-01-31", 4));
  CHECK(a->status == 200);
  CHECK(a->body == a->json());
  CHECK(a->etag().size() == 34);
  const std::string etag(a->etag());
  const std::string common =
      "Cache-Control: private, max-age=5\r\nX-Content-Type-Options: nosniff\r\nETag: " + etag + "\r\n";
  CHECK(a->whole_head() == "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n" + common +
                               "Content-Length: " + std::to_string(a->json().size()) + "\r\n");
  CHECK(a->not_modified()->head == "HTTP/1.1 304 Not Modified\r\n" + common);
  CHECK(a->not_modified()->body.empty());
  CHECK(row(json_of(1, "2026-01-31", 4))->etag() == a->etag());
  CHECK(row(json_of(1, "2026-01-31", 5))->etag() != a->etag());
  // Never to change: other readers and browsers hold it.
  CHECK(etag_of("{}") == "\"bf9720bbf1a8553227ba73fd3c31fd94\"");

  const HotRowPtr none = make_absent(style);
  CHECK(none->status == 404);
  CHECK(none->head.find("Content-Type: application/problem+json\r\n") != std::string::npos);
  CHECK(none->body.find("\"status\":404") != std::string::npos);
  CHECK(none->not_modified() == nullptr);
}

TEST_CASE("feed entries are read") {
  const ViewDefinition view = summary();
  SUBCASE("rows, byte for byte") {
    Change change;
    read_change(view, "rows", "[" + json_of(1, "2026-01-31", 4) + "," + json_of(2, "0001-01-01", -1) + "]", change);
    CHECK(change.kind == Change::Kind::rows);
    REQUIRE(change.rows.size() == 2);
    CHECK(change.rows[0].key == key_of(1, "2026-01-31"));
    CHECK(change.rows[0].json == json_of(1, "2026-01-31", 4));
    CHECK(change.rows[1].key == key_of(2, "0001-01-01"));
    CHECK(key_of_row(view, change.rows[1].json) == change.rows[1].key);
  }
  SUBCASE("rows that are gone, by their keys") {
    ViewDefinition states;
    states.kind = ViewKind::latest;
    states.key = {{"name", KeyType::text, ""}, {"n", KeyType::integer, ""}, {"at", KeyType::timestamp, ""}};
    Change change;
    read_change(states, "rows",
                R"([["a\"b",-5,"2026-11-23T10:00:00.500000Z"],{"name":"x","n":7,"at":"2026-11-23T10:00:00.000001Z"}])",
                change);
    REQUIRE(change.rows.size() == 2);
    CHECK(change.rows[0].gone);
    CHECK(key_texts(states, change.rows[0].key) ==
          std::vector<std::string>{"a\"b", "-5", "2026-11-23T10:00:00.500000Z"});
    CHECK(change.rows[0].json == R"({"name":"a\"b","n":-5,"at":"2026-11-23T10:00:00.500000Z"})");
    CHECK(!change.rows[1].gone);
    CHECK(key_texts(states, change.rows[1].key).back() == "2026-11-23T10:00:00.000001Z");
  }
  SUBCASE("keys and ranges") {
    Change change;
    read_change(view, "keys",
                R"({"keys":[[")" + facility + R"(1","2026-01-31"]],"ranges":[[")" + facility +
                    R"(1","2026-01-01","2026-02-01"],[")" + facility + R"(2","2026-01-01",null]]})",
                change);
    CHECK(change.keys == std::vector<std::string>{key_of(1, "2026-01-31")});
    REQUIRE(change.ranges.size() == 2);
    CHECK(change.ranges[0].entity == std::string(split_key(true, key_of(1, "2026-01-31")).entity));
    CHECK(change.ranges[0].from == *parse_date("2026-01-01") - postgres_epoch);
    CHECK(change.ranges[0].until == *parse_date("2026-02-01") - postgres_epoch);
    CHECK(change.ranges[1].until == std::nullopt);
  }
  SUBCASE("what is none is refused") {
    for (const auto& [kind, body] : std::vector<std::pair<std::string, std::string>>{
             {"rows", "[{}]"},
             {"rows", "["},
             {"rows", R"([{"facility_id":"x","date":"2026-01-01"}])"},
             {"keys", R"({"keys":[["00000000-0000-4000-8000-000000000001"]],"ranges":[]})"},
             {"other", ""}}) {
      CAPTURE(kind);
      CAPTURE(body);
      Change change;
      CHECK_THROWS(read_change(view, kind, body, change));
    }
  }
}

TEST_CASE("keys of every type go to text and back") {
  ViewDefinition view = summary();
  view.key = {{"n", KeyType::integer, ""}, {"t", KeyType::text, ""}, {"d", KeyType::date, "UTC"}};
  std::string key;
  row_key::append_integer(key, -5);
  row_key::append_text(key, "a\"\\\n");
  row_key::append_date(key, *parse_date("2024-02-29"));
  CHECK(key_texts(view, key) == std::vector<std::string>{"-5", "a\"\\\n", "2024-02-29"});
  CHECK(key_of_row(view, R"({"n":-5,"t":"a\"\\\n","d":"2024-02-29","x":1})") == key);
  CHECK_THROWS(key_texts(view, key + "x"));
  CHECK_THROWS(key_texts(view, key.substr(0, key.size() - 1)));
}

TEST_CASE("a row that goes is absent at once, in memory and for a load under way") {
  Fixture f;
  const std::string key = key_of(1, "2026-01-05"), other = key_of(2, "2026-01-05");
  f.loaded(key, 1, row(json_of(1, "2026-01-05", 4)));
  REQUIRE(f.cache.begin_load(other).present == nullptr);
  Change change;
  change.rows = {{key, "{}", true}, {other, "{}", true}};
  f.apply(2, change);
  REQUIRE(f.cache.find(key) != nullptr);
  CHECK(f.cache.find(key)->kind == HotRow::Kind::absent);
  const auto finished = f.cache.finish_load(other, {1, "", row(json_of(2, "2026-01-05", 4))});
  REQUIRE(std::holds_alternative<HotRowPtr>(finished));
  CHECK(std::get<HotRowPtr>(finished)->kind == HotRow::Kind::absent);
}

TEST_CASE("races of loads and changes") {
  Fixture f;
  const std::string key = key_of(1, "2026-01-05");
  const std::string earlier = key_of(1, "2026-01-03");

  SUBCASE("a miss loaded before commit 2 that arrives after its entry") {
    f.cache.begin_load(key);
    Change change;
    change.rows = {{key, "new"}};
    f.apply(2, change);
    const auto finished = f.cache.finish_load(key, {1, "", row("old")});
    CHECK(std::get<HotRowPtr>(finished)->json() == "new");
    CHECK(f.cache.find(key)->json() == "new");
  }
  SUBCASE("the same without values: loaded again") {
    f.cache.begin_load(key);
    Change change;
    change.keys = {key};
    f.apply(2, change);
    CHECK(std::get<LoadAgain>(f.cache.finish_load(key, {1, "", row("old")})).floor == 2);
    CHECK(f.cache.find(key) == nullptr);
    CHECK(std::get<HotRowPtr>(f.cache.finish_load(key, {2, "", row("new")}))->json() == "new");
  }
  SUBCASE("a replica that is behind the feed") {
    f.apply(3, {});
    CHECK(f.cache.begin_load(key).floor == 3);
    CHECK(std::holds_alternative<LoadAgain>(f.cache.finish_load(key, {2, "", row("old")})));
    CHECK(std::holds_alternative<HotRowPtr>(f.cache.finish_load(key, {3, "", row("new")})));
  }
  SUBCASE("a replica that is behind what the primary showed") {
    f.loaded(earlier, 9, row("x"));
    CHECK(f.cache.begin_load(key).floor == 9);
    CHECK(std::holds_alternative<LoadAgain>(f.cache.finish_load(key, {8, "", row("old")})));
  }
  SUBCASE("an entry that the answer contains already is passed over") {
    f.loaded(key, 5, row("five"));
    Change change;
    change.rows = {{key, "four"}};
    f.apply(4, change);
    CHECK(f.cache.find(key)->json() == "five");
  }
  SUBCASE("a carried answer goes when its own day gets a row, or an earlier one changes") {
    std::int64_t seq = 10;
    for (const std::string& changed : {key, earlier}) {
      f.cache.clear();
      f.loaded(key, seq, carried("c"));
      Change change;
      change.rows = {{changed, "row"}};
      f.apply(++seq, change);
      if (changed == key) {
        CHECK(f.cache.find(key)->json() == "row");
        CHECK(f.cache.find(key)->kind == HotRow::Kind::row);
      } else {
        CHECK(f.cache.find(key) == nullptr);
      }
    }
  }
  SUBCASE("a carried answer that is loaded while an earlier day changes") {
    f.cache.begin_load(key);
    Change change;
    change.rows = {{earlier, "row"}};
    f.apply(2, change);
    CHECK(std::holds_alternative<LoadAgain>(f.cache.finish_load(key, {1, "", carried("c")})));
    // A row of its own is not touched by that: the feed would have named it.
    f.cache.abandon_load(key);
    const std::string other = key_of(2, "2026-01-05");
    f.cache.begin_load(other);
    change.rows = {{key_of(2, "2026-01-03"), "row"}};
    f.apply(3, change);
    CHECK(std::holds_alternative<HotRowPtr>(f.cache.finish_load(other, {2, "", row("r")})));
  }
  SUBCASE("a range drops the rows inside it, and what is carried behind it") {
    const char* days[] = {"2026-01-02", "2026-01-03", "2026-01-04", "2026-01-05", "2026-01-06"};
    for (const char* day : days) f.loaded(key_of(1, day), 1, row(day));
    f.loaded(key_of(1, "2026-01-07"), 1, carried("c"));
    Change change;
    change.ranges = {{std::string(split_key(true, key).entity), *parse_date("2026-01-02") - postgres_epoch,
                      *parse_date("2026-01-05") - postgres_epoch}};
    f.apply(2, change);
    CHECK(f.cache.find(key_of(1, days[0])) != nullptr);
    CHECK(f.cache.find(key_of(1, days[1])) == nullptr);
    CHECK(f.cache.find(key_of(1, days[2])) == nullptr);
    CHECK(f.cache.find(key_of(1, days[3])) != nullptr);
    CHECK(f.cache.find(key_of(1, days[4])) != nullptr);
    CHECK(f.cache.find(key_of(1, "2026-01-07")) == nullptr);
  }
  SUBCASE("a key that is invalidated: its answer, what is carried from it, and loads of those") {
    const std::string later = key_of(1, "2026-01-06"), load = key_of(1, "2026-01-07"), last = key_of(1, "2026-01-08");
    f.loaded(earlier, 1, row("earlier"));
    f.loaded(key, 1, row("r"));
    f.loaded(later, 1, carried("c"));
    f.loaded(last, 1, row("last"));
    f.cache.begin_load(load);
    f.cache.begin_bulk();
    CHECK(f.cache.invalidate(key));
    CHECK(f.cache.find(earlier) != nullptr);
    CHECK(f.cache.find(key) == nullptr);
    CHECK(f.cache.find(later) == nullptr);
    CHECK(f.cache.find(last) != nullptr);
    CHECK_FALSE(f.cache.offer(key, {1, "", row("from before")}));
    CHECK(std::holds_alternative<LoadAgain>(f.cache.finish_load(load, {1, "", carried("from before")})));
    CHECK(std::get<HotRowPtr>(f.cache.finish_load(load, {1, "", carried("c2")}))->json() == "c2");
    CHECK_FALSE(f.cache.invalidate(key));
  }
  SUBCASE("all is cleared under a load") {
    f.cache.begin_load(key);
    f.frontier.begin_epoch();
    f.cache.clear();
    CHECK(std::holds_alternative<LoadAgain>(f.cache.finish_load(key, {1, "", row("from before")})));
    CHECK(std::holds_alternative<HotRowPtr>(f.cache.finish_load(key, {1, "", row("new")})));
  }
  SUBCASE("the row of a change that is older than what was shown is not taken") {
    f.loaded(earlier, 5, row("x"));
    f.cache.begin_load(key);
    Change change;
    change.rows = {{key, "four"}};
    f.apply(4, change);
    CHECK(std::holds_alternative<LoadAgain>(f.cache.finish_load(key, {3, "", row("three")})));
  }
  SUBCASE("memory begins anew under a load") {
    f.cache.begin_load(key);
    f.frontier.begin_anew(1, "", true);
    f.cache.clear();
    CHECK(std::holds_alternative<LoadAgain>(f.cache.finish_load(key, {50, "", row("of the former past")})));
    CHECK(f.frontier.now().floor == 1);
    CHECK(std::holds_alternative<HotRowPtr>(f.cache.finish_load(key, {1, "", row("new")})));
  }
}

TEST_CASE("loads are measured by the feed's marks, now or when it comes there") {
  Frontier frontier;
  frontier.begin_anew(10, "n10", false);
  CHECK(frontier.rise(11, "n11"));
  CHECK(frontier.rise_in(1, 11, "n11"));
  CHECK_FALSE(frontier.rise_in(1, 11, "other"));
  CHECK_FALSE(frontier.rise_in(1, 9, "n9"));  // nobody can tell
  CHECK_FALSE(frontier.rise_in(0, 11, "n11"));
  CHECK_FALSE(frontier.is_ahead(11));
  CHECK(frontier.is_ahead(12));
  CHECK(frontier.rise_in(1, 13, "n13"));
  CHECK_FALSE(frontier.rise_in(1, 13, "other"));
  CHECK(frontier.now().floor == 13);
  CHECK(frontier.rise(12, "n12"));
  CHECK_FALSE(frontier.rise(13, "other"));
  CHECK_FALSE(frontier.rise(13, "other"));  // until it begins anew
  // The worker's reset at 12: what was shown of 13 is still to be compared.
  frontier.begin_anew(12, "n12", false);
  CHECK(frontier.now().floor == 13);
  CHECK_FALSE(frontier.rise(13, "other"));
  frontier.begin_anew(12, "n12", true);
  CHECK(frontier.now().floor == 12);
  CHECK(frontier.rise(13, "other"));
  for (int seq = 14; seq < 10'000; ++seq) CHECK(frontier.rise(seq, "n"));
  CHECK(frontier.rise_in(3, 9'999, "n"));
  CHECK_FALSE(frontier.rise_in(3, 13, "other"));  // not remembered
}

TEST_CASE("the budget holds, and what is asked for stays") {
  Frontier frontier;
  constexpr std::size_t limit = 200'000;
  Cache cache({true, true, limit, 4}, frontier,
              [](const ChangedRow& row) { return make_row(style, HotRow::Kind::row, row.json); });
  const auto put = [&](int entity, int day, const HotRowPtr& row) {
    std::string key;
    row_key::append_integer(key, entity);
    row_key::append_date(key, postgres_epoch + day);
    cache.begin_load(key);
    cache.finish_load(key, {1, "", row});
    return key;
  };
  std::vector<std::string> wanted;
  for (int i = 0; i < 20; ++i) wanted.push_back(put(i, 0, row("wanted")));
  const HotRowPtr none = make_absent(style);
  for (int i = 0; i < 20'000; ++i) {
    put(1000 + i % 977, i, i % 3 == 0 ? none : row(std::string(200, 'x')));
    CAPTURE(i);
    CAPTURE(cache.figures().entries);
    CAPTURE(cache.figures().evictions);
    for (const std::string& key : wanted) REQUIRE(cache.find(key) != nullptr);
    REQUIRE(cache.figures().bytes <= limit);
  }
  const Cache::Figures full = cache.figures();
  CHECK(full.bytes > limit / 2);
  CHECK(full.evictions > 10'000);
  CHECK(full.evictions + full.entries == 20'020);
  CHECK(full.hits == 400'000);
  cache.clear();
  CHECK(cache.figures().bytes == 0);
  CHECK(cache.figures().entries == 0);
}

TEST_CASE("pages stay until a row changes that could be in them") {
  const ViewDefinition view = summary();
  Frontier frontier;
  Pages pages(true, 1 << 20, frontier);
  ListQuery all{{}, {"date", "facility_id"}, true, 10, {}};
  ListQuery of_one = all;
  of_one.filters = {{"facility_id", Filter::Test::equal, {facility + "1"}}};
  CHECK(entities_of(view, all) == std::nullopt);
  REQUIRE(entities_of(view, of_one));
  CHECK(*entities_of(view, of_one) ==
        std::vector<std::string>{std::string(split_key(true, key_of(1, "2026-01-01")).entity)});

  const auto load = [&](const ListQuery& query, std::int64_t seq) {
    REQUIRE(pages.begin_load(text_of(query), entities_of(view, query)) == nullptr);
    return pages.finish_load(text_of(query), seq, "", std::make_shared<ListPage>());
  };
  const auto is_there = [&](const ListQuery& query) {
    const bool there = pages.begin_load(text_of(query), entities_of(view, query)) != nullptr;
    if (!there) pages.abandon_load(text_of(query));
    return there;
  };
  const auto change = [&](std::int64_t seq, int entity) {
    Change change;
    change.seq = seq;
    if (entity > 0) change.rows = {{key_of(entity, "2026-01-01"), "x"}};
    frontier.rise(seq, "");
    pages.apply(change);
  };
  CHECK(load(all, 1) == Pages::Taken::kept);
  CHECK(load(of_one, 1) == Pages::Taken::kept);
  change(2, 0);
  CHECK(is_there(all));
  change(3, 2);
  CHECK_FALSE(is_there(all));
  CHECK(is_there(of_one));
  change(4, 1);
  CHECK_FALSE(is_there(of_one));

  pages.begin_load(text_of(all), std::nullopt);
  change(5, 2);
  CHECK(pages.finish_load(text_of(all), 4, "", std::make_shared<ListPage>()) == Pages::Taken::overtaken);
  CHECK(pages.finish_load(text_of(all), 4, "", std::make_shared<ListPage>()) == Pages::Taken::not_allowed);
  CHECK(pages.finish_load(text_of(all), 5, "", std::make_shared<ListPage>()) == Pages::Taken::kept);

  // What is invalidated goes, and what is being loaded is loaded again.
  change(6, 2);
  CHECK(load(all, 6) == Pages::Taken::kept);
  CHECK(load(of_one, 6) == Pages::Taken::kept);
  pages.invalidate(key_of(2, "2026-01-01"));
  CHECK_FALSE(is_there(all));
  CHECK(is_there(of_one));
  pages.begin_load(text_of(all), std::nullopt);
  pages.invalidate(key_of(1, "2026-01-01"));
  CHECK_FALSE(is_there(of_one));
  CHECK(pages.finish_load(text_of(all), 6, "", std::make_shared<ListPage>()) == Pages::Taken::not_allowed);
  CHECK(pages.finish_load(text_of(all), 6, "", std::make_shared<ListPage>()) == Pages::Taken::kept);

  // Other queries are other pages.
  ListQuery other = all;
  other.limit = 11;
  CHECK(text_of(other) != text_of(all));
  other = all;
  other.order = {"date", "facility_id1"};
  CHECK(text_of(other) != text_of(all));
}

TEST_CASE("commits are remembered within a bound, under their marks") {
  Recent recent(2000);
  recent.begin_at(10, "n10");
  CHECK(recent.since(10, "n10")->empty());
  CHECK(recent.since(10, "other") == std::nullopt);
  CHECK(recent.since(9, "n9") == std::nullopt);
  CHECK(recent.since(11, "n11") == std::nullopt);
  for (std::int64_t seq = 11; seq <= 60; ++seq) {
    auto set = std::make_shared<ChangeSet>();
    set->seq = seq;
    set->nonce = "n" + std::to_string(seq);
    set->rows = {{"key", std::string(100, 'x')}};
    recent.add(set);
    CHECK(recent.bytes() <= 2000);
  }
  CHECK(recent.since(10, "n10") == std::nullopt);
  const auto last = recent.since(58, "n58");
  REQUIRE(last);
  REQUIRE(last->size() == 2);
  CHECK(last->front()->seq == 59);
  CHECK(recent.since(58, "n57") == std::nullopt);
  CHECK(recent.since(60, "n60")->empty());
}
