// The worker's Store in memory: what sql/templates/commit.sql does, written out plainly. Several loops may
// share one (each call is atomic). The steps of a commit are virtual: the simulation replaces some by defective ones.
#pragma once

#include <climits>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "core/definition.h"
#include "core/error.h"
#include "core/row_key.h"
#include "worker/ports.h"

namespace daybook::test {

// Key columns as PostgreSQL prints them.
using RowKeyText = std::vector<std::string>;
using Rows = std::map<RowKeyText, std::vector<std::int64_t>>;
using TextRows = std::map<RowKeyText, std::vector<std::string>>;  // values as PostgreSQL prints them, "NULL" for NULL

inline RowKeyText key_text(const ViewDefinition& view, std::string_view key) {
  RowKeyText text;
  std::size_t at = 0;
  for (const KeyColumn& column : view.key) {
    switch (column.type) {
      case KeyType::uuid: {
        static constexpr char digits[] = "0123456789abcdef";
        std::string uuid;
        for (std::size_t i = 0; i < 16; ++i) {
          if (i == 4 || i == 6 || i == 8 || i == 10) uuid.push_back('-');
          const auto byte = static_cast<unsigned char>(key[at + i]);
          uuid.push_back(digits[byte >> 4]);
          uuid.push_back(digits[byte & 15]);
        }
        text.push_back(uuid);
        at += 16;
        break;
      }
      case KeyType::text: {
        text.emplace_back(key.substr(at, key.find('\0', at) - at));
        at += text.back().size() + 1;
        break;
      }
      case KeyType::integer:
        text.push_back(std::to_string(row_key::integer_at(key.data() + at)));
        at += 8;
        break;
      case KeyType::timestamp:
        text.push_back(microseconds_text(row_key::integer_at(key.data() + at)));
        at += 8;
        break;
      case KeyType::date:
        text.push_back(to_string(row_key::postgres_date_at(key.data() + at) + postgres_epoch));
        at += date_key_size;
        break;
      case KeyType::hour:
      case KeyType::minute:
        text.push_back(utc_text(row_key::begin_at(key.data() + at)).replace(10, 1, " ").replace(19, 1, "+00"));
        at += 8;
        break;
    }
  }
  return text;
}

class MemoryStore : public Store {
 public:
  explicit MemoryStore(ViewDefinition view) : view_(std::move(view)) {}

  bool connect() override { return false; }
  Head load(const std::function<void(std::uint64_t)>& expect,
            const std::function<void(std::span<const Fingerprint>)>& each_chunk) override {
    const std::lock_guard lock(mutex_);
    ++loads;
    expect(since(0).size());
    for (const auto& [seq, chunk] : chunks_) each_chunk(chunk);
    return head_;
  }
  Tail tail(std::int64_t seq) override {
    const std::lock_guard lock(mutex_);
    return {head_, since(seq)};
  }
  Head head() override {
    const std::lock_guard lock(mutex_);
    return head_;
  }
  TakeOutcome take(const std::string& cluster_id, const std::vector<TopicPartition>& partitions,
                   const Positions& first) override {
    const std::lock_guard lock(mutex_);
    if (cluster_id_.empty()) cluster_id_ = cluster_id;
    if (cluster_id_ != cluster_id) throw StopError("the view reads another cluster");
    if (paused_) return *paused_;
    OwnedPositions owned;
    for (const TopicPartition& partition : partitions) {
      OwnedPosition& stored = positions_.try_emplace(partition, OwnedPosition{first.at(partition), 0}).first->second;
      ++stored.epoch;
      owned[partition] = stored;
    }
    return owned;
  }
  void pause(const std::string& why) override {
    const std::lock_guard lock(mutex_);
    if (!paused_) paused_ = Paused{why};
  }
  bool is_paused() const {
    const std::lock_guard lock(mutex_);
    return paused_.has_value();
  }
  // What a person does.
  void resume() {
    const std::lock_guard lock(mutex_);
    paused_.reset();
  }
  CommitOutcome commit(const Batch& batch, const OwnedPositions& owned, std::int64_t known_seq) override {
    const std::lock_guard lock(mutex_);
    if (paused_) return *paused_;
    if (!owns(batch, owned)) return Fenced{};
    const std::vector<Fingerprint> others = since(known_seq);
    CommittedElsewhere elsewhere{hits(batch, others)};
    if (!elsewhere.identities.empty()) return elsewhere;
    Table next = table_;
    StateTable next_states = states_;
    const bool fits = view_.has_states() ? apply_states(batch.states(), next_states) : apply(batch.row_changes(), next);
    if (!fits) return refuse(batch);
    table_.swap(next);
    states_.swap(next_states);
    move_positions(batch);
    ++head_.seq;
    head_.nonce = next_nonce();
    keep_fingerprints(batch);
    for (const DeadLetter& letter : batch.dead_letters()) dead_letters_.push_back(letter);
    return Applied{head_, others};
  }
  std::optional<std::chrono::seconds> expire() override { return std::nullopt; }

  // Of a `latest` view: of each part of each row the state that counts.
  struct KeptState {
    StateOrder order;
    bool gone = false;
    std::string values;
  };
  using StateTable = std::map<std::pair<std::string, std::uint32_t>, KeptState>;
  const StateTable& states() const { return states_; }

  // Any thread, while loops commit.
  Rows rows() const {
    const std::lock_guard lock(mutex_);
    Rows rows;
    for (const auto& [key, values] : table_) rows[key_text(view_, key)] = values;
    return rows;
  }
  Positions positions() const {
    const std::lock_guard lock(mutex_);
    Positions positions;
    for (const auto& [partition, owned] : positions_) positions[partition] = owned.next;
    return positions;
  }
  std::vector<DeadLetter> dead_letters() const {
    const std::lock_guard lock(mutex_);
    return dead_letters_;
  }
  int loads = 0;  // how often all fingerprints were read

 protected:
  using Table = std::map<std::string, std::vector<std::int64_t>, std::less<>>;

  // The steps of a commit, in their order, under the lock.
  virtual bool owns(const Batch& batch, const OwnedPositions& owned) const {
    for (const auto& [partition, range] : batch.ranges()) {
      const OwnedPosition& stored = positions_.at(partition);
      if (stored.epoch != owned.at(partition).epoch || stored.next != range.from) return false;
    }
    return true;
  }
  virtual std::vector<Fingerprint> hits(const Batch& batch, const std::vector<Fingerprint>& others) const {
    std::set<std::pair<std::uint64_t, std::uint32_t>> unseen;
    for (const Fingerprint& f : others) unseen.insert({f.identity_high, f.identity_low});
    std::vector<Fingerprint> found;
    for (const Fingerprint& f : batch.fingerprints()) {
      if (unseen.count({f.identity_high, f.identity_low}) > 0) found.push_back(f);
    }
    return found;
  }
  virtual CommitOutcome refuse(const Batch&) { return Refused{"22003", "integer out of range"}; }
  virtual void move_positions(const Batch& batch) {
    for (const auto& [partition, range] : batch.ranges()) {
      positions_.at(partition).next = range.to;
      if (range.anchor) positions_.at(partition).anchor = range.anchor;
    }
  }
  virtual std::string next_nonce() { return std::to_string(head_.seq); }
  virtual void keep_fingerprints(const Batch& batch) {
    if (batch.events() > 0) chunks_[head_.seq] = batch.fingerprints();
  }

  virtual std::vector<Fingerprint> since(std::int64_t seq) const {
    std::vector<Fingerprint> found;
    for (auto chunk = chunks_.upper_bound(seq); chunk != chunks_.end(); ++chunk) {
      found.insert(found.end(), chunk->second.begin(), chunk->second.end());
    }
    return found;
  }

  // Key by key, change by change: a change of a balance at a date is one of every later row of the key.
  virtual bool apply(const RowChanges& changes, Table& table) const {
    const auto without_date = [](std::string_view key) { return key.substr(0, key.size() - date_key_size); };
    for (std::size_t row = 0; row < changes.keys.size(); ++row) {
      const std::string key(changes.keys[row]);
      if (table.count(key) == 0) {
        std::vector<std::int64_t> values(view_.columns.size(), 0);
        auto before = table.lower_bound(key);
        if (view_.has_balance() && before != table.begin() && without_date((--before)->first) == without_date(key)) {
          for (std::size_t c = 0; c < values.size(); ++c) {
            if (view_.columns[c].aggregate == Aggregate::balance) values[c] = before->second[c];
          }
        }
        table[key] = values;
      }
      for (std::size_t c = 0; c < view_.columns.size(); ++c) {
        const std::int64_t change = changes.changes[c][row];
        if (view_.columns[c].aggregate != Aggregate::balance) {
          table[key][c] += change;
        } else {
          for (auto later = table.find(key); later != table.end() && without_date(later->first) == without_date(key);
               ++later) {
            later->second[c] += change;
          }
        }
      }
    }
    for (const auto& [key, values] : table) {
      for (std::size_t c = 0; c < values.size(); ++c) {
        if (view_.columns[c].type == ColumnType::int4 && (values[c] > INT_MAX || values[c] < INT_MIN)) return false;
      }
    }
    return true;
  }

  // A newer state takes the place of an older one. A bigint beyond 32 bits stands for what an index can't hold.
  virtual bool apply_states(const std::vector<StateFold::Kept>& batch, StateTable& states) const {
    const std::vector<std::size_t> parts = view_.parts();
    for (const StateFold::Kept& state : batch) {
      std::string_view values = state.values;
      for (std::size_t c = 0; c < parts.size() && !state.gone; ++c) {
        if (parts[c] != state.part) continue;
        const std::optional<std::string_view> value = state_values::next(values);
        if (!value || view_.columns[c].type != ColumnType::int8) continue;
        if (static_cast<std::int64_t>(row_key::load_big_endian<std::uint64_t>(value->data())) > INT_MAX) return false;
      }
      KeptState& kept = states[{std::string(state.key), state.part}];
      if (kept.order < state.order) kept = {state.order, state.gone, std::string(state.values)};
    }
    return true;
  }

  const ViewDefinition view_;
  mutable std::mutex mutex_;
  Table table_;
  StateTable states_;
  std::map<TopicPartition, OwnedPosition> positions_;
  std::map<std::int64_t, std::vector<Fingerprint>> chunks_;
  std::vector<DeadLetter> dead_letters_;
  Head head_{0, "0"};
  std::string cluster_id_;
  std::optional<Paused> paused_;
};

}  // namespace daybook::test
