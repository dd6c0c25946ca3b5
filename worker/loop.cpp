#include "worker/loop.h"

#include <spdlog/spdlog.h>

#include <algorithm>

#include "core/error.h"

namespace daybook {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t decode_group = 16;  // events between hashing an identity and looking it up: hides the cache miss
constexpr auto backoff_first = 50ms;
constexpr auto backoff_max = 5'000ms;
constexpr int fenced_per_minute_max = 6;
constexpr auto mirror_interval = 1'000ms;
constexpr auto look_interval = 1'000ms;
constexpr auto expire_interval = 60'000ms;
constexpr auto others_interval = 2'000ms;

}  // namespace

Loop::Loop(const ViewDefinition& view, const FingerprintKey& key, Source& source, Store& store, Clock& clock,
           Limits limits)
    : view_(view),
      topics_(view.topics()),
      source_(source),
      store_(store),
      clock_(clock),
      limits_(limits),
      decoder_(view, key),
      // Staged at any moment: the batch that is being committed and the open one.
      seen_(view.deduplication_window_events, 4 * limits.events_max),
      jitter_(std::random_device{}()),
      slots_(topics_.size()),
      open_(std::make_unique<Batch>(view)),
      flying_(std::make_unique<Batch>(view)),
      decoded_(decode_group),
      committer_(store, [&source] { source.wake(); }) {
  expired_at_ = looked_at_ = clock_.now();
}

void Loop::step() {
  if (committer_.busy()) {
    if (const std::optional<CommitOutcome> outcome = committer_.outcome(0ms)) settle(*outcome);
  }
  if (!synchronized_ && !committer_.busy() && clock_.now() >= retry_at_) synchronize();

  // A full batch behind a commit: nothing more is taken in. When that lasts, the source lets go of what it fetched.
  if (committer_.busy() && is_full() && !stalled_) {
    if (!blocked_since_) blocked_since_ = clock_.now();
    if (const std::optional<CommitOutcome> outcome = committer_.outcome(100ms)) {
      settle(*outcome);
    } else if (clock_.now() - *blocked_since_ > limits_.stall_max) {
      spdlog::warn("{}: a commit has taken more than {} ms; intake pauses until it ends", view_.name,
                   limits_.stall_max.count());
      // What was polled but not folded comes again: reading goes on at `folded`.
      records_ = {};
      ends_.clear();
      source_.stop();
      stalled_ = true;
    } else {
      return;
    }
  }
  blocked_since_.reset();

  if (records_.empty()) {
    const Polled polled = source_.poll(patience());
    if (polled.revoked) on_revoked();
    if (polled.assigned) {
      assigned_ = *polled.assigned;
      synchronized_ = false;
      retry_at_ = clock_.now();
    }
    if (synchronized_ && !stalled_) {
      records_ = polled.records;
      lag_ = -static_cast<std::int64_t>(records_.size());
      for (const Partition& partition : partitions_)
        lag_ += std::max<std::int64_t>(0, source_.known_end(partition.name) - partition.folded);
      ends_.assign(polled.ends.begin(), polled.ends.end());
    }
  }
  if (!records_.empty()) fold();
  if (records_.empty()) apply_ends();
  submit_if_ready();
  pass_time();
}

// How long poll() may wait. A commit that ends wakes it.
std::chrono::milliseconds Loop::patience() const { return committer_.busy() ? 100ms : 50ms; }

// ---- outcomes ----

void Loop::settle(const CommitOutcome& outcome) {
  if (discard_outcome_) {
    // The set is read again from the store before anything else happens, and so are the positions.
    discard_outcome_ = false;
    flying_->clear();
    return;
  }
  if (const auto* applied = std::get_if<Applied>(&outcome)) {
    on_applied(*applied);
  } else if (const auto* elsewhere = std::get_if<CommittedElsewhere>(&outcome)) {
    // Copies of these events came through other workers' partitions and were committed first. They stay in the set.
    flying_tally_.duplicates += flying_->drop(elsewhere->identities);
    start_commit();
  } else if (std::holds_alternative<Behind>(outcome)) {
    try {
      load_or_tail(false);
      start_commit();
    } catch (const RetryError& error) {
      restart_from_store(error.what(), next_backoff());
    }
  } else if (std::holds_alternative<Fenced>(outcome)) {
    ++counters_.fenced;
    const Time now = clock_.now();
    std::erase_if(fenced_at_, [now](Time at) { return now - at > 1min; });
    fenced_at_.push_back(now);
    if (fenced_at_.size() > fenced_per_minute_max) {
      throw StopError(
          view_.name + ": fenced " + std::to_string(fenced_at_.size()) +
          " times in a minute: another fleet with other brokers or another group writes this view; stop one of them");
    }
    restart_from_store("fenced: another worker took a partition of this batch",
                       std::chrono::milliseconds(50 + jitter_() % 500));
  } else if (const auto* retired = std::get_if<Retired>(&outcome)) {
    throw StopError(view_.name + ": " + retired->why);
  } else if (const auto* refused = std::get_if<Refused>(&outcome)) {
    on_refused(*refused);
  } else if (std::holds_alternative<TooSlow>(outcome)) {
    if (flying_->events() > 1) {
      spdlog::warn("{}: a commit of {} events ran into the statement timeout; trying halves", view_.name,
                   flying_->events());
      commit_in_halves();
    } else {
      restart_from_store("a commit of one event ran into the statement timeout", next_backoff());
    }
  } else {
    restart_from_store("the outcome of a commit is not known: " + std::get<Unknown>(outcome).why, next_backoff());
  }
}

void Loop::count(const Applied&) {
  ++counters_.commits;
  counters_.applied_events += flying_->events();
  counters_.dead_letters += flying_->dead_letters().size();
  counters_.duplicates += flying_tally_.duplicates;
  counters_.ids_reused += flying_tally_.ids_reused;
  counters_.passed_over += flying_tally_.passed_over;
  flying_tally_ = {};
  for (const auto& [name, range] : flying_->ranges()) stored_[name] = range.to;
  mirror_due_ = true;
}

void Loop::on_applied(const Applied& applied) {
  count(applied);
  failures_ = 0;
  if (applied.head.seq != known_.seq + 1) others_until_ = clock_.now() + others_interval;
  known_ = applied.head;
  for (const auto& [partition, range] : flying_->ranges()) {
    std::erase_if(condemned_,
                  [&](const auto& entry) { return entry.first.first == partition && entry.first.second < range.to; });
  }
  flying_->clear();
  merge(applied.others);
  if (clock_.now() - expired_at_ >= expire_interval) {
    expired_at_ = clock_.now();
    try {
      store_.expire();
    } catch (const RetryError& error) {
      restart_from_store(error.what(), next_backoff());
      return;
    }
  }
  if (!suspects_.empty()) {
    flying_ = std::move(suspects_.back());
    suspects_.pop_back();
    start_commit();
  }
}

// The database can't take some event of the batch. Smaller batches find it: halves, until one event is left.
void Loop::on_refused(const Refused& refused) {
  const std::size_t events = flying_->events();
  if (events == 0) throw StopError(view_.name + ": the database refuses a batch without events: " + refused.detail);
  if (events == 1) {
    const Batch::Origin guilty = flying_->first_event();
    const TopicPartition& partition = partitions_[guilty.partition].name;
    condemned_[{partition, guilty.offset}] =
        Rejection{refused.sqlstate == "22003" ? "range" : "database", refused.detail};
    restart_from_store("the database refused " + partition.topic + "/" + std::to_string(partition.partition) + "@" +
                           std::to_string(guilty.offset) + ", which becomes a dead letter: " + refused.detail,
                       0ms);
    return;
  }
  if (suspects_.empty()) {
    spdlog::info("{}: the database refused a batch of {} events; looking for the guilty one: {}", view_.name, events,
                 refused.detail);
  }
  commit_in_halves();
}

// The first half of the batch under way now, the other one after it.
void Loop::commit_in_halves() {
  auto front = std::make_unique<Batch>(view_);
  front->take_front(*flying_, flying_->events() / 2);
  suspects_.push_back(std::move(flying_));
  flying_ = std::move(front);
  start_commit();
}

// Adds what other workers committed. What was in the set already is either committed and known (harmless) or staged
// by a batch of ours: then the event was applied by the other worker, and leaves our batch.
void Loop::merge(const std::vector<Fingerprint>& others) {
  std::vector<Fingerprint> known_already;
  for (const Fingerprint& fingerprint : others) {
    const SeenSet::Inserted inserted = seen_.insert(fingerprint);
    if (inserted == SeenSet::Inserted::fresh) continue;
    if (inserted == SeenSet::Inserted::other_content) ++counters_.ids_reused;
    known_already.push_back(fingerprint);
  }
  if (known_already.empty()) return;
  flying_tally_.duplicates += flying_->drop(known_already);
  for (const auto& suspect : suspects_) flying_tally_.duplicates += suspect->drop(known_already);
  open_tally_.duplicates += open_->drop(known_already);
}

// ---- assignment and recovery ----

void Loop::on_revoked() {
  if (committer_.busy()) {
    if (const std::optional<CommitOutcome> outcome = committer_.outcome(5'000ms)) settle(*outcome);
    // Still under way: whatever comes of it, the next owner's take() waits for it; ours will be settled later.
  }
  assigned_.clear();
  restart_from_store("", 0ms);
}

// Drops all that is not committed and reads on from the stored positions, after `delay`.
void Loop::restart_from_store(const std::string& why, std::chrono::milliseconds delay) {
  source_.stop();
  records_ = {};
  ends_.clear();
  if (!committer_.busy()) {
    forget(*flying_);
  } else {
    // Whether its fingerprints are committed is not known: the set is read again.
    loaded_ = false;
    discard_outcome_ = true;
  }
  for (const auto& suspect : suspects_) forget(*suspect);
  suspects_.clear();
  forget(*open_);
  stored_.clear();
  mirror_due_ = false;
  flying_tally_ = open_tally_ = {};
  open_moved_ = false;
  open_is_full_ = false;
  partitions_.clear();
  for (std::vector<int>& slots : slots_) slots.clear();
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
  for (const Fingerprint& fingerprint : batch.fingerprints()) seen_.erase(fingerprint);
  batch.clear();
}

std::chrono::milliseconds Loop::next_backoff() {
  const auto bound = std::min<std::chrono::milliseconds>(backoff_max, backoff_first * (1 << std::min(failures_, 10)));
  ++failures_;
  return bound / 2 + std::chrono::milliseconds(jitter_() % static_cast<unsigned>(bound.count()));
}

void Loop::synchronize() {
  try {
    load_or_tail(store_.connect());
    if (!assigned_.empty()) {
      Positions first;
      for (const TopicPartition& partition : assigned_) first[partition] = source_.first_offset(partition);
      partitions_.clear();
      for (std::vector<int>& slots : slots_) slots.clear();
      Positions next;
      std::string list;
      for (const auto& [name, owned] : store_.take(assigned_, first)) {
        const auto topic = std::find(topics_.begin(), topics_.end(), name.topic) - topics_.begin();
        std::vector<int>& slots = slots_[static_cast<std::size_t>(topic)];
        if (slots.size() <= static_cast<std::size_t>(name.partition))
          slots.resize(static_cast<std::size_t>(name.partition) + 1, -1);
        slots[static_cast<std::size_t>(name.partition)] = static_cast<int>(partitions_.size());
        partitions_.push_back({name, owned.epoch, owned.next, owned.next, false});
        next[name] = owned.next;
        list += " " + name.topic + "/" + std::to_string(name.partition) + "@" + std::to_string(owned.next);
      }
      source_.start(next);
      if (last_trouble_.empty()) {
        spdlog::info("{}: reads{}", view_.name, list);
      } else {
        spdlog::info("{}: goes on; reads{}", view_.name, list);
      }
    }
    last_trouble_.clear();
    synchronized_ = true;
  } catch (const RetryError& error) {
    const std::string trouble = error.what();
    if (trouble != last_trouble_) spdlog::warn("{}: {}; trying again", view_.name, trouble);
    last_trouble_ = trouble;
    retry_at_ = clock_.now() + next_backoff();
  }
}

// Brings the set to the view's last commit. A new session may have reached a database that fell back to an older
// state (a standby that lagged): then the head isn't the one we know, and everything is read again.
void Loop::load_or_tail(bool new_session) {
  if (!loaded_ || (new_session && store_.head() != known_)) {
    seen_.clear();
    const Time begin = clock_.now();
    known_ = store_.load([this](std::span<const Fingerprint> chunk) {
      for (const Fingerprint& fingerprint : chunk) seen_.insert(fingerprint);
    });
    // Batches that are under way had their fingerprints in the old set: they can't be in use here.
    loaded_ = true;
    if (seen_.size() > 0) {
      spdlog::info("{}: {} fingerprints loaded in {} ms", view_.name, seen_.size(),
                   std::chrono::duration_cast<std::chrono::milliseconds>(clock_.now() - begin).count());
    }
    return;
  }
  const Tail tail = store_.tail(known_.seq);
  known_ = tail.head;
  merge(tail.fingerprints);
}

// ---- fold ----

Loop::Partition* Loop::partition_of(const Record& record) {
  const std::vector<int>& slots = slots_[record.topic];
  if (static_cast<std::size_t>(record.partition) >= slots.size()) return nullptr;
  const int slot = slots[static_cast<std::size_t>(record.partition)];
  return slot < 0 ? nullptr : &partitions_[static_cast<std::size_t>(slot)];
}

bool Loop::is_full() const {
  const bool shared = clock_.now() < others_until_;
  return open_is_full_ || open_->events() >= (shared ? limits_.events_max_shared : limits_.events_max) ||
         open_->rows() >= (shared ? limits_.rows_max_shared : limits_.rows_max) ||
         open_->memory_bytes() >= limits_.bytes_max;
}

// The end of a partition lies beyond its last record when markers or compacted records close it.
void Loop::apply_ends() {
  for (const auto& [name, next] : ends_) {
    for (Partition& partition : partitions_) {
      if (partition.name != name) continue;
      if (next >= partition.folded) partition.at_end = true;
      if (next <= partition.folded) continue;
      note_movement();
      partition.folded = next;
    }
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
}

// False when the open batch must be committed before this record can be folded.
bool Loop::fold_one(const Record& record, const DecodedEvent& event) {
  Partition* const partition = partition_of(record);
  if (partition == nullptr || record.offset < partition->folded) {
    ++counters_.stale_records;
    return true;
  }
  const auto condemned = condemned_.empty() ? condemned_.end() : condemned_.find({partition->name, record.offset});
  if (condemned != condemned_.end()) {
    DecodedEvent guilty;
    decoder_.describe(record, guilty);
    guilty.rejection = condemned->second;
    add_dead_letter(record, guilty);
  } else if (event.outcome == Outcome::contributes) {
    if (!open_->can_add(event)) return false;
    switch (seen_.insert(event.fingerprint)) {
      case SeenSet::Inserted::fresh:
        open_->add(event, {static_cast<std::uint32_t>(partition - partitions_.data()), record.offset});
        break;
      case SeenSet::Inserted::duplicate:
        ++open_tally_.duplicates;
        break;
      case SeenSet::Inserted::other_content:
        ++open_tally_.duplicates;
        ++open_tally_.ids_reused;
        break;
    }
  } else if (event.outcome == Outcome::rejected) {
    add_dead_letter(record, event);
  } else {
    ++open_tally_.passed_over;
  }
  partition->folded = record.offset + 1;
  partition->at_end = false;
  note_movement();
  return true;
}

void Loop::add_dead_letter(const Record& record, const DecodedEvent& event) {
  DeadLetter letter;
  letter.partition = {topics_[record.topic], record.partition};
  letter.offset = record.offset;
  letter.timestamp_ms = record.timestamp_ms;
  if (record.key) letter.key = std::string(*record.key);
  if (record.value) letter.value = std::string(*record.value);
  std::vector<Header> headers;
  record.headers(headers);
  for (const Header& header : headers) letter.headers.emplace_back(header.name, header.value);
  letter.rejection = event.rejection;
  letter.source = event.source;
  letter.id = event.id;
  letter.type = event.type;
  open_->add(std::move(letter));
}

// ---- submit ----

void Loop::note_movement() {
  if (open_moved_) return;
  open_moved_ = true;
  opened_at_ = clock_.now();
}

void Loop::submit_if_ready() {
  if (!synchronized_ || committer_.busy() || !open_moved_) return;
  const auto age = clock_.now() - opened_at_;
  if (open_->events() == 0 && open_->dead_letters().empty()) {
    if (age >= limits_.only_positions_age) submit();
    return;
  }
  if (lag_ < limits_.catching_up_lag || is_full() || age >= limits_.catching_up_age_max) submit();
}

void Loop::submit() {
  for (std::uint32_t i = 0; i < partitions_.size(); ++i) {
    Partition& partition = partitions_[i];
    if (partition.folded == partition.open_from) continue;
    open_->cover(partition.name, {partition.open_from, partition.folded, i});
    partition.open_from = partition.folded;
  }
  std::swap(open_, flying_);
  flying_tally_ = std::exchange(open_tally_, {});
  open_moved_ = false;
  open_is_full_ = false;
  start_commit();
  if (stalled_) {
    Positions next;
    for (const Partition& partition : partitions_) next[partition.name] = partition.folded;
    stalled_ = false;
    try {
      source_.start(next);
    } catch (const RetryError& error) {
      restart_from_store(error.what(), next_backoff());
    }
  }
}

void Loop::start_commit() {
  OwnedPositions owned;
  for (const Partition& partition : partitions_) {
    const auto range = flying_->ranges().find(partition.name);
    if (range != flying_->ranges().end()) owned[partition.name] = {range->second.from, partition.epoch};
  }
  committer_.start(*flying_, std::move(owned), known_.seq);
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
  if (committer_.busy() || !synchronized_) return;  // the store is not free
  try {
    if (now - looked_at_ >= look_interval) {
      // A worker that has nothing to commit stays near the others' fingerprints, so that its next commit need not
      // look through many of them under the lock.
      looked_at_ = now;
      if (store_.head() != known_) load_or_tail(false);
    }
  } catch (const RetryError& error) {
    restart_from_store(error.what(), next_backoff());
  }
}

bool Loop::caught_up() const {
  return synchronized_ && !partitions_.empty() && !committer_.busy() && !open_moved_ && records_.empty() &&
         std::all_of(partitions_.begin(), partitions_.end(), [](const Partition& p) { return p.at_end; });
}

bool Loop::finish(std::chrono::milliseconds timeout) {
  if (committer_.busy()) {
    if (const std::optional<CommitOutcome> outcome = committer_.outcome(timeout)) {
      if (const auto* applied = std::get_if<Applied>(&*outcome)) count(*applied);
    }
  }
  if (!partitions_.empty()) mirror();
  source_.stop();
  return !committer_.busy();
}

std::string Loop::describe() const {
  return fmt::format(
      "{} events applied in {} commits, {} duplicates, {} dead letters, {} passed over, {} fingerprints ({} MiB)",
      counters_.applied_events, counters_.commits, counters_.duplicates, counters_.dead_letters, counters_.passed_over,
      seen_.size(), seen_.memory_bytes() >> 20);
}

}  // namespace daybook
