// The rows of one view in memory. Pure: it is told of loads, changes and sizes, and does no I/O. Any thread.
//
// Each answer has the seq of a commit that it is valid at; what the feed brought later and does not touch it leaves it
// valid. Coherence (docs/reader-memory.md has the proof):
//   1. A change to a row replaces or drops its answer, unless the answer is from that commit or a later one.
//   2. An answer about a date without a row (carried, absent) depends on the rows before it: a change to an earlier or
//      the same date drops it.
//   3. A load announces itself first (begin_load). Changes to its key that pass by are noted; a result from before them
//      is replaced by the noted row, or not taken.
//   4. A result older than what was ever shown, or of another database than the feed's (Frontier), is not taken.
#pragma once

#include <absl/container/btree_map.h>
#include <absl/container/flat_hash_map.h>
#include <absl/container/node_hash_map.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <variant>
#include <vector>

#include "reader/change.h"
#include "reader/frontier.h"
#include "reader/hot_row.h"
#include "reader/rows.h"

namespace daybook::reader {

// What the database said of a key, in one snapshot.
struct Loaded {
  std::int64_t seq = 0;
  std::string nonce;
  HotRowPtr row;
};

// Nobody may be told this result: it is older than what was shown or noted. Load again, at `floor` or later.
struct LoadAgain {
  std::int64_t floor = 0;
};

class Cache {
 public:
  struct Shape {
    bool has_date = false;
    bool carries = false;  // a date without a row is answered from the rows before it
    std::size_t bytes = 64 << 20;
    std::size_t shards = 64;  // a power of two
  };
  using MakeRow = std::function<HotRowPtr(const ChangedRow& row)>;  // of one that is gone: absent

  Cache(const Shape& shape, Frontier& frontier, MakeRow make_row);
  ~Cache();

  // Null: not in memory.
  HotRowPtr find(std::string_view key);

  // A load of `key` begins; one at a time for a key. What it brings must be at least as new as `floor`. With `present`
  // it is in memory by now, and no load began.
  struct Begun {
    HotRowPtr present;
    std::int64_t floor = 0;
  };
  Begun begin_load(std::string_view key);
  // It ended well: what to tell those who wait, now in memory. With LoadAgain it goes on as if it had just begun.
  std::variant<HotRowPtr, LoadAgain> finish_load(std::string_view key, const Loaded& loaded);
  // It ended without a result.
  void abandon_load(std::string_view key);

  // Many rows whose keys are not known beforehand (warm-up). One at a time. `offer` is between the two calls and takes
  // rows only; false: not taken, because it is old, or there is something newer, or no space.
  void begin_bulk();
  bool offer(std::string_view key, const Loaded& loaded);
  void end_bulk();

  // The caller has raised the frontier to `change.seq` already.
  void apply(const Change& change);
  // Drops all. When everything may be different, the caller begins the frontier anew first: loads under way are not
  // taken then.
  void clear();
  // The answer about this key, and what depends on it: answers about later dates without a row of their own. Loads
  // of those that are under way are done again. Was there an answer?
  bool invalidate(std::string_view key);
  void set_limit(std::size_t bytes) { limit_ = bytes; }

  struct Figures {
    std::uint64_t hits = 0;
    std::uint64_t misses = 0;
    std::uint64_t negative_hits = 0;  // hits that said "absent"
    std::uint64_t evictions = 0;
    std::size_t entries = 0;
    std::size_t bytes = 0;
  };
  Figures figures() const;

 private:
  struct Entity;
  using Entities = absl::node_hash_map<std::string, Entity, KeyHash, KeyEqual>;
  struct Entry {
    Entities::value_type* entity = nullptr;  // null: this place is free
    std::int32_t date = 0;
    bool referenced = false;  // since the hand came by
    std::int64_t seq = 0;
    HotRowPtr row;
  };
  // Names one answer in as many bytes as lie in the map itself, so that finding it touches memory once. Entities of
  // more than 19 bytes have none.
  struct ShortKey {
    ShortKey(std::string_view entity, std::int32_t date_)
        : date(date_), size(static_cast<std::uint8_t>(entity.size())) {
      std::copy(entity.begin(), entity.end(), bytes.begin());
    }
    static bool fits(std::string_view entity) { return entity.size() <= sizeof bytes; }
    bool operator==(const ShortKey&) const = default;
    template <typename H>
    friend H AbslHashValue(H state, const ShortKey& key) {
      return H::combine(std::move(state), key.date, key.size, key.bytes);
    }
    std::int32_t date;
    std::uint8_t size;
    std::array<char, 19> bytes{};
  };
  struct Entity {
    absl::btree_map<std::int32_t, std::uint32_t> dates;  // -> place in Shard::entries
  };
  // A load under way.
  struct Marker {
    Frontier::Point begun;
    std::int64_t changed = -1;  // the newest change to the row itself
    HotRowPtr row;              // and the row after it, when it is known
    std::int64_t before = -1;   // the newest change to a row of the same entity on an earlier date
    bool is_void = false;       // was invalidated
  };
  struct EntityMarkers {
    absl::btree_map<std::int32_t, Marker> dates;
  };
  struct Shard {
    mutable std::mutex mutex;
    Entities entities;
    std::vector<Entry> entries;
    absl::flat_hash_map<ShortKey, std::uint32_t> places;  // in `entries`, of all whose key is short
    std::vector<std::uint32_t> free;
    std::size_t hand = 0;  // of CLOCK
    std::atomic<std::size_t> bytes{0};
    absl::flat_hash_map<std::string, EntityMarkers, KeyHash, KeyEqual> loads;
    bool bulk = false;
    Frontier::Point bulk_begun;
    absl::flat_hash_map<std::string, std::int64_t, KeyHash, KeyEqual>
        touched;  // entities, while `bulk`: what is known or shown of them
    std::uint64_t hits = 0, misses = 0, negative_hits = 0, evictions = 0;
  };

  Shard& shard_of(std::string_view entity);
  Entry* entry_at(Shard& shard, std::string_view entity, std::int32_t date);
  void put(Shard& shard, std::string_view entity, std::int32_t date, std::int64_t seq, HotRowPtr row);
  void count(Shard& shard, const Entry& entry, bool comes);
  void drop(Shard& shard, std::uint32_t place);
  void drop_dates(Shard& shard, std::string_view entity, std::int32_t from, std::int64_t seq,
                  const std::function<bool(std::int32_t date, bool is_row)>& affected);
  static void touch(Shard& shard, std::string_view entity, std::int64_t seq);
  void note(Shard& shard, std::string_view entity, std::int32_t date, std::int64_t seq, const HotRowPtr& row);
  void change_row(std::string_view key, std::int64_t seq, const ChangedRow* changed);
  void change_range(const Change::Range& range, std::int64_t seq);
  void make_space();
  static std::size_t cost(const Entry& entry);

  const Shape shape_;
  Frontier& frontier_;
  const MakeRow make_row_;
  std::vector<std::unique_ptr<Shard>> shards_;
  std::atomic<std::size_t> limit_;
  std::atomic<std::size_t> bytes_{0};
  std::atomic<std::size_t> entries_{0};
  std::atomic<std::size_t> next_victim_{0};
};

}  // namespace daybook::reader
