// The identity of an event in 16 bytes: what the deduplication set keeps and the database stores.
//
// 12 bytes are a keyed hash (SipHash-2-4, 128 bits, truncated) of (source, id): ids are chosen by others, so an
// unkeyed hash could be attacked. At 20 million events the chance that a new event meets another's 96 bits is
// 2.5e-22. The other 4 bytes are a digest of what the event contributes, so that an id used again with other data
// is noticed (docs/decisions.md).
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace daybook {

struct Fingerprint {
  std::uint64_t identity_high = 0;
  std::uint32_t identity_low = 0;
  std::uint32_t content = 0;

  bool same_identity(const Fingerprint& other) const {
    return identity_high == other.identity_high && identity_low == other.identity_low;
  }
  bool operator==(const Fingerprint&) const = default;
};
static_assert(sizeof(Fingerprint) == 16);

using FingerprintKey = std::array<unsigned char, 16>;

// content is left 0. Safe to call from any thread.
Fingerprint identity_of(const FingerprintKey& key, std::string_view source, std::string_view id);

// A digest of bytes that is the same in every process and version of this program (it is stored).
std::uint64_t digest(std::uint64_t seed, std::string_view bytes);

}  // namespace daybook
