// What all parts of a simulated run share: the seed's randomness, the clock, what may go wrong in this run, and the
// history of what happened. Everything that is decided is decided here, so that a seed is one history.
#pragma once

#include <spdlog/fmt/fmt.h>

#include <chrono>
#include <cstdint>
#include <map>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "worker/limits.h"
#include "worker/ports.h"

namespace daybook::simulation {

// Something that DESIGN.md promises does not hold.
struct Violation {
  std::string invariant;
  std::string detail;
};

// The worker's process ends in mid-air. No std::exception: nothing in the loop may catch it.
struct Crash {};

class SimulatedClock : public Clock {
 public:
  std::chrono::steady_clock::time_point now() override { return now_; }
  void pass(std::chrono::milliseconds time) { now_ += time; }

 private:
  std::chrono::steady_clock::time_point now_{std::chrono::hours(1)};
};

// What a run consists of. Not all at once: a fault hides what another one would show.
struct Profile {
  int workers = 1;
  int partitions = 1;
  int records = 0;
  std::size_t run_max = 1;  // records of a partition that a poll brings at most
  Limits limits;
  // Per mille of the chances to happen; 0: not in this run.
  int crash_in_call = 0, lost_answer = 0, deadlock = 0, too_slow = 0, call_fails = 0, behind = 0, stale = 0;
  int broker_fails = 0, stuck = 0, short_end = 0;
  bool crashes = false, freezes = false, storms = false, database_away = false, broker_away = false;
  bool failovers = false, partitions_added = false, floods = false, poison = false, replaced = false;
  bool retention = false, wrong_cluster = false, slow_commits = false, long_waits = false, gaps = false;
};

class Chaos {
 public:
  explicit Chaos(std::uint32_t seed, std::vector<std::string>* history);

  std::uint32_t below(std::uint32_t n) { return n <= 1 ? 0 : random_() % n; }
  // Faults end when the run comes to its end.
  bool chance(int per_mille) { return !quiet && per_mille > 0 && below(1000) < static_cast<std::uint32_t>(per_mille); }
  bool flip() { return below(2) == 0; }
  // A process can end at every call that it makes.
  void maybe_crash(const char* where);

  template <class... Args>
  void note(fmt::format_string<Args...> format, Args&&... args) {
    if (history_ != nullptr) keep(fmt::format(format, std::forward<Args>(args)...));
  }
  // A fault, for the table at the end.
  void count(std::string_view fault) { ++faults[fault]; }
  bool keeps_history() const { return history_ != nullptr; }

  Profile profile;
  SimulatedClock clock;
  std::map<std::string_view, std::uint64_t> faults;
  bool quiet = false;
  bool database_is_away = false;
  bool broker_is_away = false;

 private:
  void keep(const std::string& line);
  void draw_profile();

  std::mt19937 random_;
  std::vector<std::string>* history_;
};

}  // namespace daybook::simulation
