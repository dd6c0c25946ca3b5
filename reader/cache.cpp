#include "reader/cache.h"

#include <limits>

namespace daybook::reader {

Cache::Cache(const Shape& shape, Frontier& frontier, MakeRow make_row)
    : shape_(shape), frontier_(frontier), make_row_(std::move(make_row)), limit_(shape.bytes) {
  for (std::size_t i = 0; i < shape.shards; ++i) shards_.push_back(std::make_unique<Shard>());
}

Cache::~Cache() = default;

Cache::Shard& Cache::shard_of(std::string_view entity) {
  // The high half: the maps inside take the low bits of the same hash.
  return *shards_[(KeyHash{}(entity) >> 32) & (shards_.size() - 1)];
}

std::size_t Cache::cost(const Entry& entry) {
  // The entity's share of the maps is counted with each of its entries: an estimate from above.
  return sizeof(Entry) + bytes_of(*entry.row) + entry.entity->first.capacity() + 96;
}

HotRowPtr Cache::find(std::string_view key) {
  const auto [entity, date] = split_key(shape_.has_date, key);
  Shard& shard = shard_of(entity);
  const std::lock_guard lock(shard.mutex);
  Entry* const entry = entry_at(shard, entity, date);
  if (entry == nullptr) {
    ++shard.misses;
    return nullptr;
  }
  entry->referenced = true;
  ++shard.hits;
  if (entry->row->kind == HotRow::Kind::absent) ++shard.negative_hits;
  return entry->row;
}

Cache::Entry* Cache::entry_at(Shard& shard, std::string_view entity, std::int32_t date) {
  if (ShortKey::fits(entity)) {
    const auto found = shard.places.find(ShortKey(entity, date));
    return found == shard.places.end() ? nullptr : &shard.entries[found->second];
  }
  const auto found = shard.entities.find(entity);
  if (found == shard.entities.end()) return nullptr;
  const auto at = found->second.dates.find(date);
  return at == found->second.dates.end() ? nullptr : &shard.entries[at->second];
}

// --- Loads.

Cache::Begun Cache::begin_load(std::string_view key) {
  const auto [entity, date] = split_key(shape_.has_date, key);
  Shard& shard = shard_of(entity);
  const std::lock_guard lock(shard.mutex);
  if (Entry* const entry = entry_at(shard, entity, date)) return {entry->row, entry->seq};
  Marker& marker = shard.loads[entity].dates[date];
  marker = Marker{};
  // Inside the lock: a change that comes to this shard later finds the marker, one that came before has raised the
  // floor.
  marker.begun = frontier_.now();
  return {nullptr, marker.begun.floor};
}

std::variant<HotRowPtr, LoadAgain> Cache::finish_load(std::string_view key, const Loaded& loaded) {
  const auto [entity, date] = split_key(shape_.has_date, key);
  Shard& shard = shard_of(entity);
  HotRowPtr answer;
  {
    const std::lock_guard lock(shard.mutex);
    const auto markers = shard.loads.find(entity);
    Marker& marker = markers->second.dates.at(date);
    std::int64_t seq = loaded.seq;
    answer = loaded.row;
    bool usable = false;
    if (marker.is_void) {
      // What was read may be from before that.
    } else if (marker.changed > seq) {
      seq = marker.changed;
      answer = marker.row;  // the change brought the row itself, if it had values
      usable = answer != nullptr && seq >= marker.begun.floor && frontier_.is_in(marker.begun.epoch);
    } else if (marker.before <= seq || loaded.row->kind == HotRow::Kind::row) {
      usable = seq >= marker.begun.floor && frontier_.rise_in(marker.begun.epoch, seq, loaded.nonce);
    }
    if (!usable) {
      const std::int64_t noted = std::max(marker.changed, marker.before);
      marker = Marker{};
      marker.begun = frontier_.now();
      return LoadAgain{std::max(marker.begun.floor, noted)};
    }
    markers->second.dates.erase(date);
    if (markers->second.dates.empty()) shard.loads.erase(markers);
    // What is offered from an older snapshot must not come after this was shown, were it evicted by then.
    if (shard.bulk) touch(shard, entity, seq);
    put(shard, entity, date, seq, answer);
  }
  make_space();
  return answer;
}

void Cache::abandon_load(std::string_view key) {
  const auto [entity, date] = split_key(shape_.has_date, key);
  Shard& shard = shard_of(entity);
  const std::lock_guard lock(shard.mutex);
  const auto markers = shard.loads.find(entity);
  if (markers == shard.loads.end()) return;
  markers->second.dates.erase(date);
  if (markers->second.dates.empty()) shard.loads.erase(markers);
}

void Cache::begin_bulk() {
  for (const auto& shard : shards_) {
    const std::lock_guard lock(shard->mutex);
    shard->bulk = true;
    shard->bulk_begun = frontier_.now();
    shard->touched.clear();
  }
}

bool Cache::offer(std::string_view key, const Loaded& loaded) {
  const auto [entity, date] = split_key(shape_.has_date, key);
  if (bytes_ + bytes_of(*loaded.row) + sizeof(Entry) > limit_) return false;
  Shard& shard = shard_of(entity);
  const std::lock_guard lock(shard.mutex);
  if (loaded.seq < shard.bulk_begun.floor) return false;
  const auto touched = shard.touched.find(entity);
  if (touched != shard.touched.end() && touched->second > loaded.seq) return false;
  if (entry_at(shard, entity, date) != nullptr) return false;  // as good, or newer
  // A load under way would have to be told of this.
  const auto markers = shard.loads.find(entity);
  if (markers != shard.loads.end() && markers->second.dates.contains(date)) return false;
  if (!frontier_.rise_in(shard.bulk_begun.epoch, loaded.seq, loaded.nonce)) return false;
  put(shard, entity, date, loaded.seq, loaded.row);
  return true;
}

void Cache::touch(Shard& shard, std::string_view entity, std::int64_t seq) {
  std::int64_t& newest = shard.touched[entity];
  newest = std::max(newest, seq);
}

void Cache::end_bulk() {
  for (const auto& shard : shards_) {
    const std::lock_guard lock(shard->mutex);
    shard->bulk = false;
    shard->touched.clear();
  }
}

// --- Changes.

void Cache::apply(const Change& change) {
  for (const ChangedRow& row : change.rows) change_row(row.key, change.seq, &row);
  for (const std::string& key : change.keys) change_row(key, change.seq, nullptr);
  for (const Change::Range& range : change.ranges) change_range(range, change.seq);
  make_space();
}

void Cache::change_row(std::string_view key, std::int64_t seq, const ChangedRow* changed) {
  const auto [entity, date] = split_key(shape_.has_date, key);
  Shard& shard = shard_of(entity);
  const std::lock_guard lock(shard.mutex);
  if (shard.bulk) touch(shard, entity, seq);

  const Entry* const entry = entry_at(shard, entity, date);
  const bool known = entry != nullptr && entry->seq < seq;
  const auto markers = shard.loads.find(entity);
  const bool awaited = markers != shard.loads.end() && markers->second.dates.contains(date);
  // Nobody asked for most rows that change: their answers are not made.
  const HotRowPtr row = changed != nullptr && (known || awaited) ? make_row_(*changed) : nullptr;

  note(shard, entity, date, seq, row);
  const bool replaced = known && row;
  drop_dates(shard, entity, date, seq, [&, date = date](std::int32_t other, bool is_row) {
    return other == date ? !replaced : shape_.carries && !is_row;
  });
  if (replaced) put(shard, entity, date, seq, row);
}

void Cache::change_range(const Change::Range& range, std::int64_t seq) {
  Shard& shard = shard_of(range.entity);
  const std::lock_guard lock(shard.mutex);
  if (shard.bulk) touch(shard, range.entity, seq);
  const auto inside = [&](std::int32_t date) { return date > range.from && (!range.until || date < *range.until); };
  const auto markers = shard.loads.find(range.entity);
  if (markers != shard.loads.end()) {
    for (auto& [date, marker] : markers->second.dates) {
      if (date <= range.from) continue;
      marker.before = seq;
      if (!inside(date)) continue;
      marker.changed = seq;
      marker.row = nullptr;
    }
  }
  if (range.from == std::numeric_limits<std::int32_t>::max()) return;
  drop_dates(shard, range.entity, range.from + 1, seq,
             [&](std::int32_t date, bool is_row) { return inside(date) || !is_row; });
}

// Loads under way learn of a change to (entity, date).
void Cache::note(Shard& shard, std::string_view entity, std::int32_t date, std::int64_t seq, const HotRowPtr& row) {
  const auto markers = shard.loads.find(entity);
  if (markers == shard.loads.end()) return;
  auto& dates = markers->second.dates;
  for (auto at = dates.lower_bound(date); at != dates.end(); ++at) {
    if (at->first == date) {
      at->second.changed = seq;
      at->second.row = row;
    } else if (shape_.carries) {
      at->second.before = seq;
    } else {
      break;
    }
  }
}

// Drops the answers of an entity from a date on that a commit made wrong.
void Cache::drop_dates(Shard& shard, std::string_view entity, std::int32_t from, std::int64_t seq,
                       const std::function<bool(std::int32_t, bool)>& affected) {
  const auto found = shard.entities.find(entity);
  if (found == shard.entities.end()) return;
  std::vector<std::uint32_t> places;
  auto& dates = found->second.dates;
  for (auto at = dates.lower_bound(from); at != dates.end(); ++at) {
    const Entry& entry = shard.entries[at->second];
    if (entry.seq < seq && affected(at->first, entry.row->kind == HotRow::Kind::row)) places.push_back(at->second);
  }
  for (const std::uint32_t place : places) drop(shard, place);
}

void Cache::clear() {
  for (const auto& shard : shards_) {
    const std::lock_guard lock(shard->mutex);
    for (std::uint32_t place = 0; place < shard->entries.size(); ++place) {
      if (shard->entries[place].entity != nullptr) drop(*shard, place);
    }
  }
}

bool Cache::invalidate(std::string_view key) {
  const auto [entity, date] = split_key(shape_.has_date, key);
  Shard& shard = shard_of(entity);
  const std::lock_guard lock(shard.mutex);
  constexpr std::int64_t all = std::numeric_limits<std::int64_t>::max();
  if (shard.bulk) touch(shard, entity, all);
  const bool was_there = entry_at(shard, entity, date) != nullptr;
  drop_dates(shard, entity, date, all,
             [date = date](std::int32_t other, bool is_row) { return other == date || !is_row; });
  const auto markers = shard.loads.find(entity);
  if (markers != shard.loads.end()) {
    auto& dates = markers->second.dates;
    for (auto at = dates.lower_bound(date); at != dates.end(); ++at) at->second.is_void = true;
  }
  return was_there;
}

// --- Places and space.

void Cache::put(Shard& shard, std::string_view entity, std::int32_t date, std::int64_t seq, HotRowPtr row) {
  auto found = shard.entities.find(entity);
  if (found == shard.entities.end()) found = shard.entities.try_emplace(std::string(entity)).first;
  const auto [at, is_new] = found->second.dates.try_emplace(date, 0);
  if (is_new) {
    if (shard.free.empty()) {
      shard.free.push_back(static_cast<std::uint32_t>(shard.entries.size()));
      shard.entries.emplace_back();
    }
    at->second = shard.free.back();
    shard.free.pop_back();
    if (ShortKey::fits(entity)) shard.places.try_emplace(ShortKey(entity, date), at->second);
    ++entries_;
  }
  Entry& entry = shard.entries[at->second];
  if (!is_new) count(shard, entry, false);
  entry.entity = &*found;
  entry.date = date;
  entry.seq = seq;
  entry.row = std::move(row);
  entry.referenced = entry.referenced && !is_new;
  count(shard, entry, true);
}

void Cache::count(Shard& shard, const Entry& entry, bool comes) {
  // Unsigned, so that minus works as well.
  const std::size_t change = comes ? cost(entry) : std::size_t{0} - cost(entry);
  shard.bytes += change;
  bytes_ += change;
}

void Cache::drop(Shard& shard, std::uint32_t place) {
  Entry& entry = shard.entries[place];
  count(shard, entry, false);
  --entries_;
  const std::string& entity = entry.entity->first;
  if (ShortKey::fits(entity)) shard.places.erase(ShortKey(entity, entry.date));
  entry.entity->second.dates.erase(entry.date);
  if (entry.entity->second.dates.empty()) shard.entities.erase(shard.entities.find(entry.entity->first));
  entry = Entry{};
  shard.free.push_back(place);
}

// CLOCK in each shard: what was asked for since the hand came by last stays for another round. Shards above their share
// give, in turn: there is one as long as all together are above the limit.
void Cache::make_space() {
  while (bytes_ > limit_ && entries_ > 0) {
    Shard& shard = *shards_[next_victim_++ & (shards_.size() - 1)];
    if (shard.bytes <= limit_ / shards_.size()) continue;
    const std::lock_guard lock(shard.mutex);
    for (std::size_t steps = 0; steps < 2 * shard.entries.size(); ++steps) {
      Entry& entry = shard.entries[shard.hand];
      const auto place = static_cast<std::uint32_t>(shard.hand);
      shard.hand = (shard.hand + 1) % shard.entries.size();
      if (entry.entity == nullptr) continue;
      if (entry.referenced) {
        entry.referenced = false;
        continue;
      }
      drop(shard, place);
      ++shard.evictions;
      break;
    }
  }
}

Cache::Figures Cache::figures() const {
  Figures figures;
  for (const auto& shard : shards_) {
    const std::lock_guard lock(shard->mutex);
    figures.hits += shard->hits;
    figures.misses += shard->misses;
    figures.negative_hits += shard->negative_hits;
    figures.evictions += shard->evictions;
  }
  figures.entries = entries_;
  figures.bytes = bytes_;
  return figures;
}

}  // namespace daybook::reader
