// JWTs that were found good, by the SHA-256 of the whole token, so that a busy client costs one signature check and
// not one a request. Bounded. Any thread.
#pragma once

#include <array>
#include <mutex>
#include <optional>
#include <unordered_map>

#include "reader/access/encoding.h"
#include "reader/access/known.h"

namespace daybook::reader {

class VerifiedTokens {
 public:
  explicit VerifiedTokens(std::size_t capacity = 65'536);

  // Nothing outside the token's time.
  std::optional<Known> find(const Sha256& token, Time now);
  void keep(const Sha256& token, const Known& known, Time now);
  std::size_t size() const;

 private:
  static constexpr std::size_t shard_count = 64;
  struct alignas(64) Shard {
    mutable std::mutex mutex;
    std::unordered_map<Sha256, Known, Sha256Hash> known;
  };
  Shard& shard_of(const Sha256& token) { return shards_[token.back() % shard_count]; }

  std::size_t capacity_a_shard_;
  std::array<Shard, shard_count> shards_;
};

}  // namespace daybook::reader
