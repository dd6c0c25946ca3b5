#include "worker/fold/seen_set.h"

#include <algorithm>
#include <bit>

namespace daybook {
namespace {

constexpr std::size_t smallest_index = std::size_t{1} << 12;
constexpr std::size_t ahead = 16;  // how far before its turn an entry is fetched into the cache

}  // namespace

SeenSet::SeenSet(std::uint64_t window, std::uint64_t slack)
    : slack_(slack),
      ring_size_(std::min<std::uint64_t>(window + slack, std::uint64_t{1} << 31)),
      // slot + 1 goes up to ring_size_, so that many values and 0 must fit below the tag.
      slot_mask_(static_cast<std::uint32_t>(std::bit_ceil(ring_size_ + 1) - 1)),
      index_(smallest_index, 0) {}

std::uint32_t SeenSet::entry_of(std::uint64_t slot, const Fingerprint& f) const {
  return static_cast<std::uint32_t>(slot + 1) | (f.identity_low & ~slot_mask_);
}

// Linear probing: an entry sits at its home or, with no empty position between, somewhere after it. The tag spares
// nearly all visits to the ring that would end in another identity.
std::uint64_t SeenSet::probe(const Fingerprint& fingerprint) const {
  const std::uint32_t tag = fingerprint.identity_low & ~slot_mask_;
  for (std::uint64_t position = home(fingerprint);; position = (position + 1) & (index_.size() - 1)) {
    const std::uint32_t entry = index_[position];
    if (entry == 0) return position;
    if ((entry & ~slot_mask_) == tag && at(slot_of(entry)).same_identity(fingerprint)) return position;
  }
}

std::uint64_t SeenSet::find(const Fingerprint& fingerprint) const {
  const std::uint64_t position = probe(fingerprint);
  return index_[position] == 0 ? none : position;
}

SeenSet::Inserted SeenSet::insert(const Fingerprint& fingerprint) {
  std::uint64_t position = probe(fingerprint);
  if (index_[position] != 0) {
    return at(slot_of(index_[position])).content == fingerprint.content ? Inserted::duplicate : Inserted::other_content;
  }
  const bool full = next_ - oldest_ == ring_size_;
  const bool crowded = (live_ + 1) * 4 > index_.size() * 3;
  if (full) drop_oldest();
  if (crowded) rebuild_index(index_.size() * 2);
  if (full || crowded) position = probe(fingerprint);  // entries have moved
  const std::uint64_t slot = next_ % ring_size_;
  if (slot / segment_size == segments_.size()) {
    segments_.push_back(std::make_unique_for_overwrite<Fingerprint[]>(std::min<std::size_t>(segment_size, ring_size_)));
  }
  at(slot) = fingerprint;
  index_[position] = entry_of(slot, fingerprint);
  ++next_;
  ++live_;
  return Inserted::fresh;
}

void SeenSet::insert(std::span<const Fingerprint> fingerprints) {
  for (std::size_t i = 0; i < fingerprints.size(); ++i) {
    if (i + ahead < fingerprints.size()) prefetch(fingerprints[i + ahead]);
    insert(fingerprints[i]);
  }
}

void SeenSet::reserve(std::uint64_t count) {
  std::size_t size = index_.size();
  while (std::min(count, ring_size_) * 4 > size * 3) size *= 2;
  if (size > index_.size()) rebuild_index(size);
}

void SeenSet::erase(const Fingerprint& fingerprint) {
  const std::uint64_t position = find(fingerprint);
  if (position == none) return;
  at(slot_of(index_[position])) = gone;
  remove_index(position);
  --live_;
  // A failed batch was the newest: its slots are free again.
  while (next_ > oldest_ && at((next_ - 1) % ring_size_) == gone) --next_;
}

// Closing the hole looks at all entries behind it, each in another place of the ring: what the next ones to leave need
// is fetched before their turn, the index entries first, the ring's slots that those point to later.
void SeenSet::prefetch_oldest() const {
  if (next_ - oldest_ <= 2 * ahead) return;
  prefetch(at((oldest_ + 2 * ahead) % ring_size_));
  for (std::uint64_t position = home(at((oldest_ + ahead) % ring_size_)); index_[position] != 0;
       position = (position + 1) & (index_.size() - 1)) {
    __builtin_prefetch(&at(slot_of(index_[position])));
  }
}

void SeenSet::drop_oldest() {
  prefetch_oldest();
  const Fingerprint oldest = at(oldest_ % ring_size_);
  ++oldest_;
  if (oldest == gone) return;
  remove_index(find(oldest));
  --live_;
}

// Backward shift: entries after the hole that may sit there move into it, so that no tombstones are needed.
void SeenSet::remove_index(std::uint64_t hole) {
  const std::uint64_t mask = index_.size() - 1;
  for (std::uint64_t position = (hole + 1) & mask; index_[position] != 0; position = (position + 1) & mask) {
    const std::uint64_t wanted = home(at(slot_of(index_[position])));
    // It may move when the hole lies between its home and where it is now.
    if (((position - wanted) & mask) >= ((position - hole) & mask)) {
      index_[hole] = index_[position];
      hole = position;
    }
  }
  index_[hole] = 0;
}

void SeenSet::rebuild_index(std::size_t size) {
  std::vector<std::uint32_t>().swap(index_);  // freed before the larger one is taken: the peak stays lower
  index_.assign(size, 0);
  for (std::uint64_t n = oldest_; n < next_; ++n) {
    if (n + ahead < next_) prefetch(at((n + ahead) % ring_size_));
    const std::uint64_t slot = n % ring_size_;
    const Fingerprint& fingerprint = at(slot);
    if (fingerprint == gone) continue;
    std::uint64_t position = home(fingerprint);
    while (index_[position] != 0) position = (position + 1) & (size - 1);
    index_[position] = entry_of(slot, fingerprint);
  }
}

void SeenSet::clear() {
  segments_.clear();
  index_.assign(smallest_index, 0);
  oldest_ = next_ = live_ = 0;
}

std::uint64_t SeenSet::memory_bytes() const {
  return segments_.size() * std::min<std::uint64_t>(segment_size, ring_size_) * sizeof(Fingerprint) +
         index_.size() * sizeof(std::uint32_t);
}

}  // namespace daybook
