// The rows of a batch: keys and, beside each key, its sums. An open-addressing table made for one thing:
// looked up at random by every event, in memory larger than a core's caches. A row's key and sums share a record, and
// both the slot and the record can be fetched ahead.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "core/aggregates.h"
#include "core/definition.h"
#include "core/row_key.h"
#include "worker/decode/fingerprint.h"

namespace daybook {

class RowTable {
 public:
  explicit RowTable(const ViewDefinition& view)
      : fixed_key_size_(row_key::fixed_size(view.key)),
        key_words_(fixed_key_size_ > 0 ? (fixed_key_size_ + 7) / 8 : 1),
        stride_(key_words_ + sums_of(view).size()),
        // Keys are chosen by others; where this object lies is not known to them.
        seed_(reinterpret_cast<std::uintptr_t>(this)) {
    clear();
  }
  // The seed is its own.
  RowTable(const RowTable&) = delete;
  RowTable& operator=(const RowTable&) = delete;

  std::uint64_t hash(std::string_view key) const { return digest(seed_, key); }

  // The row of this key, a new one with sums of 0 if there is none.
  std::uint32_t find_or_add(std::string_view key, std::uint64_t hash);

  void prefetch_slot(std::uint64_t hash) const { __builtin_prefetch(&slots_[hash & mask_]); }
  // After prefetch_slot() had time to work: the record that the slot most likely leads to.
  void prefetch_row(std::uint64_t hash) const {
    const Slot& slot = slots_[hash & mask_];
    if (slot.row_plus_1 != 0) __builtin_prefetch(&cells_[(slot.row_plus_1 - 1) * stride_]);
  }

  std::string_view key(std::uint32_t row) const {
    const std::uint64_t* const cells = &cells_[row * stride_];
    if (fixed_key_size_ > 0) return {reinterpret_cast<const char*>(cells), fixed_key_size_};
    return std::string_view(texts_).substr(*cells >> 16, *cells & 0xFFFF);
  }
  std::int64_t sum(std::uint32_t row, std::size_t number) const {
    return static_cast<std::int64_t>(cells_[row * stride_ + key_words_ + number]);
  }
  // Two's complement: never overflows as long as Batch::can_add() is asked before.
  void add(std::uint32_t row, std::size_t number, std::int64_t amount) {
    cells_[row * stride_ + key_words_ + number] += static_cast<std::uint64_t>(amount);
  }

  std::uint32_t size() const { return rows_; }
  std::size_t memory_bytes() const {
    return slots_.size() * sizeof(Slot) + cells_.size() * sizeof(std::uint64_t) + texts_.size();
  }
  void clear();

 private:
  struct Slot {
    std::uint32_t row_plus_1 = 0;  // 0: empty
    std::uint32_t tag = 0;         // the hash's upper half: spares visits to other keys' records
  };
  void grow();

  std::size_t
      fixed_key_size_;  // 0: keys with text; the key's cell then holds where it is in texts_ (begin << 16 | size)
  std::size_t key_words_;
  std::size_t stride_;
  std::uint64_t seed_;
  std::vector<Slot> slots_;  // a power of two, at most half full; linear probing
  std::uint64_t mask_ = 0;
  std::vector<std::uint64_t> cells_;  // [row]: key_words_ of key, then the sums
  std::string texts_;
  std::uint32_t rows_ = 0;
};

}  // namespace daybook
