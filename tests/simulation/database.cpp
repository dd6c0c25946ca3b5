#include "tests/simulation/database.h"

#include <algorithm>

#include "tests/simulation/invariants.h"
#include "worker/defect.h"

namespace daybook::simulation {

TakeOutcome Database::take_as(int worker, const std::string& cluster_id, const std::vector<TopicPartition>& partitions,
                              const Positions& first) {
  // Where the log begins when the view meets a partition is where the view begins there.
  for (const auto& [partition, begin] : first) {
    if (!paused_ && begin > 0 && positions_.count(partition) == 0) moves_.push_back({partition, 0, begin});
  }
  TakeOutcome taken = take(cluster_id, partitions, first);
  if (auto* owned = std::get_if<OwnedPositions>(&taken)) {
    for (auto& [partition, position] : *owned) {
      if (DAYBOOK_DEFECT("take keeps the epoch") && position.epoch > 1)
        position.epoch = --positions_.at(partition).epoch;
      owner_[partition] = worker;
    }
  }
  return taken;
}

CommitOutcome Database::commit_as(int worker, const Batch& batch, const OwnedPositions& owned, std::int64_t known_seq) {
  const std::int64_t seq_before = head_.seq;
  const std::string nonce_before = head_.nonce;
  const bool was_paused = paused_.has_value();
  const std::map<TopicPartition, OwnedPosition> before = positions_;
  if (DAYBOOK_DEFECT("a paused view takes commits")) paused_.reset();
  CommitOutcome outcome = commit(batch, owned, known_seq);
  if (!std::holds_alternative<Applied>(outcome)) {
    if (head_.seq != seq_before) throw Violation{"all or nothing", "a commit that failed has a number"};
    invariants_.check(log_, *this);
    return outcome;
  }
  if (was_paused) throw Violation{"pause", "a commit was applied while the view is paused"};
  if (head_.seq != seq_before + 1 || head_.nonce == nonce_before)
    throw Violation{"commit numbers", fmt::format("{} follows {}", head_.seq, seq_before)};
  for (const auto& [partition, range] : batch.ranges()) {
    const std::string where = to_string(partition, range.to);
    if (range.to <= before.at(partition).next)
      throw Violation{"positions are monotone", fmt::format("{} after {}", where, before.at(partition).next)};
    if (owner_.at(partition) != worker)
      throw Violation{"fencing",
                      fmt::format("worker {} moved {}, which worker {} took", worker, where, owner_.at(partition))};
    furthest_[partition] = std::max(furthest(partition), range.to);
  }
  invariants_.check(log_, *this);
  if (chaos_.profile.failovers && chaos_.chance(300)) remember();
  return outcome;
}

// The newest chunks that hold the window together stay.
std::optional<std::chrono::seconds> Database::expire() {
  std::uint64_t newer = 0;
  for (auto chunk = chunks_.end(); chunk != chunks_.begin();) {
    --chunk;
    const std::uint64_t window =
        DAYBOOK_DEFECT("expiry takes what the window needs") ? 20 : view_.deduplication_window_events;
    if (newer >= window)
      chunk = chunks_.erase(chunk);
    else
      newer += chunk->second.size();
  }
  return std::nullopt;
}

void Database::fail_over() {
  ++incarnation_;
  if (history_.empty()) return;
  State former = state();
  State& chosen = history_[chaos_.below(static_cast<std::uint32_t>(history_.size()))];
  table_ = chosen.table;
  positions_ = chosen.positions;
  chunks_ = chosen.chunks;
  head_ = chosen.head;
  cluster_id_ = chosen.cluster_id;
  paused_ = chosen.paused;
  dead_letters_ = chosen.letters;
  moves_ = chosen.moves;
  owner_.clear();
  // The other server may come back one day, as it was.
  chosen = std::move(former);
}

void Database::move_position(const TopicPartition& partition, std::int64_t to) {
  OwnedPosition& position = positions_.at(partition);
  moves_.push_back({partition, position.next, to});
  position = {to, position.epoch + 1, std::nullopt};
  furthest_[partition] = std::max(furthest(partition), to);
  paused_.reset();
  cluster_id_.clear();
}

std::int64_t Database::next_of(const TopicPartition& partition) const {
  const auto found = positions_.find(partition);
  return found == positions_.end() ? -1 : found->second.next;
}

bool Database::has_anchor(const TopicPartition& partition) const {
  const auto found = positions_.find(partition);
  return found != positions_.end() && found->second.anchor;
}

std::int64_t Database::furthest(const TopicPartition& partition) const {
  const auto found = furthest_.find(partition);
  return found == furthest_.end() ? -1 : found->second;
}

bool Database::owns(const Batch& batch, const OwnedPositions& owned) const {
  if (DAYBOOK_DEFECT("no compare-and-set")) return true;
  if (DAYBOOK_DEFECT("the epoch is not compared")) {
    for (const auto& [partition, range] : batch.ranges()) {
      if (positions_.at(partition).next != range.from) return false;
    }
    return true;
  }
  return MemoryStore::owns(batch, owned);
}

std::vector<Fingerprint> Database::hits(const Batch& batch, const std::vector<Fingerprint>& others) const {
  std::vector<Fingerprint> found = MemoryStore::hits(batch, others);
  if (DAYBOOK_DEFECT("the others' fingerprints are not looked through")) return {};
  return found;
}

CommitOutcome Database::refuse(const Batch& batch) {
  if (DAYBOOK_DEFECT("positions commit before rows")) MemoryStore::move_positions(batch);
  return MemoryStore::refuse(batch);
}

void Database::move_positions(const Batch& batch) {
  if (DAYBOOK_DEFECT("dead letters are not in the commit")) {
    for (const DeadLetter& letter : batch.dead_letters()) dead_letters_.push_back(letter);
  }
  MemoryStore::move_positions(batch);
}

std::string Database::next_nonce() {
  if (DAYBOOK_DEFECT("the nonce is the number")) return std::to_string(head_.seq);
  return fmt::format("{:08x}", chaos_.below(0xFFFFFFFF));
}

void Database::keep_fingerprints(const Batch& batch) {
  if (DAYBOOK_DEFECT("the fingerprint chunk is forgotten") && batch.events() == 1) return;
  MemoryStore::keep_fingerprints(batch);
}

bool Database::apply(const RowChanges& changes, Table& table) const {
  const Table before =
      DAYBOOK_DEFECT("a balance changes its own date only") || DAYBOOK_DEFECT("a new date's balance begins at 0")
          ? table
          : Table();
  if (!MemoryStore::apply(changes, table)) return false;
  const auto is_in_batch = [&changes](std::string_view key) {
    return std::find(changes.keys.begin(), changes.keys.end(), key) != changes.keys.end();
  };
  for (auto& [key, values] : table) {
    if (DAYBOOK_DEFECT("a balance changes its own date only") && before.count(key) > 0 && !is_in_batch(key)) {
      values = before.at(key);
    }
    if (DAYBOOK_DEFECT("a new date's balance begins at 0") && before.count(key) == 0) {
      for (std::size_t row = 0; row < changes.keys.size(); ++row) {
        if (changes.keys[row] == key) values[0] = changes.changes[0][row];
      }
    }
  }
  return true;
}

}  // namespace daybook::simulation
