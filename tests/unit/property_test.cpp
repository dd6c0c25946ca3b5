// Properties: whatever the traffic, the batches, the rebalances and the number of workers, the rows are those of the
// independent recomputation, and every record is accounted for.
#include <doctest/doctest.h>

#include <thread>

#include "core/definition_reader.h"
#include "tests/support/memory_store.h"
#include "tests/support/random_log.h"
#include "tests/support/recomputed.h"
#include "tests/support/run_loop.h"

using namespace daybook;
using namespace daybook::test;

namespace {

ViewDefinition summary() {
  return load_definitions({DAYBOOK_SOURCE_DIR "/schemas/bloodbank/views/dashboard_daily_summary.json"}).front();
}

// Loses the answer to some commits: to half of those after the commit happened, to the others before.
class LossyStore : public MemoryStore {
 public:
  LossyStore(ViewDefinition view, std::uint32_t seed) : MemoryStore(std::move(view)), random_(seed) {}
  CommitOutcome commit(const Batch& batch, const OwnedPositions& owned, std::int64_t known_seq) override {
    const std::uint32_t fate = random_() % 16;
    if (fate == 0) return Unknown{"lost before the commit"};
    if (fate == 1) return TooSlow{};
    CommitOutcome outcome = MemoryStore::commit(batch, owned, known_seq);
    if (fate == 2) return Unknown{"lost after the commit"};
    return outcome;
  }

 private:
  std::minstd_rand random_;
};

void check_equal(const ViewDefinition& view, const Log& log, const MemoryStore& store) {
  CHECK(text_of(store.rows()) == text_of(recomputed(view, log, store.dead_letters())));
  for (const auto& [partition, records] : log) {
    if (!records.empty()) CHECK(store.positions().at(partition) == records.rbegin()->first + 1);
  }
}

}  // namespace

TEST_CASE("one worker, any batches and rebalances") {
  const ViewDefinition view = summary();
  for (std::uint32_t seed = 1; seed <= 60; ++seed) {
    CAPTURE(seed);
    const Log log = random_log(seed, 3, 300);
    MemoryStore store(view);
    RunOptions options;
    options.seed = seed;
    options.run_max = 1 + seed % 40;
    options.limits.events_max = 1 + seed % 25;
    options.limits.rows_max = 1 + seed % 17;
    options.rebalances = static_cast<int>(seed % 5);
    run_loop(view, log, store, options);
    check_equal(view, log, store);
  }
}

TEST_CASE("answers to commits are lost, the window is small") {
  ViewDefinition view = summary();
  view.deduplication_window_events = 1000;
  for (std::uint32_t seed = 1; seed <= 25; ++seed) {
    CAPTURE(seed);
    const Log log = random_log(seed, 3, 400);
    LossyStore store(view, seed);
    RunOptions options;
    options.seed = seed;
    options.run_max = 20;
    options.limits.events_max = 40;
    options.rebalances = static_cast<int>(seed % 3);
    run_loop(view, log, store, options);
    check_equal(view, log, store);
  }
}

TEST_CASE("three workers at once, copies of events on each other's partitions") {
  const ViewDefinition view = summary();
  for (std::uint32_t seed = 1; seed <= 15; ++seed) {
    CAPTURE(seed);
    const Log log = random_log(seed, 6, 600);
    MemoryStore store(view);
    std::vector<Log> shares;
    for (int worker = 0; worker < 3; ++worker) shares.push_back(share_of(log, worker, 3));
    std::vector<std::thread> threads;
    for (std::uint32_t worker = 0; worker < 3; ++worker) {
      threads.emplace_back([&, worker] {
        RunOptions options;
        options.seed = seed * 3 + worker;
        options.run_max = 7;
        options.limits.events_max = 5 + seed % 20;
        options.rebalances = static_cast<int>(seed % 3);
        run_loop(view, shares[worker], store, options);
      });
    }
    for (std::thread& thread : threads) thread.join();
    check_equal(view, log, store);
  }
}
