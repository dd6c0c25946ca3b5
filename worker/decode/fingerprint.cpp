#include "worker/decode/fingerprint.h"

#include <sodium/crypto_shorthash.h>

#include <cstring>
#include <string>

namespace daybook {

Fingerprint identity_of(const FingerprintKey& key, std::string_view source, std::string_view id) {
  static_assert(crypto_shorthash_siphashx24_KEYBYTES == sizeof(FingerprintKey));
  // The length of `source` comes first, so that ("ab", "c") and ("a", "bc") differ.
  const std::uint64_t source_size = source.size();
  unsigned char buffer[512];
  std::string large;
  unsigned char* bytes = buffer;
  const std::size_t size = sizeof source_size + source.size() + id.size();
  if (size > sizeof buffer) {
    large.resize(size);
    bytes = reinterpret_cast<unsigned char*>(large.data());
  }
  std::memcpy(bytes, &source_size, sizeof source_size);
  std::memcpy(bytes + sizeof source_size, source.data(), source.size());
  std::memcpy(bytes + sizeof source_size + source.size(), id.data(), id.size());
  unsigned char hash[crypto_shorthash_siphashx24_BYTES];
  crypto_shorthash_siphashx24(hash, bytes, size, key.data());
  Fingerprint fingerprint;
  std::memcpy(&fingerprint.identity_high, hash, 8);
  std::memcpy(&fingerprint.identity_low, hash + 8, 4);
  return fingerprint;
}

std::uint64_t digest(std::uint64_t seed, std::string_view bytes) {
  constexpr std::uint64_t multiplier = 0x9E3779B97F4A7C15;
  std::uint64_t hash = (seed ^ bytes.size()) * multiplier;
  std::size_t at = 0;
  for (; at + 8 <= bytes.size(); at += 8) {
    std::uint64_t word;
    std::memcpy(&word, bytes.data() + at, 8);
    hash = (hash ^ word) * multiplier;
    hash ^= hash >> 29;
  }
  if (at < bytes.size()) {
    std::uint64_t word = 0;
    std::memcpy(&word, bytes.data() + at, bytes.size() - at);
    hash = (hash ^ word) * multiplier;
    hash ^= hash >> 29;
  }
  return hash ^ hash >> 32;
}

}  // namespace daybook
