// The fingerprints of the events that a view contains: its newest `window` ones, 16 bytes each in a ring, found
// by a 4-byte open-addressing index. 22 to 27 bytes an event in all.
//
// The set holds what is committed, and what is staged: fingerprints of batches that are being folded or
// committed. A batch that fails takes its own out again by erase(); nothing is staged twice.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "worker/decode/fingerprint.h"

namespace daybook {

class SeenSet {
 public:
  // `window`: how many committed ones are kept at least. `slack`: room beside them for staged ones and for what failed
  // batches leave behind, so that neither shortens the window. Together at most 2^31.
  SeenSet(std::uint64_t window, std::uint64_t slack);

  enum class Inserted {
    fresh,          // it was not there
    duplicate,      // the same identity with the same content
    other_content,  // the same identity with other content: an id used again
  };
  // Inserts unless the identity is there. The oldest fingerprint leaves when the window is full.
  Inserted insert(const Fingerprint& fingerprint);

  // Inserts many, oldest first.
  void insert(std::span<const Fingerprint> fingerprints);

  // Makes the index large enough for this many at once, rather than by doubling it again and again.
  void reserve(std::uint64_t count);

  // Takes one out; nothing happens when it is not there.
  void erase(const Fingerprint& fingerprint);

  // Erased ones have used up so much of the slack that the window is in danger: load the set again.
  bool is_worn() const { return next_ - oldest_ - live_ > slack_ / 2; }

  bool contains(const Fingerprint& fingerprint) const { return find(fingerprint) != none; }

  // Brings the index entry that insert() will need into the cache.
  void prefetch(const Fingerprint& fingerprint) const { __builtin_prefetch(&index_[home(fingerprint)]); }

  void clear();
  std::uint64_t size() const { return live_; }
  std::uint64_t memory_bytes() const;

 private:
  // Fingerprints in order of insertion, at sequence numbers [oldest_, next_), number n in ring slot n % ring_size.
  // A slot that was erased holds `gone` until it leaves the window.
  static constexpr Fingerprint gone{};
  static constexpr std::size_t segment_size = std::size_t{1} << 16;
  static constexpr std::uint64_t none = ~std::uint64_t{0};
  using Segment = std::unique_ptr<Fingerprint[]>;

  Fingerprint& at(std::uint64_t slot) { return segments_[slot / segment_size][slot % segment_size]; }
  const Fingerprint& at(std::uint64_t slot) const { return segments_[slot / segment_size][slot % segment_size]; }
  std::uint64_t home(const Fingerprint& f) const { return f.identity_high & (index_.size() - 1); }
  std::uint32_t entry_of(std::uint64_t slot, const Fingerprint& f) const;
  std::uint64_t slot_of(std::uint32_t entry) const { return (entry & slot_mask_) - 1; }
  std::uint64_t probe(const Fingerprint& fingerprint) const;  // the index position where it is, or where it would go
  std::uint64_t find(const Fingerprint& fingerprint) const;   // an index position, or none
  void remove_index(std::uint64_t position);
  void rebuild_index(std::size_t size);
  void drop_oldest();
  void prefetch_oldest() const;

  std::uint64_t slack_;
  std::uint64_t ring_size_;
  std::uint32_t slot_mask_;  // low bits of an index entry: slot + 1; the others: a tag from the identity
  std::vector<Segment> segments_;
  std::vector<std::uint32_t> index_;  // 0: empty; a power of two in size, at most 3/4 full
  std::uint64_t oldest_ = 0;
  std::uint64_t next_ = 0;
  std::uint64_t live_ = 0;
};

}  // namespace daybook
