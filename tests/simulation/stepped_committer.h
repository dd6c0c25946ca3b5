// Commits when the schedule says so: the call reaches the store at one moment, its answer comes at a later one.
#pragma once

#include "tests/simulation/chaos.h"
#include "worker/committer.h"

namespace daybook::simulation {

class SteppedCommitter : public Committer {
 public:
  SteppedCommitter(Store& store, Chaos& chaos, bool& store_is_lent)
      : store_(store), chaos_(chaos), store_is_lent_(store_is_lent) {}

  void start(const Batch& batch, OwnedPositions owned, std::int64_t known_seq) override {
    if (busy_) throw Violation{"one commit at a time", "a second one was started"};
    busy_ = store_is_lent_ = true;
    answered_ = false;
    batch_ = &batch;
    owned_ = std::move(owned);
    known_seq_ = known_seq;
  }
  bool busy() const override { return busy_; }

  // A wait ends with the answer, or passes the time.
  std::optional<CommitOutcome> outcome(std::chrono::milliseconds timeout) override {
    if (timeout.count() > 0 && busy_ && !answered_) {
      const bool in_time = chaos_.quiet || !chaos_.profile.slow_commits || chaos_.below(8) == 0;
      chaos_.clock.pass(in_time ? timeout / 4 : timeout);
      if (in_time) {
        execute();
        answer();
      }
    }
    if (!answered_) return std::nullopt;
    answered_ = busy_ = store_is_lent_ = false;
    return std::exchange(outcome_, std::nullopt);
  }

  bool can_execute() const { return busy_ && !outcome_; }
  bool can_answer() const { return outcome_ && !answered_; }
  void execute() {
    if (!outcome_) outcome_ = store_.commit(*batch_, owned_, known_seq_);
  }
  void answer() { answered_ = true; }

 private:
  Store& store_;
  Chaos& chaos_;
  bool& store_is_lent_;  // the loop must not use the store between start() and outcome()
  bool busy_ = false;
  bool answered_ = false;
  const Batch* batch_ = nullptr;
  OwnedPositions owned_;
  std::int64_t known_seq_ = 0;
  std::optional<CommitOutcome> outcome_;
};

}  // namespace daybook::simulation
