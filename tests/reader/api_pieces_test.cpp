// The pure pieces of the reader's API, as tables of what goes in and what comes out.
#include <doctest/doctest.h>
#include <zlib.h>

#include <nlohmann/json.hpp>
#include <random>

#include "core/definition_reader.h"
#include "core/row_key.h"
#include "reader/api/answer.h"
#include "reader/api/csv.h"
#include "reader/api/cursor.h"
#include "reader/api/events.h"
#include "reader/api/key.h"
#include "reader/api/negotiation.h"
#include "reader/api/query.h"
#include "reader/api/router.h"
#include "reader/api/text.h"

using namespace daybook;
using namespace daybook::reader;

namespace {

ViewDefinition read(const std::string& text) {
  DefinitionOrMistakes made = read_definition(text);
  if (const auto* mistakes = std::get_if<std::vector<DefinitionMistake>>(&made)) {
    for (const DefinitionMistake& mistake : *mistakes) MESSAGE(to_string(mistake));
  }
  return std::get<ViewDefinition>(std::move(made));
}

// A view with each type in its key; `reader` is the member.
ViewDefinition stock(const std::string& reader) {
  return read(R"({"view": "stock", "kind": "summary",
    "key": [{"name": "site", "type": "uuid"}, {"name": "cursor", "type": "text"}, {"name": "grade", "type": "int"},
            {"name": "day", "type": "date", "time_zone": "UTC"}],
    "columns": [{"name": "level", "type": "int", "value": "balance"}, {"name": "moves", "type": "bigint", "value": "sum"}],
    "sources": [{"topic": "t", "event": "e", "add": {"level": 1, "moves": 1},
                 "key": {"site": "/data/a", "cursor": "/data/b", "grade": "/data/c", "day": "/time"}}],
    "reader": )" +
              reader + "}");
}
ViewDefinition days(const std::string& reader) {
  return read(R"({"view": "days", "kind": "summary",
    "key": [{"name": "site", "type": "text"}, {"name": "day", "type": "date", "time_zone": "UTC"}],
    "columns": [{"name": "n", "type": "int", "value": "sum"}],
    "sources": [{"topic": "t", "event": "e", "key": {"site": "/data/a", "day": "/time"}, "add": {"n": 1}}],
    "reader": )" +
              reader + "}");
}

const std::string uuid = "0a0b0c0d-0102-0304-0506-0708090a0b0c";

}  // namespace

TEST_CASE("percent-encoding is read strictly") {
  CHECK(decode_percent("a%20b%C3%A4+%2f") == "a b\xC3\xA4+/");
  CHECK(decode_percent("") == "");
  for (const char* wrong : {"%", "a%2", "%g0", "%0g", "%%41"}) CHECK(!decode_percent(wrong));
  CHECK(encode_percent("a b/\xC3\xA4~") == "a%20b%2F%C3%A4~");
  std::mt19937 random(7);
  for (int i = 0; i < 200; ++i) {
    std::string bytes;
    for (int k = 0; k < 20; ++k) bytes.push_back(static_cast<char>(random()));
    CHECK(decode_percent(encode_percent(bytes)) == bytes);
  }
}

TEST_CASE("parameters") {
  CHECK(read_parameters("a=1&b=x+y%2B&a=&") == Parameters{{"a", "1"}, {"b", "x y+"}, {"a", ""}});
  CHECK(read_parameters("") == Parameters{});
  for (const char* wrong : {"a", "=1", "a=%1", "a&b=1"}) CHECK(!read_parameters(wrong));
}

TEST_CASE("UTF-8") {
  for (const char* right : {"", "a", "\xC3\xA4", "\xE2\x82\xAC", "\xF0\x9F\xA9\xB8", "\xF4\x8F\xBF\xBF"})
    CHECK(is_plain_utf8(right));
  for (const char* wrong :
       {"\x80", "\xC3", "\xC0\x80", "\xE0\x80\x80", "\xED\xA0\x80", "\xF4\x90\x80\x80", "\xFF", "\xF0\x9F\xA9"})
    CHECK(!is_plain_utf8(wrong));
  CHECK(!is_plain_utf8(std::string_view("a\0b", 3)));
}

TEST_CASE("values of a key have one spelling") {
  const auto spelled = [](KeyType type, std::string_view text) { return canonical_value(type, text).value_or("none"); };
  CHECK(spelled(KeyType::uuid, "0A0B0C0D-0102-0304-0506-0708090A0B0C") == uuid);
  CHECK(spelled(KeyType::uuid, "0a0b0c0d010203040506-0708090a0b0c") == "none");
  CHECK(spelled(KeyType::integer, "007") == "7");
  CHECK(spelled(KeyType::integer, "-0") == "0");
  CHECK(spelled(KeyType::integer, "-9223372036854775808") == "-9223372036854775808");
  for (const char* wrong : {"", "+5", " 5", "5 ", "1.0", "9223372036854775808", "1e3", "0x5"})
    CHECK(spelled(KeyType::integer, wrong) == "none");
  CHECK(spelled(KeyType::date, "2026-02-28") == "2026-02-28");
  for (const char* wrong : {"2026-02-29", "2026-2-28", "today", "infinity", "0000-01-01", ""})
    CHECK(spelled(KeyType::date, wrong) == "none");
  CHECK(spelled(KeyType::timestamp, "2026-11-23T18:29:00.5+05:45") == "2026-11-23T12:44:00.500000Z");
  CHECK(spelled(KeyType::timestamp, "2026-11-23T18:29:00") == "none");
  for (const KeyType type : {KeyType::hour, KeyType::minute}) {
    CHECK(spelled(type, "2026-11-23T20:00:00+02:00") == "2026-11-23T18:00:00Z");
    CHECK(spelled(type, "2026-11-23T18:00:00.000Z") == "2026-11-23T18:00:00Z");
    for (const char* wrong : {"2026-11-23", "2026-11-23T18:00:00", "2026-11-23T18:00:00.5Z", "now", ""})
      CHECK(spelled(type, wrong) == "none");
  }
  CHECK(spelled(KeyType::text, "") == "");
  CHECK(spelled(KeyType::text, std::string(1000, 'x')) == std::string(1000, 'x'));
  CHECK(spelled(KeyType::text, std::string(1001, 'x')) == "none");
  CHECK(spelled(KeyType::text, "\xff") == "none");
}

TEST_CASE("values of columns have one spelling") {
  const auto spelled = [](ColumnType type, std::string_view text, int scale = 0) {
    return canonical_value(ValueColumn{"x", Aggregate::sum, type, scale, false}, text).value_or("none");
  };
  CHECK(spelled(ColumnType::int4, "-2147483648") == "-2147483648");
  CHECK(spelled(ColumnType::int4, "2147483648") == "none");
  CHECK(spelled(ColumnType::int8, "2147483648") == "2147483648");
  CHECK(spelled(ColumnType::decimal, "7.5", 2) == "7.50");
  CHECK(spelled(ColumnType::decimal, "7.555", 2) == "none");
  CHECK(spelled(ColumnType::boolean, "true") == "true");
  CHECK(spelled(ColumnType::boolean, "t") == "none");
  CHECK(spelled(ColumnType::timestamp, "2026-11-23T18:29:00.5+05:45") == "2026-11-23T12:44:00.500000Z");
  CHECK(spelled(ColumnType::timestamp, "2026-11-23") == "none");
  CHECK(spelled(ColumnType::date, "2026-11-23") == "2026-11-23");
  CHECK(spelled(ColumnType::uuid, "0A0B0C0D-0102-0304-0506-0708090A0B0C") == uuid);
  CHECK(spelled(ColumnType::text, std::string(4000, 'x')) == std::string(4000, 'x'));
  CHECK(spelled(ColumnType::text, std::string(4001, 'x')) == "none");
  CHECK(spelled(ColumnType::json, "{}") == "none");
}

TEST_CASE("the parts of a key") {
  const ViewDefinition view = stock("{}");
  std::string key;
  CHECK(append_value(key, KeyType::uuid, uuid));
  CHECK(append_value(key, KeyType::text, "north"));
  CHECK(append_value(key, KeyType::integer, "-3"));
  CHECK(append_value(key, KeyType::date, "2026-11-23"));
  KeyParts parts;
  REQUIRE(find_parts(view.key, key, parts));
  CHECK(part(key, parts, 1) == std::string_view("north\0", 6));
  CHECK(row_key::integer_at(part(key, parts, 2).data()) == -3);
  CHECK(part(key, parts, 3).size() == 4);
  for (std::size_t size = 0; size < key.size(); ++size) CHECK(!find_parts(view.key, key.substr(0, size), parts));
  CHECK(!find_parts(view.key, key + "x", parts));
}

TEST_CASE("routes") {
  const ViewDefinition one = days(R"({"routes": ["/d/{site}/{day}", "/d/{site}", "/d/all", "/{day}/of/{site}"]})");
  const ViewDefinition two = stock(R"({"routes": ["/d/{site}", "/s"]})");
  const Router router({&one, &two});
  using Kind = Route::Kind;
  const auto shown = [&](std::string_view path) {
    const Route route = router.match(path);
    std::string text = std::to_string(static_cast<int>(route.kind)) + " " + std::to_string(route.view);
    for (std::size_t i = 0; i < 4; ++i) {
      if (route.given >> i & 1) text += " " + std::to_string(i) + "=" + std::string(route.values[i]);
    }
    return text;
  };
  const auto is = [](Kind kind, const std::string& rest) {
    return std::to_string(static_cast<int>(kind)) + " " + rest;
  };
  CHECK(shown("/v1/views") == is(Kind::views, "0"));
  CHECK(shown("/openapi.json") == is(Kind::openapi, "0"));
  CHECK(shown("/v1/views/days") == is(Kind::list, "0"));
  CHECK(shown("/v1/views/stock") == is(Kind::list, "1"));
  CHECK(shown("/v1/views/days/changes") == is(Kind::changes, "0"));
  CHECK(shown("/v1/views/days/a/2026-01-01") == is(Kind::row, "0 0=a 1=2026-01-01"));
  CHECK(shown("/v1/views/days//x") == is(Kind::row, "0 0= 1=x"));
  CHECK(shown("/v1/views/stock/a/b/c/d") == is(Kind::row, "1 0=a 1=b 2=c 3=d"));
  CHECK(shown("/v1/views/days/a").starts_with(is(Kind::wrong_key, "0")));
  CHECK(shown("/v1/views/days/a/b/c").starts_with(is(Kind::wrong_key, "0")));
  CHECK(shown("/v1/views/days/a/b/").starts_with(is(Kind::wrong_key, "0")));
  CHECK(shown("/v1/views/nothing/a") == is(Kind::unknown_view, "0"));
  CHECK(router.match("/v1/views/nothing/a").name == "nothing");
  for (const char* path : {"/v1/view", "/v1/views/../x", "/", "", "/d", "/d/a/b/c", "/d/all/", "v1/views", "/d/a/"}) {
    CAPTURE(path);
    const Kind kind = router.match(path).kind;
    CHECK((kind == Kind::none || kind == Kind::unknown_view || path == std::string("/d/a/") ||
           path == std::string("/d/all/")));
  }
  CHECK(shown("/d/x/2026-01-01") == is(Kind::row, "0 0=x 1=2026-01-01"));
  CHECK(shown("/2026-01-01/of/x") == is(Kind::row, "0 0=x 1=2026-01-01"));  // values in the key's order
  CHECK(shown("/d/x") == is(Kind::list, "0 0=x"));
  CHECK(shown("/d/all") == is(Kind::list, "0"));  // words go before values
  CHECK(shown("/s") == is(Kind::list, "1"));
  CHECK(router.conflicts() ==
        std::vector<std::string>{"route /d/{site} of view stock is one of view days already, which keeps it"});
}

TEST_CASE("formats") {
  const auto chosen = [](const char* accept) {
    const std::optional<Format> format = choose_format(accept);
    return !format ? "none" : *format == Format::json ? "json" : "csv";
  };
  const std::pair<const char*, const char*> table[] = {{"", "json"},
                                                       {"*/*", "json"},
                                                       {"application/json", "json"},
                                                       {"text/csv", "csv"},
                                                       {"text/*", "csv"},
                                                       {"TEXT/CSV", "csv"},
                                                       {"application/*", "json"},
                                                       {"text/html", "none"},
                                                       {"text/html, */*;q=0.1", "json"},
                                                       {"text/csv, application/json", "json"},
                                                       {"text/csv;q=0.9, application/json;q=0.8", "csv"},
                                                       {"application/json;q=0, */*", "csv"},
                                                       {"*/*;q=0", "none"},
                                                       {"text/csv;q=0", "none"},
                                                       {"text/csv; header=present ;q=1.0", "csv"},
                                                       {"application/json;q=0.001", "json"},
                                                       {"text/csv;q=2", "none"},
                                                       {"text/csv;q=0.1234", "none"},
                                                       {" text/csv ,", "csv"},
                                                       {"application/jsonx", "none"},
                                                       {"*/csv", "none"},
                                                       {"text/*;q=0.5, text/csv;q=0, application/json;q=0.1", "json"}};
  for (const auto& [accept, expected] : table) {
    CAPTURE(accept);
    CHECK(std::string(chosen(accept)) == expected);
  }
  for (const char* yes : {"gzip", "x-gzip", "deflate, gzip;q=0.5", "*", "GZIP", "br, *;q=0.1"}) CHECK(takes_gzip(yes));
  for (const char* no : {"", "br", "gzip;q=0", "*;q=0", "gzip;q=0, *", "identity", "gzipped"}) CHECK(!takes_gzip(no));
}

TEST_CASE("If-None-Match") {
  for (const char* yes : {"*", " * ", "\"a\"", "W/\"a\"", "\"b\", \"a\"", "\"b\",W/\"a\"", "\"x,y\", \"a\""}) {
    CAPTURE(yes);
    CHECK(has_tag(yes, "\"a\""));
    CHECK(has_tag(yes, "W/\"a\""));
  }
  for (const char* no : {"", "a", "\"b\"", "\"a", "\"b\" \"c\"", "\"a,\"", "\"x, \"a\"\""})
    CHECK(!has_tag(no, "\"a\""));
  CHECK(!has_tag("*", ""));  // there is nothing that it could match
}

TEST_CASE("CSV") {
  const ViewDefinition view = days("{}");
  CHECK(csv_of(view, {}) == "site,day,n,updated_at\r\n");
  CHECK(csv_of(view, {R"({"site":"a","day":"2026-01-31","n":1234567890123456.70,"updated_at":null})"}) ==
        "site,day,n,updated_at\r\na,2026-01-31,1234567890123456.70,\r\n");
  CHECK(csv_of(view, {R"({"site":"a,\"b\"\r\nc","day":"2026-01-31","n":-5,"updated_at":"2026-01-31T10:00:00.000001Z"})",
                      R"({"site":"ä","day":"2026-02-01","n":9223372036854775807,"updated_at":null})"}) ==
        "site,day,n,updated_at\r\n\"a,\"\"b\"\"\r\nc\",2026-01-31,-5,2026-01-31T10:00:00.000001Z\r\n"
        "ä,2026-02-01,9223372036854775807,\r\n");
}

TEST_CASE("answers: tags, gzip from 1 KiB on") {
  const Made small = make_answer("text/x", std::string(1024, 'a'), "no-cache", true);
  CHECK(small.ok->head.find("Content-Encoding") == std::string::npos);
  const std::string body = std::string(600, 'a') + std::string(600, 'b');
  const Made plain = make_answer("text/x", body, "no-cache", false);
  const Made packed = make_answer("text/x", body, "no-cache", true);
  CHECK(plain.ok->body == body);
  CHECK(packed.ok->body.size() < 100);
  CHECK(packed.ok->head.find("Content-Encoding: gzip\r\n") != std::string::npos);
  CHECK(packed.ok->head.find("Content-Length: " + std::to_string(packed.ok->body.size()) + "\r\n") !=
        std::string::npos);
  CHECK(plain.etag != packed.etag);  // other bytes
  CHECK(plain.etag == make_answer("text/y", body, "no-store", false).etag);
  CHECK(plain.etag != small.etag);
  for (const char* line : {"ETag: ", "Cache-Control: no-cache\r\n", "Vary: Accept, Accept-Encoding\r\n"}) {
    CHECK(packed.ok->head.find(line) != std::string::npos);
    CHECK(packed.not_modified->head.find(line) != std::string::npos);
  }
  CHECK(packed.not_modified->status == 304);
  CHECK(packed.not_modified->body.empty());

  z_stream stream{};
  REQUIRE(inflateInit2(&stream, 15 + 16) == Z_OK);
  std::string unpacked(body.size(), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(packed.ok->body.data()));
  stream.avail_in = static_cast<uInt>(packed.ok->body.size());
  stream.next_out = reinterpret_cast<Bytef*>(unpacked.data());
  stream.avail_out = static_cast<uInt>(unpacked.size());
  CHECK(inflate(&stream, Z_FINISH) == Z_STREAM_END);
  inflateEnd(&stream);
  CHECK(unpacked == body);

  const http::BlockPtr changed = with_cache_control(*plain.ok, "private, no-cache");
  CHECK(changed->head.find("Cache-Control: private, no-cache\r\n") != std::string::npos);
  CHECK(changed->head.find("Cache-Control: no-cache\r\n") == std::string::npos);
  CHECK(changed->head.size() == plain.ok->head.size() + 9);
}

TEST_CASE("cursors belong to one query") {
  ListQuery query;
  query.order = {"day", "site"};
  query.filters = {{"site", Filter::Test::equal, {"a"}}};
  const std::string mark = query_mark("days", query);
  const reader::Place after = {"2026-01-01", "a\"ä", std::nullopt};
  const std::string cursor = make_cursor(mark, after);
  CHECK(cursor.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") ==
        std::string::npos);
  CHECK(read_cursor(cursor, mark) == after);
  query.limit = 7;
  CHECK(query_mark("days", query) == mark);  // pages may change their size on the way

  ListQuery other = query;
  other.descending = true;
  CHECK(query_mark("days", other) != mark);
  other = query;
  other.filters[0].operands[0] = "b";
  CHECK(query_mark("days", other) != mark);
  other = query;
  other.filters[0].test = Filter::Test::at_most;
  CHECK(query_mark("days", other) != mark);
  CHECK(query_mark("day", query) != mark);
  CHECK(!read_cursor(cursor, query_mark("days", other)));
  for (const std::string& wrong : {std::string(), std::string("!"), cursor + "=", cursor.substr(1), std::string("e30"),
                                   std::string("W10"), std::string("bnVsbA"), std::string(20'000, 'A')})
    CHECK(!read_cursor(wrong, mark));
  std::mt19937 random(11);
  for (int i = 0; i < 2000; ++i) {
    std::string damaged = cursor;
    damaged[random() % damaged.size()] = static_cast<char>(random());
    read_cursor(damaged, mark);  // must not throw
  }
}

TEST_CASE("places in the feed") {
  const FeedPlace place{3, 12345678901, "6f1c7ab0-3d0c-4f5e-9d2b-1f0e5a7c9b42"};
  CHECK(to_string(place) == "3-12345678901-6f1c7ab0-3d0c-4f5e-9d2b-1f0e5a7c9b42");
  CHECK(read_place(to_string(place)) == place);
  for (const char* wrong : {"", "3", "3-4", "3-4-", "x-4-n", "3-x-n", "-3-4-n", "3--4-n", "99999999999-1-n"}) {
    CAPTURE(wrong);
    CHECK(!read_place(wrong));
  }
}

TEST_CASE("events: an id tells which commits were had in full") {
  auto set = std::make_shared<ChangeSet>(ChangeSet{3, 8, "new", false, {{"k1", "{\"a\":1}"}, {"k2", "{\"a\":2}"}}});
  const EventTexts texts = event_texts(set, FeedPlace{3, 7, "old"});
  CHECK(*texts.rows[0] == "event: row\nid: 3-7-old\ndata: {\"a\":1}\n\n");
  CHECK(*texts.rows[1] == "event: row\nid: 3-8-new\ndata: {\"a\":2}\n\n");
  CHECK(*texts.all == *texts.rows[0] + *texts.rows[1]);
  // Nothing is known of the commit before, or it is not the one before.
  for (const std::optional<FeedPlace>& before :
       {std::optional<FeedPlace>(), std::optional(FeedPlace{3, 6, "old"}), std::optional(FeedPlace{2, 7, "old"})})
    CHECK(*event_texts(set, before).rows[0] == "event: row\ndata: {\"a\":1}\n\n");
  set->reset = true;
  CHECK(*event_texts(set, {}).all == "event: reset\nid: 3-8-new\ndata: {\"reason\":\"reload\"}\n\n");
}

TEST_CASE("parameters of lists") {
  const ViewDefinition view = stock(R"({"filters": ["day", "level"], "limit": 50, "routes": ["/at/{site}"]})");
  Route route;
  const auto asked = [&](const std::string& query, const std::vector<RowLimit>& limits = {}) -> std::string {
    const Checked<ListRequest> read = read_list(view, route, query, limits);
    if (const auto* wrong = std::get_if<BadRequest>(&read)) return "400 " + wrong->detail;
    const ListRequest& request = std::get<ListRequest>(read);
    std::string text = std::to_string(request.query.limit);
    for (const Filter& filter : request.query.filters) {
      static const char* const signs[] = {"=", ">=", ">", "<=", "<"};
      text += " " + filter.column + signs[static_cast<int>(filter.test)];
      for (const std::string& operand : filter.operands) text += operand + ",";
    }
    if (request.sees_nothing) text += " nothing";
    return text + " | " + request.link;
  };
  CHECK(asked("") == "50 | ");
  CHECK(asked("limit=1") == "1 | limit=1&");
  CHECK(asked("limit=50&day=2026-01-01") == "50 day=2026-01-01, | day=2026-01-01&limit=50&");
  CHECK(asked("day.from=2026-01-01&day.below=2026-02-01") ==
        "50 day>=2026-01-01, day<2026-02-01, | day.from=2026-01-01&day.below=2026-02-01&");
  CHECK(asked("level.to=-5&level.above=-0010") == "50 level>-10, level<=-5, | level.above=-10&level.to=-5&");
  CHECK(asked("site=" + uuid + "&site=" + uuid) == "50 site=" + uuid + ", | site=" + uuid + "&");
  CHECK(asked("site=" + uuid + "&cursor.eq=a%20b") ==
        "50 cursor=a b, site=" + uuid + ", | cursor.eq=a%20b&site=" + uuid + "&");
  CHECK(asked("after=t/0@5&wait=10") == "50 | ");
  // What has no index.
  CHECK(asked("grade=1").starts_with("400 a filter on grade alone has no index"));
  CHECK(asked("site.from=" + uuid + "&cursor.eq=a").starts_with("400 a filter on cursor alone has no index"));
  CHECK(asked("moves=1").starts_with(
      "400 a filter on moves has no index, expected site, cursor, grade, day, level, each also with .eq, .from"));
  // What is wrong.
  CHECK(asked("color=red")
            .starts_with("400 the parameter color is unknown, expected site, cursor, grade, day, level, each also"));
  CHECK(asked("day.near=2026-01-01").starts_with("400 the parameter day.near is unknown"));
  CHECK(asked("updated_at=2026-01-01").starts_with("400 the parameter updated_at is unknown"));
  CHECK(asked("day=2026-02-30") == "400 day is not a date such as 2026-11-23");
  CHECK(asked("site=x").starts_with("400 site is not a uuid"));
  CHECK(asked("level=2147483648") == "400 level is not an integer of 32 bits");
  CHECK(asked("level=9223372036854775808") == "400 level is not an integer of 32 bits");
  CHECK(asked("day.to=2026-01-01&day.to=2026-01-02").starts_with("400 two bounds of one kind for day"));
  for (const char* limit : {"limit=0", "limit=51", "limit=-1", "limit=x", "limit="})
    CHECK(asked(limit).ends_with("expected 1 to 50"));
  CHECK(asked("wait=10001").starts_with("400 wait=10001 is no time"));
  for (const char* after : {"after=t", "after=t/0", "after=t/x@1", "after=t/0@-1", "after=t/0@x", "after=/0@1",
                            "after=t/0@9223372036854775807", "after=t/4294967296@1", "after=a b/0@1"})
    CHECK(asked(after).find("is no position, expected TOPIC/PARTITION@OFFSET") != std::string::npos);
  CHECK(asked("cursor=abc").starts_with("400 the cursor is none of this query"));
  CHECK(asked("cursor=").starts_with("400 cursor, expected one"));
  CHECK(asked("day=%").starts_with("400 the query has a wrong encoding"));
  std::string many = "site=" + uuid;
  for (int i = 0; i < 101; ++i) many += "&cursor.eq=" + std::to_string(i);
  CHECK(asked(many) == "400 more than 100 values for cursor");

  // What one may see.
  const std::string other = "ffffffff-0102-0304-0506-0708090a0b0c";
  CHECK(asked("", {{0, {uuid}}}) == "50 site=" + uuid + ", | ");
  CHECK(asked("site=" + uuid + "&site=" + other, {{0, {uuid}}}) ==
        "50 site=" + uuid + ", | site=" + uuid + "&site=" + other + "&");
  CHECK(asked("site=" + other, {{0, {uuid}}}).find(" nothing") != std::string::npos);
  CHECK(asked("", {{0, {}}}).find(" nothing") != std::string::npos);
  CHECK(asked("cursor.eq=a", {{0, {uuid}}}).starts_with("50 cursor=a,"));  // the limit is a filter, too

  // From the path.
  route.given = 1;
  route.values[0] = uuid;
  CHECK(asked("day.from=2026-01-01") == "50 day>=2026-01-01, site=" + uuid + ", | day.from=2026-01-01&");
  CHECK(asked("site=" + uuid) == "400 site is in the path already");
  route.values[0] = "%";
  CHECK(asked("").starts_with("400 the path has a wrong encoding"));
}

TEST_CASE("the next page begins behind the values of the last row") {
  const ViewDefinition view = days(R"({"order": {"by": ["n"], "descending": true}, "filters": ["n"]})");
  const auto read = [&](const std::string& query) { return read_list(view, {}, query, {}); };
  const ListRequest first = std::get<ListRequest>(read("n.from=1"));
  CHECK(first.query.order == std::vector<std::string>{"n", "site", "day"});
  CHECK(first.query.descending);
  const std::string cursor = make_cursor(first.mark, {"5", "a", "2026-01-01"});
  CHECK(std::get<ListRequest>(read("n.from=1&limit=3&cursor=" + cursor)).query.after ==
        reader::Place{"5", "a", "2026-01-01"});
  CHECK(std::holds_alternative<BadRequest>(read("n.from=2&cursor=" + cursor)));
  // Made up ones hold no more than any value of a client may.
  for (const reader::Place& made_up :
       {reader::Place{"5", "a"}, {"x", "a", "2026-01-01"}, {"5", "a", "never"}, {"2147483648", "a", "2026-01-01"}})
    CHECK(std::holds_alternative<BadRequest>(read("n.from=1&cursor=" + make_cursor(first.mark, made_up))));
}

TEST_CASE("after= asks for positions; of several in one partition the last counts") {
  const Await await = std::get<Await>(read_row_parameters("after=a.b/3%4017&after=a.b/3@5&after=c/0@0&wait=0"));
  CHECK(await.positions == Positions{{{"a.b", 3}, 17}, {{"c", 0}, 0}});
  CHECK(await.wait == std::chrono::milliseconds(0));
  CHECK(std::get<Await>(read_row_parameters("")).wait == std::chrono::milliseconds(500));
  CHECK(std::get<BadRequest>(read_row_parameters("limit=1")).detail ==
        "the parameter limit is unknown, expected after or wait");
}

TEST_CASE("rows limited by claims") {
  const ViewDefinition view = stock(R"({"filters": ["grade"], "rows_by_claim": {"site": "sites", "grade": "grades"}})");
  Identity who;
  std::vector<RowLimit> limits = row_limits(view, who);
  REQUIRE(limits.size() == 2);
  CHECK(limits[0].values.empty());
  who.claims["sites"] = {"0A0B0C0D-0102-0304-0506-0708090A0B0C", uuid, "x"};
  who.claims["grades"] = {"05", "x"};
  limits = row_limits(view, who);
  CHECK(limits[0].column == 0);
  CHECK(limits[0].values == std::vector<std::string>{uuid});  // no value of the column: of no row
  CHECK(limits[1].column == 2);
  CHECK(limits[1].values == std::vector<std::string>{"5"});
  who.scopes = {"rows:all"};
  CHECK(row_limits(view, who).empty());
}

TEST_CASE("the key filter of a stream") {
  const ViewDefinition view = days("{}");
  const auto key = [&](const char* site, const char* day) {
    std::string bytes;
    append_value(bytes, KeyType::text, site);
    append_value(bytes, KeyType::date, day);
    return bytes;
  };
  const auto filter = [&](const char* query, const std::vector<RowLimit>& limits = {}) {
    return std::get<KeyFilter>(read_changes_parameters(view, query, limits));
  };
  CHECK(filter("").passes(view, key("a", "2026-01-01")));
  CHECK(filter("site=a&site=b").passes(view, key("b", "2026-01-01")));
  CHECK(!filter("site=a&site=b").passes(view, key("c", "2026-01-01")));
  CHECK(!filter("site=a&day=2026-01-02").passes(view, key("a", "2026-01-01")));
  CHECK(filter("day=2026-01-01").passes(view, key("z", "2026-01-01")));
  CHECK(!filter("", {{0, {"a"}}}).passes(view, key("b", "2026-01-01")));
  CHECK(filter("site=a&site=b", {{0, {"a"}}}).passes(view, key("a", "2026-01-01")));
  CHECK(!filter("site=a&site=b", {{0, {"a"}}}).passes(view, key("b", "2026-01-01")));
  CHECK(filter("site=b", {{0, {"a"}}}).sees_nothing);
  CHECK(filter("", {{0, {}}}).sees_nothing);
  CHECK(filter("site=a&site=b&site=a").allowed[0].size() == 2);  // each once
  for (const char* wrong : {"n=1", "limit=1", "site.from=a", "day=x", "site"})
    CHECK(std::holds_alternative<BadRequest>(read_changes_parameters(view, wrong, {})));
}
