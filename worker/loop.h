// The worker's loop for one view: intake -> decode -> fold -> commit.
//
// Invariants
//   - A partition's `folded` offset is the next one to fold; everything below it is in the table, in the batch
//     that is being committed, or in the open batch.
//   - Batches commit in the order in which they were folded. When one fails, the open one behind it goes too, their
//     fingerprints leave the set, and reading starts again from the stored positions: nothing is ever retried
//     whose outcome is not known.
//   - `known_` is the last commit of the view of which all fingerprints, its own and those before, are in the set.
//   - A partition is folded only once the log has shown the record that was applied last (its anchor), or can't show it
//     any more.
//
// One class in four files: loop.cpp is the round (poll, fold, submit), loop_outcomes.cpp what becomes of a commit,
// loop_recovery.cpp assignment, pause and going on from the stored positions, loop_status.cpp what it tells about
// itself.
#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "core/definition.h"
#include "worker/committer.h"
#include "worker/decode/decoder.h"
#include "worker/evidence.h"
#include "worker/flood_window.h"
#include "worker/fold/batch.h"
#include "worker/fold/seen_set.h"
#include "worker/limits.h"
#include "worker/partition_table.h"
#include "worker/ports.h"
#include "worker/status.h"

namespace daybook {

class Loop {
 public:
  Loop(const ViewDefinition& view, const FingerprintKey& key, Source& source, Store& store, Clock& clock,
       Limits limits);
  // With another way to commit than a thread, and with its seed for the jitter of waits: the same calls then always
  // come in the same order.
  Loop(const ViewDefinition& view, const FingerprintKey& key, Source& source, Store& store, Clock& clock, Limits limits,
       std::unique_ptr<Committer> committer, std::uint32_t jitter_seed);

  // One round: settles a commit, polls, folds, submits. Returns within some 100 ms unless the store blocks.
  // Throws StopError when the process has to end; what concerns the view alone pauses it.
  void step();

  // Waits for the commit that is under way, at most `timeout`; drops the open batch. False when the commit goes on.
  bool finish(std::chrono::milliseconds timeout);

  // All assigned partitions were read to their end, and all of it is committed.
  bool caught_up() const;
  // Why the view is paused; nothing is read until a person resumes it.
  const std::optional<std::string>& paused() const { return paused_; }
  // And the other workers know, too.
  bool pause_is_stored() const { return paused_ && !pause_is_ours_; }
  // Partitions are assigned, taken and being read.
  bool reading() const { return synchronized_ && !partitions_.empty(); }

  const Counters& counters() const { return counters_; }
  const SeenSet& seen() const { return seen_; }
  // How long ago the oldest event of the deduplication window was committed: a copy that comes within this time is
  // recognized. Nothing while it is not known, or no event was seen yet.
  std::optional<std::chrono::seconds> deduplication_age() const;
  std::string describe() const;  // one line for the log
  // For others to look at. On the loop's thread, between steps; some microseconds.
  ViewStatus status();

 private:
  using Time = std::chrono::steady_clock::time_point;

  // Of one batch.
  struct Tally {
    std::uint64_t duplicates = 0;
    std::uint64_t ids_reused = 0;
    std::uint64_t passed_over = 0;
  };

  std::pair<ViewStatus::State, std::string> state() const;

  void round();
  bool wait_for_committer();
  void go_on_after_stall();
  void poll();

  void settle(const CommitOutcome& outcome);
  void on_fenced();
  void count_commit();
  void move_stored_positions();
  void on_applied(const Applied& applied);
  void on_refused(const Refused& refused);
  bool make_dead_letter(const TopicPartition& partition, std::int64_t offset, const Rejection& rejection);
  void commit_in_halves();
  bool is_too_much_to_merge(const std::vector<Fingerprint>& others) const;
  void merge(const std::vector<Fingerprint>& others);
  void expire_if_due();
  void note_reused_id(const Record& record, const TopicPartition& partition);
  void note_reused_id(const std::string& what);
  void report_reused_ids();
  void report_slow_commit();
  std::string place_of(const Fingerprint& fingerprint) const;

  void on_revoked();
  void synchronize();
  void take_partitions();
  void check_range(OwnedPartition& partition, const LogRange& range);
  void load_or_tail(bool new_session);
  void pause(const std::string& why);
  void on_paused(const std::string& why);
  void forget_troubles();
  void restart_from_store(const std::string& why, std::chrono::milliseconds delay);
  std::chrono::milliseconds next_backoff();

  void fold();
  void apply_ends();
  bool fold_one(const Record& record, const DecodedEvent& event);
  bool is_new(OwnedPartition* partition, const Record& record);
  void take_anchors();
  DeadLetter letter_of(const Record& record, const DecodedEvent& event);
  bool is_full() const;

  void submit_if_ready();
  [[noreturn]] void pause_for_flood() const;
  void submit();
  void start_commit();
  void forget(Batch& batch);
  void mirror();
  void pass_time();
  void look_for_stuck_partitions(Time now);
  void note_movement();
  std::chrono::milliseconds patience() const;

  const ViewDefinition view_;
  Source& source_;
  Store& store_;
  Clock& clock_;
  const Limits limits_;
  Decoder decoder_;
  SeenSet seen_;
  Counters counters_;
  CommitSizes commit_sizes_;
  std::minstd_rand jitter_;

  // What the group assigned, and what of it was taken in the store. `synchronized_`: the session is good, the set is
  // as of known_, the partitions are taken and being read.
  std::vector<TopicPartition> assigned_;
  PartitionTable partitions_;
  bool synchronized_ = false;
  bool joined_ = false;  // the group has answered with an assignment, be it of no partition
  bool loaded_ = false;
  bool stalled_ = false;  // the source was stopped because the store is slow
  Head known_;
  Time retry_at_{};
  int failures_ = 0;
  std::string last_trouble_;
  std::optional<std::string> paused_;
  bool pause_is_ours_ = false;           // `paused_` is not stored yet
  bool log_is_short_ = false;            // as of the last try
  std::optional<Time> log_short_since_;  // some partition's log ended before its stored position
  FloodWindow flood_;
  std::string last_rejection_;
  std::vector<Time> fenced_at_;

  Tally open_tally_, flying_tally_;
  std::unique_ptr<Batch> open_;
  std::unique_ptr<Batch> flying_;      // being committed
  Time opened_at_{};                   // first movement of the open batch
  bool open_moved_ = false;            // some partition's position is beyond where the open batch begins
  std::int64_t lag_ = 0;               // as of the last poll
  bool open_is_full_ = false;          // the next event does not fit into the open batch
  bool discard_outcome_ = false;       // of the commit under way: reading began again meanwhile
  std::optional<Time> blocked_since_;  // the open batch is full and the one before it still being committed
  std::span<const Record> records_;    // polled, not folded yet
  std::vector<std::pair<TopicPartition, std::int64_t>> ends_;  // behind these records
  std::vector<DecodedEvent> decoded_;

  // Parts of a batch that the database refused, the next one to commit at the back. A part that is refused is halved,
  // until the guilty event stands alone. It becomes a dead letter in its place if its bytes are at hand. If not (the
  // first time), it is condemned: when it is read again it becomes one; and from then on evidence is kept for a while.
  std::vector<std::unique_ptr<Batch>> suspects_;
  std::map<std::pair<TopicPartition, std::int64_t>, Rejection> condemned_;
  Evidence evidence_;
  std::optional<Time> suspicious_until_;

  Time others_until_{};  // other workers committed lately
  Positions stored_;     // what commits since the last assignment reached
  bool mirror_due_ = false;
  Time mirrored_at_{};
  Time expire_at_{};
  std::optional<Time> oldest_seen_at_;  // when the oldest event of the window was committed
  Time looked_at_{};
  std::uint64_t unreported_reused_ids_ = 0;
  std::string last_reused_id_;
  std::optional<Time> reused_ids_reported_at_;
  Time commit_started_at_{};
  bool slow_commit_reported_ = false;  // of the commit under way
  std::optional<Time> committed_at_;
  bool database_connected_ = false;  // as of when the store was last free

  // Last, so that it is destroyed first: its thread reads the batch that is being committed.
  std::unique_ptr<Committer> committer_;
};

}  // namespace daybook
