// Runs one seed.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tests/simulation/chaos.h"
#include "tests/simulation/events.h"

namespace daybook::simulation {

// The events that the view `dashboard_daily_summary` reads.
Events make_events();
// Those of a `latest` view with two parts, on the same topic.
Events make_latest_events();

struct Totals {
  std::uint64_t records = 0, commits = 0, checks = 0;
  std::map<std::string_view, std::uint64_t> faults;  // commits by their outcome, too
};

// What did not hold, if anything. With `history`, what happened is added to it, a line each.
std::optional<Violation> run_seed(const Events& events, std::uint32_t seed, Totals& totals,
                                  std::vector<std::string>* history = nullptr);

}  // namespace daybook::simulation
