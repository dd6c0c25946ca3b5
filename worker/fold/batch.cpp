#include "worker/fold/batch.h"

#include <algorithm>
#include <numeric>

#include "worker/decode/row_key.h"

namespace daybook {
namespace {

constexpr std::uint64_t magnitude_max = std::uint64_t{1} << 62;

std::uint64_t magnitude_of(std::int64_t amount) {
  return amount < 0 ? 0 - static_cast<std::uint64_t>(amount) : static_cast<std::uint64_t>(amount);
}

}  // namespace

Batch::Batch(const ViewDefinition& view)
    : columns_(view.columns.size()), has_balance_(view.has_balance()), index_(0, Hash{this}, Equal{this}) {
  for (const ValueColumn& column : view.columns) is_balance_.push_back(column.aggregate == Aggregate::balance);
}

bool Batch::can_add(const DecodedEvent& event) const {
  std::uint64_t magnitude = magnitude_;
  for (const Contribution& c : event.contributions) {
    magnitude += magnitude_of(c.amount);
    if (magnitude >= magnitude_max) return events_.empty();
  }
  return true;
}

std::uint32_t Batch::row_of(std::string_view key) {
  const auto found = index_.lazy_emplace(key, [&](const RowIndex::constructor& construct) {
    const auto row = static_cast<std::uint32_t>(row_keys_.size());
    row_keys_.push_back({static_cast<std::uint32_t>(key_bytes_.size()), static_cast<std::uint32_t>(key.size())});
    key_bytes_.append(key);
    sums_.resize(sums_.size() + columns_, 0);
    construct(row);
  });
  return *found;
}

void Batch::add(const DecodedEvent& event, Origin origin) {
  const std::string_view keys = event.keys;
  // The contributions of one rule share their key.
  std::uint32_t row = 0;
  std::uint32_t row_begin = UINT32_MAX;
  for (const Contribution& c : event.contributions) {
    if (c.key_begin != row_begin) {
      row = row_of(keys.substr(c.key_begin, c.key_size));
      row_begin = c.key_begin;
    }
    changes_.push_back({row, c.column, c.amount});
    apply(changes_.back());
    magnitude_ += magnitude_of(c.amount);
  }
  events_.push_back({event.fingerprint, static_cast<std::uint32_t>(changes_.size()), origin});
}

void Batch::cover(const TopicPartition& partition, const Range& range) {
  const auto [known, is_new] = ranges_.try_emplace(partition, range);
  if (!is_new) known->second.to = range.to;
}

// Replaces what is folded by `events` with `changes`, whose rows are this batch's. From nothing: a row that only
// departed events touched must not be written.
void Batch::fold_again(std::vector<Event> events, std::vector<Change> changes) {
  std::string old_bytes;
  std::vector<KeyRef> old_keys;
  old_bytes.swap(key_bytes_);
  old_keys.swap(row_keys_);
  index_.clear();
  sums_.clear();
  magnitude_ = 0;
  for (Change& change : changes) {
    const KeyRef& key = old_keys[change.row];
    change.row = row_of(std::string_view(old_bytes).substr(key.begin, key.size));
    apply(change);
    magnitude_ += magnitude_of(change.amount);
  }
  events_ = std::move(events);
  changes_ = std::move(changes);
}

std::size_t Batch::drop(const std::vector<Fingerprint>& identities) {
  if (events_.empty()) return 0;
  absl::flat_hash_set<std::pair<std::uint64_t, std::uint32_t>> dropped;
  for (const Fingerprint& f : identities) dropped.insert({f.identity_high, f.identity_low});
  std::vector<Event> kept_events;
  std::vector<Change> kept_changes;
  std::size_t begin = 0;
  for (const Event& event : events_) {
    if (!dropped.contains({event.fingerprint.identity_high, event.fingerprint.identity_low})) {
      kept_changes.insert(kept_changes.end(), changes_.begin() + static_cast<std::ptrdiff_t>(begin),
                          changes_.begin() + event.changes_end);
      kept_events.push_back({event.fingerprint, static_cast<std::uint32_t>(kept_changes.size()), event.origin});
    }
    begin = event.changes_end;
  }
  const std::size_t count = events_.size() - kept_events.size();
  if (count > 0) fold_again(std::move(kept_events), std::move(kept_changes));
  return count;
}

void Batch::take_front(Batch& whole, std::size_t count) {
  count = std::min(count, whole.events_.size());
  const auto first_kept = whole.events_.begin() + static_cast<std::ptrdiff_t>(count);
  const std::size_t first_changes = count == 0 ? 0 : whole.events_[count - 1].changes_end;

  // A partition is cut before its first event that stays.
  std::map<std::uint32_t, std::int64_t> cuts;
  for (auto event = first_kept; event != whole.events_.end(); ++event) cuts.try_emplace(event->origin.partition, event->origin.offset);
  for (auto range = whole.ranges_.begin(); range != whole.ranges_.end();) {
    const auto cut = cuts.find(range->second.partition);
    const std::int64_t at = cut == cuts.end() ? range->second.to : cut->second;
    if (at > range->second.from) ranges_[range->first] = {range->second.from, at, range->second.partition};
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

  std::vector<Event> events(whole.events_.begin(), first_kept);
  std::vector<Change> changes(whole.changes_.begin(), whole.changes_.begin() + static_cast<std::ptrdiff_t>(first_changes));
  key_bytes_ = whole.key_bytes_;
  row_keys_ = whole.row_keys_;
  fold_again(std::move(events), std::move(changes));

  events.assign(first_kept, whole.events_.end());
  for (Event& event : events) event.changes_end -= static_cast<std::uint32_t>(first_changes);
  changes.assign(whole.changes_.begin() + static_cast<std::ptrdiff_t>(first_changes), whole.changes_.end());
  whole.fold_again(std::move(events), std::move(changes));
}

std::vector<Fingerprint> Batch::fingerprints() const {
  std::vector<Fingerprint> list;
  list.reserve(events_.size());
  for (const Event& event : events_) list.push_back(event.fingerprint);
  return list;
}

RowChanges Batch::row_changes() const {
  // Sorted by the first 8 and the last 8 bytes of the key where that decides, which spares most of the memcmp.
  struct Sortable {
    std::uint64_t prefix;
    std::uint32_t row;
  };
  std::vector<Sortable> order(row_keys_.size());
  for (std::uint32_t row = 0; row < order.size(); ++row) {
    const std::string_view key = key_of(row);
    char first[8] = {0};
    key.copy(first, sizeof first);
    order[row] = {row_key::load_big_endian<std::uint64_t>(first), row};
  }
  std::sort(order.begin(), order.end(), [this](const Sortable& a, const Sortable& b) {
    return a.prefix != b.prefix ? a.prefix < b.prefix : key_of(a.row) < key_of(b.row);
  });

  RowChanges rows;
  rows.keys.reserve(order.size());
  rows.changes.assign(columns_, {});
  rows.levels.assign(columns_, {});
  for (const Sortable& s : order) rows.keys.push_back(key_of(s.row));
  for (std::size_t column = 0; column < columns_; ++column) {
    rows.changes[column].reserve(order.size());
    for (const Sortable& s : order) rows.changes[column].push_back(sums_[s.row * columns_ + column]);
  }
  if (!has_balance_) return rows;

  const auto without_date = [](std::string_view key) { return key.substr(0, key.size() - date_key_size); };
  const auto date_of = [](std::string_view key) { return row_key::postgres_date_at(key.data() + key.size() - date_key_size); };
  for (std::size_t column = 0; column < columns_; ++column) {
    if (!is_balance_[column]) continue;
    std::vector<std::int64_t>& levels = rows.levels[column];
    levels.reserve(order.size());
    for (std::size_t i = 0; i < order.size(); ++i) {
      const bool same_key = i > 0 && without_date(rows.keys[i]) == without_date(rows.keys[i - 1]);
      levels.push_back((same_key ? levels.back() : 0) + rows.changes[column][i]);
    }
  }
  for (std::size_t i = 0; i < order.size(); ++i) {
    const bool is_last = i + 1 == order.size() || without_date(rows.keys[i]) != without_date(rows.keys[i + 1]);
    const std::int32_t until = is_last ? RowChanges::no_end : date_of(rows.keys[i + 1]);
    if (until == date_of(rows.keys[i]) + 1) continue;  // no date lies between
    const bool rises = std::any_of(rows.levels.begin(), rows.levels.end(),
                                   [i](const std::vector<std::int64_t>& levels) { return !levels.empty() && levels[i] != 0; });
    if (rises) rows.ripples.push_back({static_cast<std::uint32_t>(i), until});
  }
  return rows;
}

std::size_t Batch::memory_bytes() const {
  std::size_t bytes = events_.size() * sizeof(Event) + changes_.size() * sizeof(Change) + key_bytes_.size() +
                      sums_.size() * sizeof(std::int64_t) + row_keys_.size() * (sizeof(KeyRef) + 2 * sizeof(std::uint32_t));
  for (const DeadLetter& letter : dead_letters_) {
    bytes += sizeof letter + (letter.value ? letter.value->size() : 0) + (letter.key ? letter.key->size() : 0);
  }
  return bytes;
}

void Batch::clear() {
  ranges_.clear();
  events_.clear();
  changes_.clear();
  dead_letters_.clear();
  key_bytes_.clear();
  row_keys_.clear();
  sums_.clear();
  index_.clear();
  magnitude_ = 0;
}

}  // namespace daybook
