// Assignment, pause, and going on from the stored positions.
#include <spdlog/spdlog.h>

#include "core/error.h"
#include "worker/defect.h"
#include "worker/loop.h"

namespace daybook {
namespace {

using namespace std::chrono_literals;

constexpr auto backoff_first = 50ms;
constexpr auto backoff_max = 5'000ms;
constexpr auto pause_look_interval = 1'000ms;

}  // namespace

void Loop::on_revoked() {
  // First of all, since what the commit under way answers can throw. Another worker decides on what was condemned, and
  // perhaps another log is there when this one reads it again.
  condemned_.clear();
  joined_ = false;
  if (committer_->busy()) {
    if (const std::optional<CommitOutcome> outcome = committer_->outcome(5'000ms)) settle(*outcome);
    // Still under way: whatever comes of it, the next owner's take() waits for it; ours will be settled later.
  }
  condemned_.clear();  // what it answered, too
  restart_from_store("", 0ms);
}

// Drops all that is not committed and reads on from the stored positions, after `delay`.
void Loop::restart_from_store(const std::string& why, std::chrono::milliseconds delay) {
  source_.stop();
  records_ = {};
  ends_.clear();
  if (!committer_->busy()) {
    forget(*flying_);
  } else {
    // Whether its fingerprints are committed is not known: the set is read again.
    loaded_ = false;
    discard_outcome_ = true;
  }
  for (const auto& suspect : suspects_) forget(*suspect);
  suspects_.clear();
  if (!DAYBOOK_DEFECT("the open batch outlives a failed one")) forget(*open_);
  stored_.clear();
  mirror_due_ = false;
  flying_tally_ = open_tally_ = {};
  open_moved_ = false;
  open_is_full_ = false;
  partitions_.clear();
  evidence_.clear();
  if (seen_.is_worn()) loaded_ = false;
  synchronized_ = false;
  stalled_ = false;
  retry_at_ = clock_.now() + delay;
  if (why.empty()) return;
  ++counters_.restarts;
  if (why != last_trouble_) spdlog::warn("{}: {}; going on from the stored positions", view_.name, why);
  last_trouble_ = why;
}

// Drops a batch; its fingerprints are not staged any more.
void Loop::forget(Batch& batch) {
  if (!DAYBOOK_DEFECT("a failed batch leaves its fingerprints")) {
    for (const Fingerprint& fingerprint : batch.fingerprints()) seen_.erase(fingerprint);
  }
  batch.clear();
}

std::chrono::milliseconds Loop::next_backoff() {
  const auto bound = std::min<std::chrono::milliseconds>(backoff_max, backoff_first * (1 << std::min(failures_, 10)));
  ++failures_;
  return bound / 2 + std::chrono::milliseconds(jitter_() % static_cast<unsigned>(bound.count()));
}

void Loop::synchronize() {
  log_is_short_ = false;
  try {
    load_or_tail(store_.connect());
    database_connected_ = true;
    if (pause_is_ours_) {
      store_.pause(*paused_);
      pause_is_ours_ = false;
    }
    if (!assigned_.empty()) {
      take_partitions();
    } else {
      // An assignment of nothing has to be answered, too: else the group waits for this member for ever, and it never
      // takes over.
      if (joined_) {
        source_.start({});
        spdlog::info("{}: reads nothing: the group gave all partitions to other workers", view_.name);
      }
      paused_.reset();  // a view's pause concerns those who read it
      last_trouble_.clear();
      synchronized_ = true;
    }
    log_short_since_.reset();
  } catch (const RetryError& error) {
    if (!log_is_short_) log_short_since_.reset();  // only what is short each time is truncated
    const std::string trouble = error.what();
    if (trouble != last_trouble_) spdlog::warn("{}: {}; trying again", view_.name, trouble);
    last_trouble_ = trouble;
    retry_at_ = clock_.now() + next_backoff();
  }
}

// Raises the epochs, checks that the log still has what is needed next, and starts reading.
void Loop::take_partitions() {
  std::map<TopicPartition, LogRange> ranges;
  Positions first;
  for (const TopicPartition& partition : assigned_) {
    ranges[partition] = source_.range(partition);
    first[partition] = ranges[partition].begin;
  }
  TakeOutcome taken = store_.take(source_.cluster_id(), assigned_, first);
  if (const auto* paused = std::get_if<Paused>(&taken)) {
    on_paused(paused->why);
    return;
  }
  partitions_.clear();
  std::string list;
  for (const auto& [name, owned] : std::get<OwnedPositions>(taken)) {
    OwnedPartition partition;
    partition.name = name;
    partition.epoch = owned.epoch;
    partition.stored = partition.open_from = partition.folded = owned.next;
    partition.expected = partition.submitted_anchor = owned.anchor;
    partition.heard_at = clock_.now();
    check_range(partition, ranges.at(name));
    partitions_.add(std::move(partition));
    list += " " + to_string(name, owned.next);
  }
  source_.start(partitions_.to_read());
  const char* const again = last_trouble_.empty() && !paused_ ? "" : "goes on; ";
  spdlog::info("{}: {}reads{}", view_.name, again, list);
  paused_.reset();
  last_trouble_.clear();
  synchronized_ = true;
}

// The log has what is to be read next. Reading begins at the anchor, unless retention took it.
void Loop::check_range(OwnedPartition& partition, const LogRange& range) {
  const std::string where = to_string(partition.name, partition.folded);
  if (DAYBOOK_DEFECT("reading begins where retention left it") && partition.folded < range.begin) {
    partition.folded = range.begin;
    partition.expected.reset();
    return;
  }
  if (partition.folded < range.begin) {
    throw PauseError(where + " is to be read next, but the log begins at " + std::to_string(range.begin) +
                     ": retention removed what was not read yet. Restore the topic, or go on behind the gap with"
                     " `daybook positions move " +
                     view_.name + " --to earliest`");
  }
  if (partition.folded > range.end) {
    // For a moment after a change of leader this is no news.
    log_is_short_ = true;
    if (!log_short_since_) log_short_since_ = clock_.now();
    const std::string what = where + " is to be read next, but the log ends at " + std::to_string(range.end);
    if (clock_.now() - *log_short_since_ < limits_.short_log_patience && !DAYBOOK_DEFECT("a short log pauses at once"))
      throw RetryError(what);
    throw PauseError(what + ": topic " + partition.name.topic +
                     " was deleted and made again, or truncated. Restore it, or accept the log as it is now with"
                     " `daybook positions move " +
                     view_.name + " --to earliest`");
  }
  if (partition.expected && partition.expected->offset < range.begin) partition.expected.reset();
}

// After a pause another log may be there, and a flood is a new one.
void Loop::forget_troubles() {
  condemned_.clear();
  flood_.clear();
}

// A person has to decide. All workers of the view are told through the store, as soon as it can be reached.
void Loop::pause(const std::string& why) {
  restart_from_store("", 0ms);
  forget_troubles();
  paused_ = why;
  pause_is_ours_ = !DAYBOOK_DEFECT("a pause is not stored");
  spdlog::error("{}: paused: {}", view_.name, why);
}

void Loop::on_paused(const std::string& why) {
  restart_from_store("", pause_look_interval);
  forget_troubles();
  if (paused_ != why) spdlog::error("{}: paused: {}", view_.name, why);
  paused_ = why;
}

// Brings the set to the view's last commit. A new session may have reached a database that fell back to an older
// state (a standby that lagged): then the head isn't the one we know, and everything is read again.
void Loop::load_or_tail(bool new_session) {
  if (!loaded_ || (new_session && store_.head() != known_ && !DAYBOOK_DEFECT("no reload when the nonce differs"))) {
    // A set that was read in part must not be taken for this one, even if the next session is at known_ again.
    loaded_ = false;
    seen_.clear();
    const Time begin = clock_.now();
    known_ = store_.load([this](std::uint64_t count) { seen_.reserve(count); },
                         [this](std::span<const Fingerprint> chunk) { seen_.insert(chunk); });
    // Batches that are under way had their fingerprints in the old set: they can't be in use here.
    loaded_ = true;
    expire_at_ = clock_.now();  // it tells how far back the window reaches
    if (seen_.size() > 0) {
      spdlog::info("{}: {} fingerprints loaded in {} ms", view_.name, seen_.size(),
                   std::chrono::duration_cast<std::chrono::milliseconds>(clock_.now() - begin).count());
    }
    return;
  }
  const Tail tail = store_.tail(known_.seq);
  if (is_too_much_to_merge(tail.fingerprints)) {
    loaded_ = false;
    throw RetryError(std::to_string(tail.fingerprints.size()) + " events behind the other workers");
  }
  known_ = tail.head;
  merge(tail.fingerprints);
}

}  // namespace daybook
