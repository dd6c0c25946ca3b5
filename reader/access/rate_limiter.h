// Token buckets: how often a client may ask. Pure; the time is an argument. Any thread.
//
// A bucket is one number (the generic cell rate algorithm): the time at which it will be full again. In any span t at
// most burst + t × limit / window requests are admitted.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace daybook::reader {

// An IP address (an IPv6 one cut to its /64, which is what one customer gets), or the hash of who a token is.
using ClientKey = std::array<std::uint8_t, 16>;
ClientKey client_of_address(std::string_view address);
ClientKey client_of_name(std::string_view name);

struct Policy {
  enum class By { address, token };
  std::string name;
  By by = By::address;
  std::int64_t limit = 0;   // requests ...
  std::int64_t window = 0;  // ... in so many seconds
  std::int64_t burst = 0;   // at once
  // Path prefixes of whole segments ("/v1/views" is not a prefix of "/v1/viewsets"); empty: all.
  std::vector<std::string> paths;
};

// Whether a policy holds for the path as sent: "%76iews" is "views" here, too.
bool applies(const Policy& policy, std::string_view path);

class RateLimiter {
 public:
  using Time = std::chrono::system_clock::time_point;

  // Holds about `buckets` at most. Full ones are forgotten, which loses nothing; when there are more busy ones than
  // that, the ones nearest to full are forgotten.
  RateLimiter(std::vector<Policy> policies, std::size_t buckets = 200'000);
  ~RateLimiter();

  struct State {
    bool admitted = true;
    std::int64_t remaining = 0;    // requests that would be admitted now
    std::int64_t full_after = 0;   // seconds
    std::int64_t retry_after = 0;  // seconds, at least 1; when not admitted
  };
  // Takes one request out of the bucket, if there is one.
  State take(std::size_t policy, const ClientKey& client, Time now);

  const std::vector<Policy>& policies() const { return policies_; }
  // As the header RateLimit-Policy lists it: "name";q=100;w=60
  const std::string& policy_text(std::size_t policy) const { return policy_texts_[policy]; }
  std::size_t size() const;  // buckets held

 private:
  struct Shard;
  std::vector<Policy> policies_;
  std::vector<std::string> policy_texts_;
  std::size_t buckets_a_shard_;
  std::unique_ptr<Shard[]> shards_;
};

}  // namespace daybook::reader
