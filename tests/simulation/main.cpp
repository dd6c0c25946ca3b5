// simulation: the worker's loop under seeded faults. docs/simulation.md describes it.
#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>

#include "tests/simulation/run.h"

using namespace daybook::simulation;

namespace {

void print_history(const Events& events, std::uint32_t seed) {
  std::vector<std::string> history;
  Totals totals;
  run_seed(events, seed, totals, &history);
  for (const std::string& line : history) std::printf("%s\n", line.c_str());
}

// The same seed is the same history.
bool is_repeatable(const Events& events, std::uint32_t seed) {
  std::vector<std::string> once, again;
  Totals totals;
  run_seed(events, seed, totals, &once);
  run_seed(events, seed, totals, &again);
  if (once == again) return true;
  std::printf("seed %u is not the same history each time\n", seed);
  return false;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"The worker's own loop on a fake log, store and clock under a seeded schedule of faults."};
  std::string range = "1-2000";
  std::uint32_t seed = 0;
  app.add_option("--seeds", range, "Runs these seeds, A-B")->capture_default_str();
  CLI::Option* const one = app.add_option("--seed", seed, "Runs one seed and prints its history");
  std::string kind = "summary";
  app.add_option("--kind", kind, "Of a view of this kind: summary or latest")
      ->check(CLI::IsMember({"summary", "latest"}))
      ->capture_default_str();
  app.footer("Example: simulation --seed 17");
  CLI11_PARSE(app, argc, argv);

  const Events events = kind == "latest" ? make_latest_events() : make_events();
  Totals totals;
  if (*one) {
    std::vector<std::string> history;
    const std::optional<Violation> violation = run_seed(events, seed, totals, &history);
    for (const std::string& line : history) std::printf("%s\n", line.c_str());
    std::printf("seed %u: %s\n", seed, violation ? "failed" : "passed");
    return violation ? EXIT_FAILURE : EXIT_SUCCESS;
  }

  unsigned first = 0, last = 0;
  if (std::sscanf(range.c_str(), "%u-%u", &first, &last) != 2 || first > last) {
    std::fprintf(stderr, "simulation: --seeds %s: expected A-B with A not above B\n", range.c_str());
    return EXIT_FAILURE;
  }
  const auto begin = std::chrono::steady_clock::now();
  int failures = 0;
  for (std::uint32_t at = first; at <= last && failures < 5; ++at) {
    if (const std::optional<Violation> violation = run_seed(events, at, totals)) {
      if (++failures == 1) print_history(events, at);
      std::printf("seed %u failed: %s: %s\n", at, violation->invariant.c_str(), violation->detail.c_str());
    } else if (at % 100 == 1 && !is_repeatable(events, at)) {
      ++failures;
    }
  }
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
  for (const auto& [fault, count] : totals.faults)
    std::printf("%10llu  %s\n", static_cast<unsigned long long>(count), std::string(fault).c_str());
  std::printf("seeds %u to %u: %llu records, %llu commits, invariants checked %llu times, %d seeds failed, %.1f s\n",
              first, last, static_cast<unsigned long long>(totals.records),
              static_cast<unsigned long long>(totals.commits), static_cast<unsigned long long>(totals.checks), failures,
              took.count());
  return failures == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
