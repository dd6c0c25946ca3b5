#include "worker/fold/batch.h"

#include <absl/container/flat_hash_set.h>

#include <algorithm>

#include "core/aggregates.h"
#include "core/row_key.h"
#include "worker/defect.h"

namespace daybook {
namespace {

constexpr std::uint64_t magnitude_max = std::uint64_t{1} << 62;

std::uint64_t magnitude_of(std::int64_t amount) {
  return amount < 0 ? 0 - static_cast<std::uint64_t>(amount) : static_cast<std::uint64_t>(amount);
}

}  // namespace

Batch::Batch(const ViewDefinition& view) : view_(&view), has_balance_(view.has_balance()), takes_(view), rows_(view) {
  for (const Sum& sum : sums_of(view)) is_balance_.push_back(view.columns[sum.column].aggregate == Aggregate::balance);
  sums_ = is_balance_.size();
  if (view.has_states()) states_ = std::make_unique<StateFold>(view);
}

bool Batch::can_add(const DecodedEvent& event) const {
  std::uint64_t magnitude = magnitude_;
  for (const Contribution& c : event.contributions) {
    magnitude += magnitude_of(c.amount);
    if (magnitude >= magnitude_max) return events_.empty();
  }
  return true;
}

void Batch::add(const DecodedEvent& event, Origin origin) {
  if (states_) {
    states_->add(event);
    events_.push_back(
        {event.fingerprint, static_cast<std::uint32_t>(states_->size()), origin.partition, origin.offset});
    return;
  }
  const std::string_view keys = event.keys;
  // The contributions of one rule share their key.
  std::uint32_t row = 0;
  std::uint32_t row_begin = UINT32_MAX;
  for (const Contribution& c : event.contributions) {
    if (c.key_begin != row_begin) {
      const std::string_view key = keys.substr(c.key_begin, c.key_size);
      row = rows_.find_or_add(key, rows_.hash(key));
      row_begin = c.key_begin;
    }
    changes_.push_back({row, c.sum, c.amount});
    rows_.add(row, c.sum, c.amount);
    magnitude_ += magnitude_of(c.amount);
  }
  if (takes_.any()) takes_.add(event, rows_);
  events_.push_back({event.fingerprint, static_cast<std::uint32_t>(changes_.size()), origin.partition, origin.offset});
}

void Batch::add(DeadLetter dead_letter) {
  for (const auto& [name, value] : dead_letter.headers) dead_letter_bytes_ += name.size() + value.size();
  dead_letter_bytes_ += sizeof dead_letter + (dead_letter.value ? dead_letter.value->size() : 0) +
                        (dead_letter.key ? dead_letter.key->size() : 0);
  dead_letters_.push_back(std::move(dead_letter));
}

void Batch::cover(const TopicPartition& partition, const Range& range) {
  const auto [known, is_new] = ranges_.try_emplace(partition, range);
  if (is_new) return;
  known->second.to = range.to;
  if (range.anchor) known->second.anchor = range.anchor;
}

// The same keys in the same order, in a table of their own.
std::unique_ptr<RowTable> Batch::keys_of(const RowTable& rows) const {
  auto keys = std::make_unique<RowTable>(*view_);
  for (std::uint32_t row = 0; row < rows.size(); ++row) keys->find_or_add(rows.key(row), keys->hash(rows.key(row)));
  return keys;
}

// Replaces what is folded by `events` with `changes`, whose rows are those of `rows_of_changes`. From nothing: a row
// that only departed events touched must not be written.
void Batch::fold_again(std::vector<Event> events, std::vector<Change> changes, Takes takes,
                       const RowTable& rows_of_changes) {
  rows_.clear();
  magnitude_ = 0;
  for (Change& change : changes) {
    const std::string_view key = rows_of_changes.key(change.row);
    change.row = rows_.find_or_add(key, rows_.hash(key));
    rows_.add(change.row, change.sum, change.amount);
    magnitude_ += magnitude_of(change.amount);
  }
  takes.move_rows(rows_of_changes, rows_);
  takes_ = std::move(takes);
  events_ = std::move(events);
  changes_ = std::move(changes);
}

std::optional<Batch::Origin> Batch::origin_of(const Fingerprint& identity) const {
  for (const Event& event : events_) {
    if (event.fingerprint.same_identity(identity)) return Origin{event.partition, event.offset};
  }
  return std::nullopt;
}

std::size_t Batch::drop(const std::vector<Fingerprint>& identities) {
  if (events_.empty()) return 0;
  absl::flat_hash_set<std::pair<std::uint64_t, std::uint32_t>> dropped;
  for (const Fingerprint& f : identities) dropped.insert({f.identity_high, f.identity_low});
  std::vector<Event> kept_events;
  std::vector<Change> kept_changes;
  const auto kept_states = states_ ? std::make_unique<StateFold>(*view_) : nullptr;
  std::vector<bool> kept;
  std::size_t begin = 0;
  for (const Event& event : events_) {
    kept.push_back(!dropped.contains({event.fingerprint.identity_high, event.fingerprint.identity_low}));
    if (kept.back()) {
      if (kept_states) {
        kept_states->add(*states_, begin, event.changes_end);
      } else {
        kept_changes.insert(kept_changes.end(), changes_.begin() + static_cast<std::ptrdiff_t>(begin),
                            changes_.begin() + event.changes_end);
      }
      const std::size_t end = kept_states ? kept_states->size() : kept_changes.size();
      kept_events.push_back({event.fingerprint, static_cast<std::uint32_t>(end), event.partition, event.offset});
    }
    begin = event.changes_end;
  }
  const std::size_t count = events_.size() - kept_events.size();
  if (count > 0 && states_) {
    *states_ = std::move(*kept_states);
    events_ = std::move(kept_events);
  } else if (count > 0) {
    const std::unique_ptr<RowTable> before = keys_of(rows_);
    fold_again(std::move(kept_events), std::move(kept_changes), takes_.any() ? takes_.only(kept) : takes_, *before);
  }
  return count;
}

void Batch::replace_events(DeadLetter dead_letter) {
  events_.clear();
  changes_.clear();
  takes_.clear();
  rows_.clear();
  if (states_) *states_ = StateFold(*view_);
  magnitude_ = 0;
  add(std::move(dead_letter));
}

void Batch::take_front(Batch& whole, std::size_t count) {
  count = std::min(count, whole.events_.size());
  const auto first_kept = whole.events_.begin() + static_cast<std::ptrdiff_t>(count);
  const std::size_t first_changes = count == 0 ? 0 : whole.events_[count - 1].changes_end;

  // A partition is cut behind its last event that goes. What was passed over behind that one stays: it may be a copy of
  // an event that stays and is not applied in the end.
  std::map<std::uint32_t, std::int64_t> cuts;
  for (auto event = whole.events_.begin(); event != first_kept; ++event)
    cuts.insert_or_assign(event->partition, event->offset + 1);
  for (auto range = whole.ranges_.begin(); range != whole.ranges_.end();) {
    const auto cut = cuts.find(range->second.partition);
    std::int64_t at = cut == cuts.end() ? range->second.from : cut->second;
    if (DAYBOOK_DEFECT("the first half takes copies of the second's events") &&
        std::none_of(first_kept, whole.events_.end(),
                     [&range](const Event& event) { return event.partition == range->second.partition; })) {
      at = range->second.to;
    }
    if (at > range->second.from) {
      // The record before a cut is not at hand any more; that of a whole range is.
      ranges_[range->first] = {range->second.from, at, range->second.partition,
                               at == range->second.to ? range->second.anchor : std::nullopt};
    }
    range->second.from = at;
    range = at == range->second.to ? whole.ranges_.erase(range) : std::next(range);
  }
  const auto stays = [&whole](const DeadLetter& letter) {
    const auto range = whole.ranges_.find(letter.partition);
    return range != whole.ranges_.end() && letter.offset >= range->second.from;
  };
  const auto first_to_stay = std::stable_partition(whole.dead_letters_.begin(), whole.dead_letters_.end(),
                                                   [&](const DeadLetter& letter) { return !stays(letter); });
  dead_letters_.assign(std::make_move_iterator(whole.dead_letters_.begin()), std::make_move_iterator(first_to_stay));
  whole.dead_letters_.erase(whole.dead_letters_.begin(), first_to_stay);

  if (states_) {
    states_->add(*whole.states_, 0, first_changes);
    StateFold rest(*view_);
    rest.add(*whole.states_, first_changes, whole.states_->size());
    *whole.states_ = std::move(rest);
    events_.assign(whole.events_.begin(), first_kept);
    whole.events_.erase(whole.events_.begin(), first_kept);
    for (Event& event : whole.events_) event.changes_end -= static_cast<std::uint32_t>(first_changes);
    return;
  }
  std::vector<bool> goes(whole.events_.size());
  std::fill_n(goes.begin(), count, true);
  Takes takes = whole.takes_.any() ? whole.takes_.only(goes) : whole.takes_;
  goes.flip();
  Takes kept_takes = whole.takes_.any() ? whole.takes_.only(goes) : whole.takes_;

  std::vector<Event> events(whole.events_.begin(), first_kept);
  std::vector<Change> changes(whole.changes_.begin(),
                              whole.changes_.begin() + static_cast<std::ptrdiff_t>(first_changes));
  fold_again(std::move(events), std::move(changes), std::move(takes), whole.rows_);

  events.assign(first_kept, whole.events_.end());
  for (Event& event : events) event.changes_end -= static_cast<std::uint32_t>(first_changes);
  changes.assign(whole.changes_.begin() + static_cast<std::ptrdiff_t>(first_changes), whole.changes_.end());
  const std::unique_ptr<RowTable> before = whole.keys_of(whole.rows_);
  whole.fold_again(std::move(events), std::move(changes), std::move(kept_takes), *before);
}

std::vector<Fingerprint> Batch::fingerprints() const {
  std::vector<Fingerprint> list;
  list.reserve(events_.size());
  for (const Event& event : events_) list.push_back(event.fingerprint);
  return list;
}

RowChanges Batch::row_changes() const {
  // Sorted by the first 8 bytes of the key where they decide, which spares most of the memcmp.
  struct Sortable {
    std::uint64_t prefix;
    std::uint32_t row;
  };
  std::vector<Sortable> order(rows_.size());
  for (std::uint32_t row = 0; row < order.size(); ++row) {
    const std::string_view key = rows_.key(row);
    char first[8] = {0};
    key.copy(first, sizeof first);
    order[row] = {row_key::load_big_endian<std::uint64_t>(first), row};
  }
  std::sort(order.begin(), order.end(), [this](const Sortable& a, const Sortable& b) {
    return a.prefix != b.prefix ? a.prefix < b.prefix : rows_.key(a.row) < rows_.key(b.row);
  });

  RowChanges rows;
  rows.keys.reserve(order.size());
  rows.changes.assign(sums_, {});
  rows.levels.assign(sums_, {});
  for (const Sortable& s : order) rows.keys.push_back(rows_.key(s.row));
  for (std::size_t sum = 0; sum < sums_; ++sum) {
    rows.changes[sum].reserve(order.size());
    for (const Sortable& s : order) rows.changes[sum].push_back(rows_.sum(s.row, sum));
  }
  if (takes_.any()) {
    std::vector<std::uint32_t> places(order.size());
    for (std::uint32_t i = 0; i < order.size(); ++i) places[order[i].row] = i;
    rows.merged = takes_.merge(places);
  }
  if (!has_balance_) return rows;

  const auto without_date = [](std::string_view key) { return key.substr(0, key.size() - date_key_size); };
  const auto date_of = [](std::string_view key) {
    return row_key::postgres_date_at(key.data() + key.size() - date_key_size);
  };
  for (std::size_t sum = 0; sum < sums_; ++sum) {
    if (!is_balance_[sum]) continue;
    std::vector<std::int64_t>& levels = rows.levels[sum];
    levels.reserve(order.size());
    for (std::size_t i = 0; i < order.size(); ++i) {
      const bool same_key = i > 0 && without_date(rows.keys[i]) == without_date(rows.keys[i - 1]);
      levels.push_back((same_key ? levels.back() : 0) + rows.changes[sum][i]);
    }
  }
  for (std::size_t i = 0; i < order.size(); ++i) {
    const bool is_last = i + 1 == order.size() || without_date(rows.keys[i]) != without_date(rows.keys[i + 1]);
    const std::int32_t until = is_last ? RowChanges::no_end : date_of(rows.keys[i + 1]);
    if (until == date_of(rows.keys[i]) + 1) continue;  // no date lies between
    const bool rises =
        std::any_of(rows.levels.begin(), rows.levels.end(),
                    [i](const std::vector<std::int64_t>& levels) { return !levels.empty() && levels[i] != 0; });
    if (rises) rows.ripples.push_back({static_cast<std::uint32_t>(i), until});
  }
  return rows;
}

std::size_t Batch::memory_bytes() const {
  return events_.size() * sizeof(Event) + changes_.size() * sizeof(Change) + takes_.memory_bytes() +
         rows_.memory_bytes() + dead_letter_bytes_ + (states_ ? states_->memory_bytes() : 0);
}

void Batch::clear() {
  ranges_.clear();
  events_.clear();
  changes_.clear();
  takes_.clear();
  dead_letters_.clear();
  rows_.clear();
  if (states_) *states_ = StateFold(*view_);
  magnitude_ = 0;
  dead_letter_bytes_ = 0;
}

}  // namespace daybook
