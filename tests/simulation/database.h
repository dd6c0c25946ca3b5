// The database of a simulated run: MemoryStore's tables with random nonces, a history to fall back to, and what a
// person does to positions. After each commit the invariants are checked on it. The defects here stand for mistakes in
// sql/templates/commit_summary.sql and the migrations.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <set>

#include "tests/simulation/chaos.h"
#include "tests/simulation/log.h"
#include "tests/support/memory_store.h"

namespace daybook::simulation {

class Invariants;

class Database : public test::MemoryStore {
 public:
  // `daybook positions move`, and partitions that begin late: offsets that nobody reads.
  struct Move {
    TopicPartition partition;
    std::int64_t from = 0, to = 0;
  };

  Database(const ViewDefinition& view, Chaos& chaos, const SimulatedLog& log, Invariants& invariants)
      : MemoryStore(view), chaos_(chaos), log_(log), invariants_(invariants) {}

  // `worker` is who calls, by the number of its process.
  TakeOutcome take_as(int worker, const std::string& cluster_id, const std::vector<TopicPartition>& partitions,
                      const Positions& first);
  // The commit with all checks on what it did.
  CommitOutcome commit_as(int worker, const Batch& batch, const OwnedPositions& owned, std::int64_t known_seq);
  std::optional<std::chrono::seconds> expire() override;
  void pause(const std::string& why) override {
    reasons_.insert(why);
    MemoryStore::pause(why);
  }
  // After this, sessions of the incarnation before are dead.
  void restart() { ++incarnation_; }
  // Takes the place of a server that had more, or was ahead in another direction.
  void fail_over();
  void move_position(const TopicPartition& partition, std::int64_t to);

  // Some worker told all others so, in any history.
  bool was_paused_for(const std::string& why) const { return reasons_.count(why) > 0; }
  int incarnation() const { return incarnation_; }
  bool has_cluster() const { return !cluster_id_.empty(); }
  std::int64_t seq() const { return head_.seq; }
  std::int64_t next_of(const TopicPartition& partition) const;  // -1: not known yet
  bool has_anchor(const TopicPartition& partition) const;
  // The furthest that commits of any history reached.
  std::int64_t furthest(const TopicPartition& partition) const;
  std::string pause_reason() const { return paused_ ? paused_->why : std::string(); }

  const std::map<TopicPartition, OwnedPosition>& owned_positions() const { return positions_; }
  const std::map<std::int64_t, std::vector<Fingerprint>>& chunks() const { return chunks_; }
  const std::map<std::string, std::vector<std::int64_t>, std::less<>>& table() const { return table_; }
  const std::vector<Move>& moves() const { return moves_; }

 protected:
  bool owns(const Batch& batch, const OwnedPositions& owned) const override;
  std::vector<Fingerprint> hits(const Batch& batch, const std::vector<Fingerprint>& others) const override;
  CommitOutcome refuse(const Batch& batch) override;
  void move_positions(const Batch& batch) override;
  std::string next_nonce() override;
  void keep_fingerprints(const Batch& batch) override;
  bool apply(const RowChanges& changes, Table& table) const override;

 private:
  struct State {
    Table table;
    std::map<TopicPartition, OwnedPosition> positions;
    std::map<std::int64_t, std::vector<Fingerprint>> chunks;
    Head head;
    std::string cluster_id;
    std::optional<Paused> paused;
    std::vector<DeadLetter> letters;
    std::vector<Move> moves;
  };
  State state() const { return {table_, positions_, chunks_, head_, cluster_id_, paused_, dead_letters_, moves_}; }
  void remember() {
    if (history_.size() == 6) history_.erase(history_.begin() + chaos_.below(6));
    history_.push_back(state());
  }

  Chaos& chaos_;
  const SimulatedLog& log_;
  Invariants& invariants_;
  int incarnation_ = 0;
  std::set<std::string> reasons_;
  std::vector<Move> moves_;
  std::map<TopicPartition, int> owner_;  // the worker that took it last
  Positions furthest_;
  std::deque<State> history_;
};

}  // namespace daybook::simulation
