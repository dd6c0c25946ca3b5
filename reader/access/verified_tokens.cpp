#include "reader/access/verified_tokens.h"

#include <algorithm>

namespace daybook::reader {

VerifiedTokens::VerifiedTokens(std::size_t capacity)
    : capacity_a_shard_(std::max<std::size_t>(capacity / shard_count, 1)) {}

std::optional<Known> VerifiedTokens::find(const Sha256& token, Time now) {
  Shard& shard = shard_of(token);
  const std::lock_guard lock(shard.mutex);
  const auto found = shard.known.find(token);
  if (found == shard.known.end()) return std::nullopt;
  const std::int64_t seconds = unix_seconds(now);
  if (seconds >= found->second.from && seconds < found->second.until) return found->second;
  shard.known.erase(found);  // what is wrong with it now, a new check says
  return std::nullopt;
}

void VerifiedTokens::keep(const Sha256& token, const Known& known, Time now) {
  Shard& shard = shard_of(token);
  const std::lock_guard lock(shard.mutex);
  if (shard.known.size() >= capacity_a_shard_) {
    std::erase_if(shard.known, [seconds = unix_seconds(now)](const auto& one) { return one.second.until <= seconds; });
    // Any: whoever is busy is back after one more check.
    if (shard.known.size() >= capacity_a_shard_) shard.known.erase(shard.known.begin());
  }
  shard.known.insert_or_assign(token, known);
}

std::size_t VerifiedTokens::size() const {
  std::size_t count = 0;
  for (const Shard& shard : shards_) {
    const std::lock_guard lock(shard.mutex);
    count += shard.known.size();
  }
  return count;
}

}  // namespace daybook::reader
