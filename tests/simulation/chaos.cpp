#include "tests/simulation/chaos.h"

namespace daybook::simulation {

using namespace std::chrono_literals;

Chaos::Chaos(std::uint32_t seed, std::vector<std::string>* history) : random_(seed), history_(history) {
  draw_profile();
}

void Chaos::draw_profile() {
  Profile& p = profile;
  p.workers = 1 + static_cast<int>(below(3));
  p.partitions = 1 + static_cast<int>(below(4));
  p.records = 40 + static_cast<int>(below(160));
  p.run_max = 1 + below(20);
  const auto sometimes = [this](int per_mille) { return below(3) == 0 ? per_mille : 0; };
  p.crash_in_call = sometimes(8);
  p.lost_answer = sometimes(100);
  p.deadlock = sometimes(60);
  p.too_slow = sometimes(60);
  p.call_fails = sometimes(60);
  p.behind = sometimes(150);
  p.stale = sometimes(60);
  p.broker_fails = sometimes(60);
  p.stuck = sometimes(20);
  p.short_end = sometimes(80);
  for (bool* fault :
       {&p.crashes, &p.freezes, &p.storms, &p.database_away, &p.broker_away, &p.failovers, &p.partitions_added,
        &p.floods, &p.poison, &p.replaced, &p.retention, &p.wrong_cluster, &p.slow_commits, &p.long_waits, &p.gaps}) {
    *fault = below(3) == 0;
  }
  // Copies of events are kept once one was refused, and fill a worker's memory while a commit takes its time.
  if (p.poison && flip()) p.slow_commits = true;
  Limits& l = p.limits;
  l.events_max = 1 + below(30);
  l.rows_max = 1 + below(12);
  l.events_max_shared = 1 + below(20);
  l.rows_max_shared = 1 + below(8);
  if (below(4) == 0) l.events_max_suspicious = 1 + below(20);
  l.catching_up_lag = below(60);
  l.catching_up_age_max = std::chrono::milliseconds(below(500));
  l.only_positions_age = std::chrono::milliseconds(below(300));
  l.stall_max = std::chrono::milliseconds(100 + below(400));
  l.flood_records = 16;
  l.flood_share = p.floods ? 0.6 : 1;
}

void Chaos::maybe_crash(const char* where) {
  if (!chance(profile.crash_in_call)) return;
  count("crash inside a call");
  note("crash at {}", where);
  throw Crash{};
}

void Chaos::keep(const std::string& line) {
  const auto since_start = clock.now().time_since_epoch() - std::chrono::hours(1);
  const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(since_start).count();
  history_->push_back(fmt::format("{:>6}.{:03} {}", ms / 1000, ms % 1000, line));
}

}  // namespace daybook::simulation
