// Values that are no whole sums on a real PostgreSQL: cases as data (tests/cases/values), and properties: whatever the
// order, the batches, the copies and the workers are, the rows are those of verify's recomputation.
#include <doctest/doctest.h>

#include <random>
#include <thread>

#include "sql/render_reader.h"
#include "tests/support/case_file.h"
#include "tests/support/pg_view.h"
#include "tests/support/random_log.h"
#include "tests/support/random_values.h"
#include "tests/support/recomputed.h"
#include "tests/support/run_loop.h"
#include "verify/compare.h"

using namespace daybook;
using namespace daybook::test;

namespace {

TextRows expected_rows(const ViewDefinition& view, const Log& log, const std::vector<DeadLetter>& letters) {
  verify::Recomputation recomputation(view);
  recompute(recomputation, log, letters);
  return recomputation.text_rows();
}

verify::Comparison compared(PgView& pg, const Log& log) {
  verify::Recomputation recomputation(pg.view());
  recompute(recomputation, log, pg.dead_letters());
  verify::TableRows table;
  for (const auto& [key, values] : pg.text_rows()) {
    for (const std::string& value : values) table[key].push_back(value == "NULL" ? std::nullopt : std::optional(value));
  }
  return verify::compare(table, recomputation, 10);
}

void run_workers(PgView& pg, const Log& log, int workers, std::uint32_t seed) {
  std::vector<Log> shares;
  std::vector<std::unique_ptr<PgStore>> stores;
  for (int worker = 0; worker < workers; ++worker) {
    shares.push_back(share_of(log, worker, workers));
    stores.push_back(pg.store());
  }
  std::vector<std::thread> threads;
  for (int worker = 0; worker < workers; ++worker) {
    threads.emplace_back([&, worker] {
      RunOptions options;
      options.seed = seed * 7 + static_cast<std::uint32_t>(worker);
      options.run_max = 1 + seed % 13;
      options.limits.events_max = 1 + seed * 11 % 70;
      options.rebalances = static_cast<int>(seed % 3);
      run_loop(pg.view(), shares[static_cast<std::size_t>(worker)], *stores[static_cast<std::size_t>(worker)], options);
    });
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace

TEST_CASE("value cases on PostgreSQL") {
  for (const CaseFile& test : load_cases(DAYBOOK_SOURCE_DIR "/tests/cases/values")) {
    SUBCASE(test.name.c_str()) {
      INFO(test.about);
      for (const std::size_t events : {1, 3, 1000}) {
        for (const bool repeated : {false, true}) {
          CAPTURE(events);
          CAPTURE(repeated);
          PgView pg(test.view);
          const Log log = repeated ? with_every_record_repeated(test.log) : test.log;
          RunOptions options;
          options.limits.events_max = events;
          options.run_max = 4;
          run_loop(pg.view(), log, *pg.store(), options);
          CHECK(text_of(pg.text_rows()) == text_of(test.texts));
          CHECK(text_of(expected_rows(pg.view(), log, pg.dead_letters())) == text_of(test.texts));
          if (repeated) continue;
          const std::vector<DeadLetter> letters = pg.dead_letters();
          CHECK(letters.size() == test.dead_letters.size());
          for (const ExpectedDeadLetter& expected : test.dead_letters) {
            bool found = false;
            for (const DeadLetter& letter : letters) {
              if (letter.partition != expected.partition || letter.offset != expected.offset) continue;
              found = true;
              CHECK(letter.rejection.code == expected.code);
              CHECK_MESSAGE(letter.rejection.detail.find(expected.detail_part) != std::string::npos,
                            letter.rejection.detail);
            }
            CHECK_MESSAGE(found, "no dead letter at ", expected.partition.partition, "@", expected.offset);
          }
        }
      }
    }
  }
}

TEST_CASE("any batches, rebalances and copies, one worker and several: the rows are those of the recomputation") {
  for (std::uint32_t seed = 1; seed <= 8; ++seed) {
    CAPTURE(seed);
    PgView pg(view_of_all_values());
    const Log log = scattered(random_value_events(seed, 400, false), seed, 4, false);
    run_workers(pg, log, 1 + static_cast<int>(seed % 3), seed);
    CHECK(text_of(pg.text_rows()) == text_of(expected_rows(pg.view(), log, pg.dead_letters())));
    const verify::Comparison comparison = compared(pg, log);
    CHECK(comparison.differing_rows == 0);
    CHECK(comparison.uncertain_rows == 0);
  }
}

TEST_CASE("the same events in any order, with copies anywhere: the same rows") {
  const auto events = random_value_events(77, 300, true);
  TextRows first;
  std::string sketches;
  for (std::uint32_t seed = 1; seed <= 5; ++seed) {
    CAPTURE(seed);
    PgView pg(view_of_all_values());
    const Log log = scattered(events, seed, 3, true);
    run_workers(pg, log, 2, seed);
    const TextRows rows = pg.text_rows();
    if (seed == 1) first = rows;
    CHECK(text_of(rows) == text_of(first));
    CHECK(compared(pg, log).differing_rows == 0);
    CHECK(compared(pg, log).uncertain_rows == 0);
    const std::string bytes =
        pg.query(
              "SELECT string_agg(concat_ws(' ', \"p50$sketch\", \"p10$sketch\", \"users$sketch\", \"mean$sum\","
              " \"mean$count\"), '; ' ORDER BY k, hour) FROM " +
              pg.view().name)[0][0]
            .as<std::string>();
    if (seed == 1) sketches = bytes;
    CHECK(bytes == sketches);
  }
}

TEST_CASE("a date without a row: balances are carried, a ratio follows, the rest is 0 or NULL") {
  const auto read = read_definition(R"({"view": "v", "kind": "summary",
    "key": [{"name": "k", "type": "text"}, {"name": "day", "type": "date", "time_zone": "UTC"}],
    "columns": [{"name": "level", "type": "decimal", "scale": 2, "value": "balance"},
                {"name": "limit_", "type": "int", "value": "balance"},
                {"name": "flow", "type": "decimal", "scale": 2, "value": "sum"},
                {"name": "used", "type": "decimal", "scale": 3, "value": "ratio", "of": ["level", "limit_"]},
                {"name": "turned", "type": "decimal", "scale": 3, "value": "ratio", "of": ["flow", "level"]},
                {"name": "of_flow", "type": "decimal", "scale": 3, "value": "ratio", "of": ["level", "flow"]},
                {"name": "low", "type": "decimal", "scale": 2, "value": "min"},
                {"name": "seen", "type": "timestamp", "value": "last"},
                {"name": "p50", "type": "int", "value": "quantile", "quantile": 0.5},
                {"name": "users", "type": "int", "value": "distinct"}],
    "sources": [{"topic": "t", "event": "e", "key": {"k": "/data/k", "day": "/time"},
                 "add": {"level": "/data/n", "limit_": 30, "flow": "/data/n"},
                 "take": {"low": "/data/n", "seen": "/time", "p50": "/data/m", "users": "/data/m"}}]})");
  PgView pg(std::get<ViewDefinition>(read));
  Log log;
  log[{"t", 0}][0] = LogRecord{
      R"({"specversion":"1.0","id":"1","source":"/s","type":"e","time":"2026-03-10T08:00:00.5Z","data":{"k":"a","n":12.50,"m":7}})",
      1'790'000'000'000,
      {}};
  run_loop(pg.view(), log, *pg.store(), {});
  const std::string statement = sql::ReaderStatements(pg.view(), pg.generation().id, pg.view().name).rows;
  const auto answer = [&](const std::string& day) {
    std::string sql = statement;
    sql.replace(sql.find("$1::"), 2, "'{a}'");
    sql.replace(sql.find("$2::"), 2, "'{" + day + "}'");
    const pqxx::result row = pg.query(sql);
    std::string json = row[0][4].is_null() ? "" : row[0][4].as<std::string>();
    return row[0][3].as<std::string>() + " " + json.substr(0, json.find(",\"updated_at\""));
  };
  CHECK(
      answer("2026-03-10") ==
      R"(row {"k":"a","day":"2026-03-10","level":12.50,"limit_":30,"flow":12.50,"used":0.417,"turned":1.000,"of_flow":1.000,)"
      R"("low":12.50,"seen":"2026-03-10T08:00:00.500000Z","p50":7,"users":1)");
  CHECK(
      answer("2026-03-15") ==
      R"(carried {"k":"a","day":"2026-03-15","level":12.50,"limit_":30,"flow":0.00,"used":0.417,"turned":0.000,"of_flow":null,)"
      R"("low":null,"seen":null,"p50":null,"users":0)");
  CHECK(answer("2026-03-09") == "absent ");
}

TEST_CASE("sketches merged by PostgreSQL say what one of all values says") {
  std::mt19937_64 random(5);
  PgView pg(view_of_all_values());  // makes the functions
  const auto array = [](const std::map<std::int64_t, std::int64_t>& parts, int bits) {
    std::string text = "'{";
    for (const auto& [part, number] : parts)
      text += (text.size() > 2 ? "," : "") + std::to_string(part * (std::int64_t{1} << bits) + number);
    return text + "}'::bigint[]";
  };
  for (int i = 0; i < 60; ++i) {
    CAPTURE(i);
    verify::Gathered counts[3], ranks[3];  // two parts and the whole
    const std::uint64_t size = 1 + random() % 3000;
    for (std::uint64_t n = 0; n < size; ++n) {
      const std::int64_t value = static_cast<std::int64_t>(random()) >> (1 + random() % 63);
      const std::int64_t entry = verify::register_of(std::to_string(random() % (1 + size * 3)));
      const std::size_t part = random() % 2;
      for (const std::size_t at : {part, std::size_t{2}}) {
        counts[at].take(Aggregate::quantile, verify::bucket_of(value), {});
        ranks[at].take(Aggregate::distinct, entry, {});
      }
    }
    const int share = 1 + static_cast<int>(random() % 999'999);
    const std::string merged =
        "daybook.merge_counts(" + array(counts[0].parts, 40) + ", " + array(counts[1].parts, 40) + ")";
    const std::string united =
        "daybook.merge_ranks(" + array(ranks[0].parts, 8) + ", " + array(ranks[1].parts, 8) + ")";
    const pqxx::result row = pg.query("SELECT daybook.quantile_of(" + merged + ", " + std::to_string(share) + "), " +
                                      merged + " = " + array(counts[2].parts, 40) + ", daybook.distinct_of(" + united +
                                      "), " + united + " = " + array(ranks[2].parts, 8));
    CHECK(row[0][0].as<std::int64_t>() == verify::quantile_of(counts[2], share));
    CHECK(row[0][1].as<bool>());
    CHECK(row[0][2].as<std::int64_t>() == verify::distinct_of(ranks[2]));
    CHECK(row[0][3].as<bool>());
  }
}
