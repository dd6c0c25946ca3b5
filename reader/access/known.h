// Somebody whose token was found good, and why one was not. Times are the caller's: nothing here looks at a clock.
#pragma once

#include <chrono>
#include <cstdint>
#include <limits>
#include <string>

#include "reader/access/rate_limiter.h"
#include "reader/identity.h"

namespace daybook::reader {

using Time = std::chrono::system_clock::time_point;

inline std::int64_t unix_seconds(Time time) {
  return std::chrono::floor<std::chrono::seconds>(time.time_since_epoch()).count();
}

struct Known {
  IdentityPtr who;
  ClientKey client{};  // whose budget a request is of
  // Valid from the first to before the second, in seconds since 1970, leeway included.
  std::int64_t from = std::numeric_limits<std::int64_t>::min();
  std::int64_t until = std::numeric_limits<std::int64_t>::max();
};

// What the client is told. Everything that would help to guess is one reason, `rejected`; the ones below it are only
// told to those who hold an authentic token.
enum class Reason { missing, malformed, rejected, expired, too_early, audience, issuer, claims, disabled };
inline constexpr std::size_t reason_count = 9;

struct Refusal {
  Reason reason = Reason::rejected;
  std::string detail;  // for the log: what was found. Never for the client, never a part of a secret
};

}  // namespace daybook::reader
