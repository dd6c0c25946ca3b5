// One simulated run: workers' own loops on a fake log, store and clock, under the faults that the seed chose. First the
// faults, with the invariants checked after each commit; then, without any more of them, everything must come to its
// end.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "tests/simulation/chaos.h"
#include "tests/simulation/database.h"
#include "tests/simulation/events.h"
#include "tests/simulation/invariants.h"
#include "tests/simulation/log.h"
#include "tests/simulation/session.h"
#include "tests/simulation/source.h"
#include "tests/simulation/stepped_committer.h"
#include "worker/loop.h"

namespace daybook::simulation {

class World {
 public:
  World(const Events& events, std::uint32_t seed, std::vector<std::string>* history);
  // Throws Violation.
  void run();

  Chaos& chaos() { return chaos_; }
  std::uint64_t commits() const { return static_cast<std::uint64_t>(database_.seq()); }
  std::uint64_t checks() const { return invariants_.checks(); }
  std::uint64_t records() const { return produced_; }

 private:
  // One process.
  struct Worker {
    Worker(int number, World& world);
    int number;
    SimulatedSource source;
    Session session;
    SteppedCommitter* committer = nullptr;  // the loop's
    std::unique_ptr<Loop> loop;
    bool is_frozen = false;
    std::optional<std::string> paused_for;
  };
  using Place = std::unique_ptr<Worker>;  // empty: no process

  void act();
  bool act_on_commit(std::uint32_t choice);
  void act_on_processes();
  void act_on_services();
  void act_on_log();

  void step(Place& place);
  void start(Place& place);
  void crash(Place& place, const char* fault);
  void leave(Place& place);
  void rebalance(std::uint32_t polls_max, bool everybody_learns);

  void produce(int count);
  void append(int event);
  int draw_event();
  void flood();
  void replace_log();
  void restore_log();
  void remove_old();
  void decide_about_pause();
  void check_pause_has_cause();
  void check_pause_is_stored(Worker& worker);
  static void check_reads(const Worker& worker);
  bool has_foreign_worker() const;

  void come_to_an_end();
  bool everything_is_read() const;
  void check_all_caught_up();

  Place& any_place() { return places_[chaos_.below(static_cast<std::uint32_t>(places_.size()))]; }
  TopicPartition any_partition();

  const Events& events_;
  Chaos chaos_;
  SimulatedLog log_;
  Invariants invariants_;
  Database database_;
  std::vector<Place> places_;
  std::vector<Place> ghosts_;  // processes that ended while the database still works on their commit
  int processes_ = 0;
  int next_valid_ = 0;
  int first_valid_ = 0;
  std::uint64_t produced_ = 0;
  std::vector<int> sent_;  // events that can be sent again
  bool was_replaced_ = false;
};

}  // namespace daybook::simulation
