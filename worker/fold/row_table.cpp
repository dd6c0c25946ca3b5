#include "worker/fold/row_table.h"

namespace daybook {
namespace {

constexpr std::size_t smallest = 1024;

}  // namespace

std::uint32_t RowTable::find_or_add(std::string_view key, std::uint64_t hash) {
  const auto tag = static_cast<std::uint32_t>(hash >> 32);
  std::uint64_t at = hash & mask_;
  for (; slots_[at].row_plus_1 != 0; at = (at + 1) & mask_) {
    if (slots_[at].tag == tag && this->key(slots_[at].row_plus_1 - 1) == key) return slots_[at].row_plus_1 - 1;
  }
  const std::uint32_t row = rows_++;
  cells_.resize(rows_ * stride_, 0);
  std::uint64_t* const cells = &cells_[row * stride_];
  if (fixed_key_size_ > 0) {
    std::memcpy(cells, key.data(), key.size());
  } else {
    *cells = texts_.size() << 16 | key.size();
    texts_.append(key);
  }
  slots_[at] = {rows_, tag};
  if (2 * std::size_t{rows_} > slots_.size()) grow();
  return row;
}

void RowTable::grow() {
  slots_.assign(slots_.size() * 2, Slot{});
  mask_ = slots_.size() - 1;
  for (std::uint32_t row = 0; row < rows_; ++row) {
    const std::uint64_t hash = this->hash(key(row));
    std::uint64_t at = hash & mask_;
    while (slots_[at].row_plus_1 != 0) at = (at + 1) & mask_;
    slots_[at] = {row + 1, static_cast<std::uint32_t>(hash >> 32)};
  }
}

// Keeps a table that was of use; a small batch after a large one must not pay for clearing it.
void RowTable::clear() {
  const std::size_t wanted = slots_.empty() || std::size_t{rows_} * 16 < slots_.size() ? smallest : slots_.size();
  slots_.assign(wanted, Slot{});
  mask_ = slots_.size() - 1;
  cells_.clear();
  texts_.clear();
  rows_ = 0;
}

}  // namespace daybook
