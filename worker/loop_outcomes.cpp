// What becomes of a commit: the loop's answer to each outcome.
#include <spdlog/spdlog.h>

#include <algorithm>

#include "core/error.h"
#include "worker/defect.h"
#include "worker/loop.h"

namespace daybook {
namespace {

using namespace std::chrono_literals;

constexpr int fenced_per_minute_max = 6;
constexpr auto expire_interval = 10'000ms;
constexpr auto reused_ids_interval = 1'000ms;
constexpr auto others_interval = 2'000ms;
constexpr auto suspicious_for = 60'000ms;

}  // namespace

void Loop::settle(const CommitOutcome& outcome) {
  if (discard_outcome_ && !DAYBOOK_DEFECT("an outcome from before a revocation is used")) {
    // The set is read again from the store before anything else happens, and so are the positions.
    discard_outcome_ = false;
    if (std::holds_alternative<Applied>(outcome)) count_commit();
    flying_->clear();
    return;
  }
  if (const auto* applied = std::get_if<Applied>(&outcome)) {
    on_applied(*applied);
  } else if (std::holds_alternative<CommittedElsewhere>(outcome) || std::holds_alternative<Behind>(outcome)) {
    // Others committed meanwhile, and perhaps copies of these events, which then leave the batch. The set takes all of
    // theirs up to a commit that it can name: were only the copies in it and the database fell back to known_, the set
    // would hold events that no commit has.
    load_or_tail(false);
    start_commit();
  } else if (std::holds_alternative<Fenced>(outcome)) {
    on_fenced();
  } else if (const auto* paused = std::get_if<Paused>(&outcome)) {
    on_paused(paused->why);
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
  } else if (DAYBOOK_DEFECT("an unknown commit is tried again")) {
    store_.connect();
    start_commit();
  } else if (DAYBOOK_DEFECT("an unknown commit counts as applied")) {
    store_.connect();
    on_applied({{known_.seq + 1, ""}, {}});
  } else {
    restart_from_store("the outcome of a commit is not known: " + std::get<Unknown>(outcome).why, next_backoff());
  }
}

void Loop::on_fenced() {
  ++counters_.fenced;
  const Time now = clock_.now();
  std::erase_if(fenced_at_, [now](Time at) { return now - at > 1min; });
  fenced_at_.push_back(now);
  if (fenced_at_.size() > fenced_per_minute_max) {
    throw StopError(view_.name + ": fenced " + std::to_string(fenced_at_.size()) +
                    " times in a minute: another fleet with another group writes this view; stop one of them");
  }
  restart_from_store("fenced: another worker took a partition of this batch",
                     std::chrono::milliseconds(50 + jitter_() % 500));
}

void Loop::count_commit() {
  ++counters_.commits;
  committed_at_ = clock_.now();
  commit_sizes_.seconds.observe(std::chrono::duration<double>(*committed_at_ - commit_started_at_).count());
  commit_sizes_.events.observe(static_cast<double>(flying_->events()));
  commit_sizes_.rows.observe(static_cast<double>(flying_->rows()));
  counters_.applied_events += flying_->events();
  counters_.dead_letters += flying_->dead_letters().size();
  for (const DeadLetter& letter : flying_->dead_letters()) ++counters_.dead_letters_by_code[letter.rejection.code];
  counters_.duplicates += flying_tally_.duplicates;
  counters_.ids_reused += flying_tally_.ids_reused;
  counters_.passed_over += flying_tally_.passed_over;
  flying_tally_ = {};
}

// Not for a commit from before a revocation: its partitions may be another worker's by now.
void Loop::move_stored_positions() {
  for (const auto& [name, range] : flying_->ranges()) {
    stored_[name] = range.to;
    if (OwnedPartition* const partition = partitions_.find(name)) partition->stored = range.to;
  }
  mirror_due_ = true;
}

void Loop::on_applied(const Applied& applied) {
  count_commit();
  move_stored_positions();
  failures_ = 0;
  if (applied.head.seq != known_.seq + 1) others_until_ = clock_.now() + others_interval;
  known_ = applied.head;
  for (const auto& [partition, range] : flying_->ranges()) {
    evidence_.forget_below(partition, range.to);
    std::erase_if(condemned_,
                  [&](const auto& entry) { return entry.first.first == partition && entry.first.second < range.to; });
  }
  flying_->clear();
  if (is_too_much_to_merge(applied.others)) {
    loaded_ = false;
    throw RetryError(std::to_string(applied.others.size()) + " events behind the other workers");
  }
  merge(applied.others);
  expire_if_due();
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
  const bool was_suspicious = suspicious_until_.has_value();
  suspicious_until_ = clock_.now() + suspicious_for;
  if (events == 1) {
    const Batch::Origin guilty = flying_->first_event();
    const TopicPartition partition = partitions_.at(guilty.partition).name;
    const Rejection rejection{refused.sqlstate == "22003" ? "range" : "database", refused.detail};
    const std::string what = "the database refused " + to_string(partition, guilty.offset) +
                             ", which becomes a dead letter: " + refused.detail;
    if (make_dead_letter(partition, guilty.offset, rejection)) {
      spdlog::warn("{}: {}", view_.name, what);
    } else {
      condemned_[{partition, guilty.offset}] = rejection;
      restart_from_store(what, 0ms);
    }
    return;
  }
  if (suspects_.empty() && !was_suspicious) {
    spdlog::info("{}: the database refused a batch of {} events; looking for the guilty one: {}", view_.name, events,
                 refused.detail);
  }
  commit_in_halves();
}

// Turns the batch under way, of this event alone, into one of a dead letter, and commits it. False when that can't be
// done here: its bytes are not at hand, or a copy of it was dropped and is now the first of its identity.
bool Loop::make_dead_letter(const TopicPartition& partition, std::int64_t offset, const Rejection& rejection) {
  const Fingerprint fingerprint = flying_->fingerprints().front();
  const std::optional<Evidence::Found> found = evidence_.find(partition, offset);
  if (!found || evidence_.was_copy_dropped(fingerprint)) return false;
  DecodedEvent guilty;
  decoder_.describe(found->record, guilty);
  guilty.rejection = rejection;
  seen_.erase(fingerprint);
  flying_->replace_events(letter_of(found->record, guilty));
  flood_.reject(found->number);
  start_commit();
  return true;
}

// The first half of the batch under way now, the other one after it.
void Loop::commit_in_halves() {
  auto front = std::make_unique<Batch>(view_);
  front->take_front(*flying_, flying_->events() / 2);
  suspects_.push_back(std::move(flying_));
  flying_ = std::move(front);
  if (DAYBOOK_DEFECT("the second half commits first")) std::swap(flying_, suspects_.back());
  start_commit();
}

// The set has room for what is staged and some more. Others' fingerprints beyond that would push out staged ones, and
// copies of those events would count as new: then the set is loaded, with nothing staged.
bool Loop::is_too_much_to_merge(const std::vector<Fingerprint>& others) const {
  return others.size() > 2 * limits_.events_max;
}

// Adds what other workers committed. What was in the set already is either committed and known (harmless) or staged
// by a batch of ours: then the event was applied by the other worker, and leaves our batch.
void Loop::merge(const std::vector<Fingerprint>& others) {
  if (DAYBOOK_DEFECT("others' fingerprints are not merged")) return;
  std::vector<Fingerprint> known_already;
  for (const Fingerprint& fingerprint : others) {
    const SeenSet::Inserted inserted = seen_.insert(fingerprint);
    if (inserted == SeenSet::Inserted::fresh) continue;
    if (inserted == SeenSet::Inserted::other_content) {
      ++counters_.ids_reused;
      note_reused_id(place_of(fingerprint));
      // The set holds what was committed, so that reading it again is not one more.
      seen_.erase(fingerprint);
      seen_.insert(fingerprint);
    }
    known_already.push_back(fingerprint);
  }
  if (known_already.empty()) return;
  flying_tally_.duplicates += flying_->drop(known_already);
  for (const auto& suspect : suspects_) flying_tally_.duplicates += suspect->drop(known_already);
  open_tally_.duplicates += open_->drop(known_already);
}

// The store is free.
void Loop::expire_if_due() {
  const Time now = clock_.now();
  if (now < expire_at_) return;
  expire_at_ = now + expire_interval;
  const std::optional<std::chrono::seconds> age = store_.expire();
  oldest_seen_at_ = age ? std::optional(now - *age) : std::nullopt;
}

std::optional<std::chrono::seconds> Loop::deduplication_age() const {
  if (!oldest_seen_at_) return std::nullopt;
  return std::chrono::duration_cast<std::chrono::seconds>(clock_.now() - *oldest_seen_at_);
}

// ---- ids used again ----

// An event of ours that another worker's event with the same id and other data was ahead of.
std::string Loop::place_of(const Fingerprint& fingerprint) const {
  std::vector<const Batch*> batches{flying_.get(), open_.get()};
  for (const auto& suspect : suspects_) batches.push_back(suspect.get());
  for (const Batch* batch : batches) {
    if (const std::optional<Batch::Origin> origin = batch->origin_of(fingerprint))
      return to_string(partitions_.at(origin->partition).name, origin->offset);
  }
  return "an event that is committed already";
}

void Loop::note_reused_id(const Record& record, const TopicPartition& partition) {
  DecodedEvent named;
  decoder_.describe(record, named);
  note_reused_id(to_string(partition, record.offset) + ", source " + named.source + ", id " + named.id);
}

void Loop::note_reused_id(const std::string& what) {
  ++unreported_reused_ids_;
  last_reused_id_ = what;
  report_reused_ids();
}

// A line a second at most: a producer that numbers its events anew after each start uses every id again.
void Loop::report_reused_ids() {
  if (unreported_reused_ids_ == 0) return;
  const Time now = clock_.now();
  if (reused_ids_reported_at_ && now - *reused_ids_reported_at_ < reused_ids_interval) return;
  // Others chose the text of the id: it stays on its line.
  std::replace_if(
      last_reused_id_.begin(), last_reused_id_.end(),
      [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7F; }, '?');
  spdlog::warn(
      "{}: {} with the id of an earlier event and other data, dropped as a copy: {}", view_.name,
      unreported_reused_ids_ == 1 ? "an event" : fmt::format("{} events, the last one", unreported_reused_ids_),
      last_reused_id_);
  unreported_reused_ids_ = 0;
  reused_ids_reported_at_ = now;
}

}  // namespace daybook
