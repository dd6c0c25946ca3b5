// simulation_defects: shows that the simulation has teeth. Built with the loop's sources and the fakes' defects
// compiled in; each is switched on alone and has to be found within 200 seeds.
#include <cstdio>
#include <string_view>

#include "tests/simulation/run.h"
#include "worker/defect.h"

namespace daybook {
namespace {

std::string_view defect;  // the one that is on

struct Defect {
  const char* where;
  const char* name;
};

constexpr Defect defects[] = {
    // Mistakes that the SQL could have.
    {"store", "no compare-and-set"},
    {"store", "the epoch is not compared"},
    {"store", "take keeps the epoch"},
    {"store", "the fingerprint chunk is forgotten"},
    {"store", "positions commit before rows"},
    {"store", "a balance changes its own date only"},
    {"store", "a new date's balance begins at 0"},
    {"store", "the others' fingerprints are not looked through"},
    {"store", "dead letters are not in the commit"},
    {"store", "the nonce is the number"},
    {"store", "a paused view takes commits"},
    {"store", "expiry takes what the window needs"},
    {"store", "the tail's head is newer than its fingerprints"},
    // Mistakes of the loop.
    {"loop", "an unknown commit is tried again"},
    {"loop", "an unknown commit counts as applied"},
    {"loop", "a tombstone moves the position by two"},
    {"loop", "a failed batch leaves its fingerprints"},
    {"loop", "no reload when the nonce differs"},
    {"loop", "the anchor is not checked"},
    {"loop", "the open batch outlives a failed one"},
    {"loop", "records below the position are folded"},
    {"loop", "progress is told before the commit"},
    {"loop", "ends are applied before the records"},
    {"loop", "others' fingerprints are not merged"},
    {"loop", "a condemned event is passed over"},
    {"loop", "the second half commits first"},
    {"loop", "the first half takes copies of the second's events"},
    {"loop", "an outcome from before a revocation is used"},
    {"loop", "reading begins where retention left it"},
    {"loop", "a stuck fetcher is not noticed"},
    {"loop", "the store is used during a commit"},
    {"loop", "a pause is not stored"},
    {"loop", "a short log pauses at once"},
    {"loop", "a stall ends with the next batch"},
    // In a `latest` view.
    {"states", "an older state takes a newer one's place"},
    {"states", "what is gone is forgotten"},
    {"states", "the fingerprint chunk is forgotten"},
    {"states", "a condemned event is passed over"},
};
constexpr std::uint32_t seeds_max = 200;

}  // namespace

bool defect_is_on(std::string_view name) { return name == defect; }

}  // namespace daybook

int main() {
  using namespace daybook;
  const simulation::Events summary = simulation::make_events();
  const simulation::Events latest = simulation::make_latest_events();
  int missed = 0;
  std::printf("%-6s %-50s %6s  %s\n", "where", "defect", "seed", "what did not hold");
  for (const Defect& d : defects) {
    defect = d.name;
    const simulation::Events& events = std::string_view(d.where) == "states" ? latest : summary;
    std::uint32_t seed = 0;
    std::optional<simulation::Violation> violation;
    while (!violation && seed < seeds_max) {
      simulation::Totals totals;
      violation = simulation::run_seed(events, ++seed, totals);
    }
    missed += static_cast<int>(!violation);
    std::printf("%-6s %-50s %6s  %s\n", d.where, d.name, violation ? std::to_string(seed).c_str() : "-",
                violation ? violation->invariant.c_str() : "NOT FOUND");
    std::fflush(stdout);
  }
  std::printf("%zu defects, %d not found within %u seeds\n", std::size(defects), missed, seeds_max);
  return missed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
