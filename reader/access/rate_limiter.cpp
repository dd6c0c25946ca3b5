#include "reader/access/rate_limiter.h"

#include <absl/container/flat_hash_map.h>
#include <arpa/inet.h>

#include <algorithm>
#include <cstring>
#include <mutex>

#include "reader/access/encoding.h"
#include "reader/hex.h"

namespace daybook::reader {
namespace {

constexpr std::size_t shard_count = 64;
constexpr std::int64_t second = 1'000'000'000;

std::int64_t nanoseconds(RateLimiter::Time time) {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(time.time_since_epoch()).count();
}

std::int64_t whole_seconds(std::int64_t span) { return (span + second - 1) / second; }

// Rounded up, so that rounding never admits more.
std::int64_t interval(const Policy& policy) { return (policy.window * second + policy.limit - 1) / policy.limit; }

bool starts_with_segments(std::string_view path, std::string_view prefix) {
  if (!path.starts_with(prefix)) return false;
  return prefix.ends_with('/') || path.size() == prefix.size() || path[prefix.size()] == '/';
}

std::string decoded(std::string_view path) {
  std::string plain;
  for (std::size_t i = 0; i < path.size(); ++i) {
    if (path[i] == '%' && i + 2 < path.size() && hex_value(path[i + 1]) >= 0 && hex_value(path[i + 2]) >= 0) {
      plain += static_cast<char>(hex_value(path[i + 1]) * 16 + hex_value(path[i + 2]));
      i += 2;
    } else {
      plain += path[i];
    }
  }
  return plain;
}

}  // namespace

ClientKey client_of_address(std::string_view address) {
  ClientKey key{};
  const std::string text(address.substr(0, address.find('%')));  // without the zone of a link-local address
  if (inet_pton(AF_INET, text.c_str(), key.data() + 12) == 1) {
    key[10] = key[11] = 0xff;
    return key;
  }
  if (inet_pton(AF_INET6, text.c_str(), key.data()) != 1) return client_of_name(address);
  static constexpr std::uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
  if (std::memcmp(key.data(), mapped, sizeof mapped) != 0) std::fill(key.begin() + 8, key.end(), std::uint8_t{0});
  return key;
}

ClientKey client_of_name(std::string_view name) {
  const Sha256 hash = sha256(name);
  ClientKey key;
  std::copy_n(hash.begin(), key.size(), key.begin());
  return key;
}

bool applies(const Policy& policy, std::string_view path) {
  if (policy.paths.empty()) return true;
  const std::string plain = path.find('%') == std::string_view::npos ? std::string() : decoded(path);
  if (!plain.empty()) path = plain;
  return std::any_of(policy.paths.begin(), policy.paths.end(),
                     [path](const std::string& prefix) { return starts_with_segments(path, prefix); });
}

struct alignas(64) RateLimiter::Shard {
  using Key = std::pair<std::size_t, ClientKey>;
  mutable std::mutex mutex;
  absl::flat_hash_map<Key, std::int64_t> full_at;

  // Makes room, in constant time an entry on average.
  void drop(std::size_t capacity, std::int64_t now) {
    absl::erase_if(full_at, [now](const auto& entry) { return entry.second <= now; });
    const std::size_t kept = capacity - capacity / 4;
    if (full_at.size() < kept) return;
    std::vector<std::int64_t> times;
    times.reserve(full_at.size());
    for (const auto& entry : full_at) times.push_back(entry.second);
    std::size_t left = times.size() - kept;  // of one age there may be more than have to go
    const auto last = times.begin() + static_cast<std::ptrdiff_t>(left);
    std::nth_element(times.begin(), last, times.end());
    absl::erase_if(full_at, [&left, limit = *last](const auto& entry) {
      if (left == 0 || entry.second > limit) return false;
      --left;
      return true;
    });
  }
};

RateLimiter::RateLimiter(std::vector<Policy> policies, std::size_t buckets)
    : policies_(std::move(policies)),
      buckets_a_shard_(std::max<std::size_t>(buckets / shard_count, 4)),
      shards_(std::make_unique<Shard[]>(shard_count)) {
  for (const Policy& policy : policies_)
    policy_texts_.push_back("\"" + policy.name + "\";q=" + std::to_string(policy.limit) +
                            ";w=" + std::to_string(policy.window));
}

RateLimiter::~RateLimiter() = default;

RateLimiter::State RateLimiter::take(std::size_t policy, const ClientKey& client, Time time) {
  const Policy& rule = policies_[policy];
  const std::int64_t now = nanoseconds(time);
  const std::int64_t one = interval(rule);
  const std::int64_t depth = one * rule.burst;
  const Shard::Key key(policy, client);
  Shard& shard = shards_[absl::Hash<Shard::Key>{}(key) / 256 % shard_count];

  const std::lock_guard lock(shard.mutex);
  auto found = shard.full_at.find(key);
  if (found == shard.full_at.end()) {
    if (shard.full_at.size() >= buckets_a_shard_) shard.drop(buckets_a_shard_, now);
    found = shard.full_at.try_emplace(key, now).first;
  }
  // A clock that was set back would otherwise shut clients out for as long.
  const std::int64_t full_at = std::clamp(found->second, now, now + depth);
  State state;
  state.admitted = full_at + one - now <= depth;
  found->second = state.admitted ? full_at + one : full_at;
  state.remaining = (depth - (found->second - now)) / one;
  state.full_after = whole_seconds(found->second - now);
  if (!state.admitted) state.retry_after = std::max<std::int64_t>(whole_seconds(full_at + one - depth - now), 1);
  return state;
}

std::size_t RateLimiter::size() const {
  std::size_t count = 0;
  for (std::size_t i = 0; i < shard_count; ++i) {
    const std::lock_guard lock(shards_[i].mutex);
    count += shards_[i].full_at.size();
  }
  return count;
}

}  // namespace daybook::reader
