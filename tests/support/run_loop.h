// Runs the worker's own loop over a log in memory until everything in it is committed.
#pragma once

#include <stdexcept>

#include "tests/support/fake_source.h"
#include "worker/loop.h"

namespace daybook::test {

struct RunOptions {
  std::uint32_t seed = 1;     // of the order between partitions
  std::size_t run_max = 100;  // records a poll delivers at most
  Limits limits = [] {
    Limits limits;
    limits.only_positions_age = std::chrono::milliseconds(0);
    return limits;
  }();
  int rebalances = 0;  // assignments taken away and given back while it runs
};

inline const FingerprintKey test_key{7, 7, 7};

inline Counters run_loop(const ViewDefinition& view, const Log& log, Store& store, const RunOptions& options) {
  TestClock clock;
  FakeSource source(log, view.topics(), options.seed, options.run_max);
  Loop loop(view, test_key, source, store, clock, options.limits);
  const auto deadline = clock.now() + std::chrono::seconds(60);
  std::minstd_rand random(options.seed);
  for (int rebalances = options.rebalances; !loop.caught_up() || rebalances > 0;) {
    if (rebalances > 0 && (random() % 8 == 0 || loop.caught_up())) {
      source.rebalance();
      --rebalances;
      loop.step();
      continue;
    }
    loop.step();
    if (clock.now() > deadline) throw std::runtime_error("the loop did not come to the end of the log within 60 s");
  }
  loop.finish(std::chrono::seconds(5));
  return loop.counters();
}

}  // namespace daybook::test
