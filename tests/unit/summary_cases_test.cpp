// Cases as data (tests/cases/summary): given these events, then exactly these rows and dead letters. Each case runs as
// it is, with every event repeated, in several orders between partitions, in batches of one event and of a few, and
// with rebalances; and each time the rows equal verify's independent recomputation.
#include <doctest/doctest.h>

#include "tests/support/case_file.h"
#include "tests/support/memory_store.h"
#include "tests/support/recomputed.h"
#include "tests/support/run_loop.h"

using namespace daybook;
using namespace daybook::test;

namespace {

void check(const CaseFile& test, const Log& log, const RunOptions& options, bool exact_letters) {
  MemoryStore store(test.view);
  run_loop(test.view, log, store, options);
  CHECK(text_of(store.rows()) == text_of(test.rows));
  CHECK(text_of(store.rows()) == text_of(recomputed(test.view, log, store.dead_letters())));
  for (const auto& [partition, records] : log) {
    CHECK(store.positions().at(partition) == (records.empty() ? 0 : records.rbegin()->first + 1));
  }
  if (!exact_letters) return;
  CHECK(store.dead_letters().size() == test.dead_letters.size());
  for (const ExpectedDeadLetter& expected : test.dead_letters) {
    bool found = false;
    for (const DeadLetter& letter : store.dead_letters()) {
      if (letter.partition != expected.partition || letter.offset != expected.offset) continue;
      found = true;
      CHECK(letter.rejection.code == expected.code);
      CHECK_MESSAGE(letter.rejection.detail.find(expected.detail_part) != std::string::npos, letter.rejection.detail);
      CHECK(letter.value == log.at(expected.partition).at(expected.offset).value);
    }
    CHECK_MESSAGE(found, "no dead letter at ", expected.partition.partition, "@", expected.offset);
  }
}

}  // namespace

TEST_CASE("summary cases") {
  static const std::vector<CaseFile> cases = load_cases(DAYBOOK_SOURCE_DIR "/tests/cases/summary");
  for (const CaseFile& test : cases) {
    SUBCASE(test.name.c_str()) {
      INFO(test.about);
      SUBCASE("as it is") { check(test, test.log, {}, true); }
      SUBCASE("every event repeated") { check(test, with_every_record_repeated(test.log), {}, false); }
      SUBCASE("other orders between partitions, rebalances") {
        for (std::uint32_t seed = 1; seed <= 20; ++seed) {
          CAPTURE(seed);
          RunOptions options;
          options.seed = seed;
          options.run_max = 3;
          options.rebalances = static_cast<int>(seed % 4);
          check(test, test.log, options, true);
        }
      }
      SUBCASE("batches of one and of a few events") {
        for (const std::size_t events : {1, 2, 7}) {
          RunOptions options;
          options.limits.events_max = events;
          options.run_max = 4;
          check(test, test.log, options, true);
        }
      }
    }
  }
}
