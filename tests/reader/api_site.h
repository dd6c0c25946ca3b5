// What the tests of the reader's API share: two views over rows in a map, on a loop that a test moves.
#pragma once

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include "core/definition_reader.h"
#include "reader/api/api.h"
#include "reader/api/key.h"
#include "reader/hot_row.h"
#include "tests/support/fake_rows.h"

namespace daybook::test {

using namespace daybook::reader;
using namespace std::chrono_literals;
using Json = nlohmann::json;
using Headers = std::map<std::string, std::string>;

inline const std::string here = "0a0b0c0d-0102-0304-0506-0708090a0b0c";
inline const std::string elsewhere = "ffffffff-0102-0304-0506-0708090a0b0c";

inline ViewDefinition definition(const std::string& name, const std::string& reader) {
  const DefinitionOrMistakes made = read_definition(R"({"view": ")" + name + R"(", "kind": "summary",
    "key": [{"name": "site", "type": "uuid"}, {"name": "day", "type": "date", "time_zone": "UTC"}],
    "columns": [{"name": "level", "type": "int", "value": "balance"}],
    "sources": [{"topic": "t", "event": "e", "key": {"site": "/data/a", "day": "/time"}, "add": {"level": 1}}],
    "reader": )" + reader + "}");
  return std::get<ViewDefinition>(made);
}

inline std::string key_of(const std::string& site, const std::string& day) {
  std::string key;
  REQUIRE(append_value(key, KeyType::uuid, site));
  REQUIRE(append_value(key, KeyType::date, day));
  return key;
}
inline std::string json_of(const std::string& site, const std::string& day, int level) {
  return R"({"site":")" + site + R"(","day":")" + day + R"(","level":)" + std::to_string(level) +
         R"(,"updated_at":"2026-01-31T10:00:00.000001Z"})";
}

inline ChangeSet commit_of(std::int64_t seq, const std::string& nonce, std::vector<ChangedRow> rows = {},
                           bool reset = false) {
  return {0, seq, nonce, reset, std::move(rows)};
}

inline HotRowPtr hot_row(const std::string& json, const std::string& cache_control) {
  return make_row(AnswerStyle("v", cache_control), HotRow::Kind::row, json);
}

// Two views: `open` for all who may read it, `own` limited by a claim.
struct Site {
  FakeRows open{definition(
      "open",
      R"({"cache_control": "public, max-age=1", "filters": ["day"], "limit": 20, "routes": ["/open/{site}/{day}", "/open"]})")};
  FakeRows own{definition("own", R"({"rows_by_claim": {"site": "sites"}})")};
  FakeLoop loop;
  Identity who{"somebody", {"views:read", "rows:all"}, {}};
  Admission refusal;  // when its status is set
  std::string gate_headers;
  std::vector<std::string> served;
  std::string slow;  // what the log would say of the last one
  // Who that header's holder is by now; as a rule the one that the gate let in.
  std::function<IdentityPtr(std::string_view)> who_is = [this](std::string_view) {
    return std::make_shared<Identity>(who);
  };
  Api api{{&open, &own},
          [this](const http::Incoming&) {
            if (refusal.status != 0) return refusal;
            return Admission{0, "", gate_headers, std::make_shared<Identity>(who)};
          },
          {.max_age = 30s, .streams_max = 16},
          [this](const Served& s, std::chrono::nanoseconds) {
            served.push_back((s.view == nullptr ? "" : s.view->name) + " " + std::string(s.route) + " " +
                             std::to_string(s.status) + (s.is_hit ? " hit" : ""));
            slow = slow_request(s, 1500ms);
          },
          [this](std::string_view authorization) { return who_is(authorization); }};

  Site() {
    put(open, here, "2026-01-01", 5);
    put(own, here, "2026-01-01", 5);
    put(own, elsewhere, "2026-01-01", 6);
    open.applied[{"t", 0}] = 10;
  }
  static void put(FakeRows& rows, const std::string& site, const std::string& day, int level) {
    rows.rows[key_of(site, day)] = hot_row(json_of(site, day, level), rows.definition().cache_control());
  }

  std::shared_ptr<FakeConnection> begin(const std::string& target, const Headers& headers = {},
                                        http::Method method = http::Method::get) {
    const auto connection = std::make_shared<FakeConnection>(loop);
    const FakeRequest request(target, headers, method);
    api.on_request(request, http::Exchange(connection));
    return connection;
  }
  // With all that the database and the loop would do.
  std::shared_ptr<FakeConnection> get(const std::string& target, const Headers& headers = {},
                                      http::Method method = http::Method::get) {
    const auto connection = begin(target, headers, method);
    open.answer_pending();
    own.answer_pending();
    loop.run();
    CHECK(connection->answers == 1);
    return connection;
  }
};

inline std::string header(const FakeConnection& answer, const std::string& name) {
  const std::string all = "\r\n" + answer.block->whole_head() + answer.headers;
  const std::size_t at = all.find("\r\n" + name + ": ");
  if (at == std::string::npos) return "";
  const std::size_t value = at + name.size() + 4;
  CHECK_MESSAGE(all.find("\r\n" + name + ": ", value) == std::string::npos, name, " twice");
  return all.substr(value, all.find("\r\n", value) - value);
}

// Checks that it is a problem, and gives its detail.
inline std::string problem(const FakeConnection& answer, unsigned status) {
  CHECK(answer.block->status == status);
  CHECK(header(answer, "Content-Type") == "application/problem+json");
  const Json body = Json::parse(answer.block->body);
  CHECK(body["status"] == status);
  return body["detail"];
}

}  // namespace daybook::test
