#include "worker/loop.h"

#include <spdlog/spdlog.h>

#include <algorithm>

#include "core/error.h"
#include "worker/defect.h"

namespace daybook {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t decode_group = 16;  // events between hashing an identity and looking it up: hides the cache miss
constexpr auto mirror_interval = 1'000ms;
constexpr auto look_interval = 1'000ms;

// Of key and value, which are told apart from empty ones when they are missing.
std::uint64_t hash_of(const Record& record) {
  const std::uint64_t key = record.key ? digest(1, *record.key) : 0;
  return record.value ? digest(key, *record.value) : ~key;
}

}  // namespace

Loop::Loop(const ViewDefinition& view, const FingerprintKey& key, Source& source, Store& store, Clock& clock,
           Limits limits)
    : Loop(view, key, source, store, clock, limits,
           std::make_unique<ThreadedCommitter>(store, [&source] { source.wake(); }), std::random_device{}()) {}

Loop::Loop(const ViewDefinition& view, const FingerprintKey& key, Source& source, Store& store, Clock& clock,
           Limits limits, std::unique_ptr<Committer> committer, std::uint32_t jitter_seed)
    : view_(view),
      source_(source),
      store_(store),
      clock_(clock),
      limits_(limits),
      decoder_(view, key),
      // Staged at any moment: the batch that is being committed and the open one.
      seen_(view.deduplication_window_events, 4 * limits.events_max),
      jitter_(jitter_seed),
      partitions_(view.topics()),
      flood_(limits.flood_records, limits.flood_share),
      open_(std::make_unique<Batch>(view)),
      flying_(std::make_unique<Batch>(view)),
      decoded_(decode_group),
      committer_(std::move(committer)) {
  looked_at_ = clock_.now();
}

void Loop::step() {
  try {
    round();
  } catch (const PauseError& error) {
    pause(error.what());
  } catch (const RetryError& error) {
    restart_from_store(error.what(), next_backoff());
  }
}

void Loop::round() {
  if (committer_->busy()) {
    if (const std::optional<CommitOutcome> outcome = committer_->outcome(0ms)) settle(*outcome);
  }
  report_slow_commit();
  if (!synchronized_ && !committer_->busy() && clock_.now() >= retry_at_) synchronize();
  if (committer_->busy() && is_full() && !stalled_ && !wait_for_committer()) return;
  blocked_since_.reset();
  if (stalled_ && synchronized_ && !is_full() && !DAYBOOK_DEFECT("a stall ends with the next batch"))
    go_on_after_stall();

  if (records_.empty()) poll();
  if (!records_.empty()) fold();
  if (records_.empty() || DAYBOOK_DEFECT("ends are applied before the records")) apply_ends();
  submit_if_ready();
  pass_time();
}

// A full batch behind a commit: nothing more is taken in. When that lasts, the source lets go of what it fetched, and
// polling goes on so that the group keeps this member. False while there is nothing to do but wait.
bool Loop::wait_for_committer() {
  if (!blocked_since_) blocked_since_ = clock_.now();
  if (const std::optional<CommitOutcome> outcome = committer_->outcome(100ms)) {
    settle(*outcome);
    return true;
  }
  if (clock_.now() - *blocked_since_ <= limits_.stall_max) return false;
  spdlog::warn("{}: a commit has taken more than {} ms; intake pauses until it ends", view_.name,
               limits_.stall_max.count());
  // What was polled but not folded comes again: reading goes on at `folded`.
  records_ = {};
  ends_.clear();
  source_.stop();
  stalled_ = true;
  return true;
}

// What the source let go of is read again. Meanwhile the topic may have been made anew: the anchors are looked at.
void Loop::go_on_after_stall() {
  stalled_ = false;
  for (OwnedPartition& partition : partitions_) {
    if (!partition.expected) partition.expected = partition.anchor ? partition.anchor : partition.submitted_anchor;
    partition.heard_at = clock_.now();
  }
  source_.start(partitions_.to_read());
}

void Loop::poll() {
  const Polled polled = source_.poll(patience());
  // First of all: what the commit under way answers can throw, and the group says this once.
  if (polled.revoked) assigned_.clear();
  if (polled.assigned) assigned_ = *polled.assigned;
  if (polled.revoked) on_revoked();
  if (polled.assigned) {
    joined_ = true;
    synchronized_ = false;
    retry_at_ = clock_.now();
  }
  if (!synchronized_ || stalled_) return;
  records_ = polled.records;
  lag_ = -static_cast<std::int64_t>(records_.size());
  for (const OwnedPartition& partition : partitions_)
    lag_ += std::max<std::int64_t>(0, source_.known_end(partition.name) - partition.folded);
  ends_.assign(polled.ends.begin(), polled.ends.end());
}

// How long poll() may wait. A commit that ends wakes it.
std::chrono::milliseconds Loop::patience() const { return committer_->busy() ? 100ms : 50ms; }

// ---- fold ----

bool Loop::is_full() const {
  const bool shared = clock_.now() < others_until_;
  if (suspicious_until_ &&
      (open_->events() >= limits_.events_max_suspicious || evidence_.memory_bytes() >= limits_.bytes_max))
    return true;
  return open_is_full_ || flood_.is_flooded() ||
         open_->events() >= (shared ? limits_.events_max_shared : limits_.events_max) ||
         open_->rows() >= (shared ? limits_.rows_max_shared : limits_.rows_max) ||
         open_->memory_bytes() >= limits_.bytes_max;
}

// The end of a partition lies beyond its last record when markers or compacted records close it.
void Loop::apply_ends() {
  for (const auto& [name, next] : ends_) {
    OwnedPartition* const partition = partitions_.find(name);
    if (partition == nullptr) continue;
    partition->heard_at = clock_.now();
    if (next >= partition->folded) partition->at_end = true;
    if (next <= partition->folded) continue;
    note_movement();
    partition->folded = next;
  }
  ends_.clear();
}

void Loop::fold() {
  while (!records_.empty() && !is_full()) {
    const std::size_t group = std::min(decode_group, records_.size());
    for (std::size_t i = 0; i < group; ++i) {
      // The bytes came from another thread: they are on their way to this core while the one before is decoded.
      if (i + 1 < records_.size() && records_[i + 1].value) __builtin_prefetch(records_[i + 1].value->data());
      decoder_.decode(records_[i], decoded_[i]);
      if (decoded_[i].outcome != Outcome::contributes) continue;
      seen_.prefetch(decoded_[i].fingerprint);
      open_->prefetch_slot(decoded_[i]);
    }
    for (std::size_t i = 0; i < group; ++i) {
      if (decoded_[i].outcome == Outcome::contributes) open_->prefetch_row(decoded_[i]);
    }
    for (std::size_t i = 0; i < group && !open_is_full_; ++i) {
      if (!fold_one(records_[i], decoded_[i])) {
        records_ = records_.subspan(i);
        open_is_full_ = true;
        break;
      }
    }
    if (!open_is_full_) records_ = records_.subspan(group);
  }
  take_anchors();
}

// The records' bytes are valid until the next poll only.
void Loop::take_anchors() {
  for (OwnedPartition& partition : partitions_) {
    if (partition.last == nullptr) continue;
    partition.anchor = Anchor{partition.last->offset, partition.last->timestamp_ms, hash_of(*partition.last)};
    partition.last = nullptr;
    partition.heard_at = clock_.now();
  }
}

// Whether a record is to be folded. Those below the position are stale, but for the first one: reading begins at the
// anchor, which must be the record that was applied.
bool Loop::is_new(OwnedPartition* partition, const Record& record) {
  if (partition == nullptr) {
    ++counters_.stale_records;
    return false;
  }
  const bool is_anchor = partition->expected && record.offset == partition->expected->offset;
  if (partition->expected && record.offset >= partition->expected->offset) {
    const Anchor expected = *std::exchange(partition->expected, std::nullopt);
    const std::string where = to_string(partition->name, expected.offset);
    if (!is_anchor) {
      spdlog::warn("{}: {} was applied last and is not in the log any more (compaction?); going on without the check",
                   view_.name, where);
    } else if (Anchor{record.offset, record.timestamp_ms, hash_of(record)} != expected &&
               !DAYBOOK_DEFECT("the anchor is not checked")) {
      throw PauseError(where + " is not the record that was applied last: topic " + partition->name.topic +
                       " was deleted and made again, or truncated. Restore it, or accept the log as it is now with"
                       " `daybook positions move " +
                       view_.name + " --to earliest`");
    }
  }
  if (record.offset >= partition->folded || DAYBOOK_DEFECT("records below the position are folded")) return true;
  partition->heard_at = clock_.now();  // from a late anchor on, much may come before anything is new
  if (!is_anchor) ++counters_.stale_records;
  return false;
}

// False when the open batch must be committed before this record can be folded.
bool Loop::fold_one(const Record& record, const DecodedEvent& event) {
  OwnedPartition* const partition = partitions_.find(record);
  if (!is_new(partition, record)) return true;
  const auto condemned = condemned_.empty() ? condemned_.end() : condemned_.find({partition->name, record.offset});
  if (condemned != condemned_.end()) {
    DecodedEvent guilty;
    decoder_.describe(record, guilty);
    guilty.rejection = condemned->second;
    if (!DAYBOOK_DEFECT("a condemned event is passed over")) open_->add(letter_of(record, guilty));
  } else if (event.outcome == Outcome::contributes) {
    if (!open_->can_add(event)) return false;
    switch (seen_.insert(event.fingerprint)) {
      case SeenSet::Inserted::fresh:
        open_->add(event, {partitions_.number(*partition), record.offset});
        if (suspicious_until_) evidence_.add(partition->name, record, flood_.next());
        break;
      case SeenSet::Inserted::other_content:
        ++open_tally_.ids_reused;
        note_reused_id(record, partition->name);
        [[fallthrough]];
      case SeenSet::Inserted::duplicate:
        ++open_tally_.duplicates;
        if (suspicious_until_) evidence_.add_dropped(event.fingerprint);
        break;
    }
  } else if (event.outcome == Outcome::rejected) {
    open_->add(letter_of(record, event));
  } else {
    ++open_tally_.passed_over;
  }
  const bool rejected = event.outcome == Outcome::rejected || condemned != condemned_.end();
  if (rejected || event.outcome == Outcome::contributes) flood_.add(rejected);
  partition->folded = record.offset + 1;
  if (DAYBOOK_DEFECT("a tombstone moves the position by two") && !record.value) ++partition->folded;
  partition->last = &record;
  partition->at_end = false;
  note_movement();
  return true;
}

DeadLetter Loop::letter_of(const Record& record, const DecodedEvent& event) {
  DeadLetter letter;
  letter.partition = {partitions_.topic(record), record.partition};
  letter.offset = record.offset;
  letter.timestamp_ms = record.timestamp_ms;
  if (record.key) letter.key = std::string(*record.key);
  if (record.value) letter.value = std::string(*record.value);
  std::vector<Header> headers;
  record.headers(headers);
  for (const Header& header : headers) letter.headers.emplace_back(header.name, header.value);
  letter.rejection = event.rejection;
  last_rejection_ = event.rejection.code + " at " + to_string(letter.partition, letter.offset);
  letter.source = event.source;
  letter.id = event.id;
  letter.type = event.type;
  return letter;
}

// ---- submit ----

void Loop::note_movement() {
  if (open_moved_) return;
  open_moved_ = true;
  opened_at_ = clock_.now();
}

void Loop::submit_if_ready() {
  if (!synchronized_ || committer_->busy()) return;
  if (!open_moved_) {
    // What came before the flood was noticed is committed: going on after a resumption is progress.
    if (flood_.is_flooded()) pause_for_flood();
    return;
  }
  const auto age = clock_.now() - opened_at_;
  if (open_->events() == 0 && open_->dead_letters().empty()) {
    if (age >= limits_.only_positions_age) submit();
    return;
  }
  if (lag_ < limits_.catching_up_lag || is_full() || age >= limits_.catching_up_age_max) submit();
}

void Loop::pause_for_flood() const {
  throw PauseError(std::to_string(flood_.count()) + " of the last " + std::to_string(flood_.size()) +
                   " events can't be applied, the last one for the reason " + last_rejection_ +
                   ". They are dead letters (`daybook dead-letters list " + view_.name +
                   "`). When their cause is mended, or to go on"
                   " regardless: `daybook views resume " +
                   view_.name + "`");
}

void Loop::submit() {
  for (OwnedPartition& partition : partitions_) {
    if (partition.folded == partition.open_from) continue;
    if (partition.anchor) partition.submitted_anchor = partition.anchor;
    open_->cover(partition.name, {partition.open_from, partition.folded, partitions_.number(partition),
                                  std::exchange(partition.anchor, std::nullopt)});
    partition.open_from = partition.folded;
  }
  std::swap(open_, flying_);
  if (DAYBOOK_DEFECT("progress is told before the commit")) {
    for (const auto& [name, range] : flying_->ranges()) stored_[name] = range.to;
    mirror_due_ = true;
  }
  flying_tally_ = std::exchange(open_tally_, {});
  if (stalled_ && DAYBOOK_DEFECT("a stall ends with the next batch")) go_on_after_stall();
  open_moved_ = false;
  open_is_full_ = false;
  start_commit();
}

void Loop::start_commit() {
  OwnedPositions owned;
  for (const OwnedPartition& partition : partitions_) {
    const auto range = flying_->ranges().find(partition.name);
    if (range != flying_->ranges().end()) owned[partition.name] = {range->second.from, partition.epoch};
  }
  commit_started_at_ = clock_.now();
  slow_commit_reported_ = false;
  committer_->start(*flying_, std::move(owned), known_.seq);
}

void Loop::mirror() {
  if (!mirror_due_) return;
  source_.mirror(stored_);
  mirror_due_ = false;
  mirrored_at_ = clock_.now();
}

// What happens by time alone.
void Loop::pass_time() {
  const Time now = clock_.now();
  if (synchronized_ && now - mirrored_at_ >= mirror_interval) mirror();
  report_reused_ids();
  // The store is not free.
  if ((committer_->busy() && !DAYBOOK_DEFECT("the store is used during a commit")) || !synchronized_) return;
  if (suspicious_until_ && now >= *suspicious_until_) {
    suspicious_until_.reset();
    evidence_.clear();
  }
  look_for_stuck_partitions(now);
  expire_if_due();
  if (now - looked_at_ < look_interval) return;
  // A worker that has nothing to commit stays near the others' fingerprints, so that its next commit need not
  // look through many of them under the lock.
  looked_at_ = now;
  if (store_.head() != known_) load_or_tail(false);
}

// librdkafka's fetchers were seen to stop for good after some rebalances and leader changes. A quiet partition looks
// the same, so the broker is asked.
void Loop::look_for_stuck_partitions(Time now) {
  if (stalled_ || !records_.empty() || is_full() || DAYBOOK_DEFECT("a stuck fetcher is not noticed")) return;
  for (OwnedPartition& partition : partitions_) {
    if (now - partition.heard_at < limits_.silence_max) continue;
    partition.heard_at = now;
    const std::int64_t end = source_.range(partition.name).end;
    if (end <= partition.folded) continue;
    throw RetryError(to_string(partition.name, partition.folded) + ": nothing came for " +
                     std::to_string(limits_.silence_max.count()) + " ms although the log goes on to " +
                     std::to_string(end));
  }
}

bool Loop::caught_up() const {
  return synchronized_ && !partitions_.empty() && !committer_->busy() && !open_moved_ && records_.empty() &&
         std::all_of(partitions_.begin(), partitions_.end(), [](const OwnedPartition& p) { return p.at_end; });
}

bool Loop::finish(std::chrono::milliseconds timeout) {
  if (committer_->busy()) {
    if (const std::optional<CommitOutcome> outcome = committer_->outcome(timeout)) {
      if (std::holds_alternative<Applied>(*outcome)) {
        count_commit();
        move_stored_positions();
      }
    }
  }
  if (!partitions_.empty()) mirror();
  source_.stop();
  return !committer_->busy();
}

std::string Loop::describe() const {
  return fmt::format(
      "{} events applied in {} commits, {} duplicates, {} dead letters, {} passed over, {} fingerprints ({} MiB)",
      counters_.applied_events, counters_.commits, counters_.duplicates, counters_.dead_letters, counters_.passed_over,
      seen_.size(), seen_.memory_bytes() >> 20);
}

}  // namespace daybook
