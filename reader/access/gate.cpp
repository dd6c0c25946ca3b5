#include "reader/access/gate.h"

#include <spdlog/spdlog.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <iterator>
#include <optional>
#include <tuple>
#include <vector>

#include "core/error.h"
#include "core/json_tree.h"
#include "reader/access/files.h"
#include "reader/access/recent_callers.h"
#include "reader/access/verified_tokens.h"

namespace daybook::reader {
namespace {

constexpr std::int64_t log_interval = 10;  // seconds between two lines about one reason

// A file as it was when it was read. The inode tells one that took its place (rename) within the same second.
using Stamp = std::tuple<std::int64_t, std::int64_t, std::int64_t, std::uint64_t>;
Stamp stamp_of(const std::string& path) {
  struct stat status {};
  if (path.empty() || stat(path.c_str(), &status) != 0) return {};
  return {status.st_mtim.tv_sec, status.st_mtim.tv_nsec, status.st_size, status.st_ino};
}

void warn_if_readable_by_others(const std::string& path, std::string_view what) {
  struct stat status {};
  if (stat(path.c_str(), &status) == 0 && (status.st_mode & S_IROTH) != 0)
    spdlog::warn("access: {} can be read by every user of this machine and holds {}; chmod o-r is better", path, what);
}

struct Words {
  std::string_view code;  // RFC 6750's error; empty: the client said nothing of itself
  std::string_view description;
};
Words words_of(Reason reason) {
  switch (reason) {
    case Reason::missing:
      return {"", "a token is needed: Authorization: Bearer TOKEN"};
    case Reason::malformed:
      return {"invalid_token", "the token is malformed"};
    case Reason::rejected:
      break;
    case Reason::expired:
      return {"invalid_token", "the token has expired"};
    case Reason::too_early:
      return {"invalid_token", "the token is not valid yet"};
    case Reason::audience:
      return {"invalid_token", "the token is for another audience"};
    case Reason::issuer:
      return {"invalid_token", "the token is from another issuer"};
    case Reason::claims:
      return {"invalid_token", "the token lacks a claim that is needed, or one is malformed"};
    case Reason::disabled:
      return {"invalid_token", "the token was disabled"};
  }
  return {"invalid_token", "the token is not accepted"};
}

// "Bearer TOKEN": the token. Nothing for other schemes and anything more or less.
std::optional<std::string_view> bearer_token(std::string_view authorization) {
  constexpr std::string_view scheme = "bearer ";
  if (authorization.size() <= scheme.size()) return std::nullopt;
  for (std::size_t i = 0; i < scheme.size(); ++i) {
    const char c = authorization[i];
    if ((c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c) != scheme[i]) return std::nullopt;
  }
  authorization.remove_prefix(scheme.size());
  while (authorization.starts_with(' ')) authorization.remove_prefix(1);
  if (authorization.empty() || authorization.find_first_of(" \t,") != std::string_view::npos) return std::nullopt;
  return authorization;
}

// The structured fields of draft-ietf-httpapi-ratelimit-headers, of all policies that a request met.
class RateHeaders {
 public:
  RateHeaders() {
    policies_.clear();
    limits_.clear();
  }
  void add(const Policy& policy, const std::string& text, const RateLimiter::State& state) {
    if (!policies_.empty()) {
      policies_ += ", ";
      limits_ += ", ";
    }
    policies_ += text;
    limits_.append(text, 0, policy.name.size() + 2);  // the name in quotes
    append_number(";r=", state.remaining);
    append_number(";t=", state.admitted ? state.full_after : state.retry_after);
  }
  std::string lines() const {
    std::string lines;
    if (policies_.empty()) return lines;
    // Each request has these: one allocation, with room for the lines of the API.
    lines.reserve(policies_.size() + limits_.size() + 128);
    return lines.append("RateLimit-Policy: ").append(policies_).append("\r\nRateLimit: ").append(limits_) += "\r\n";
  }

 private:
  static void append_number(std::string_view name, std::int64_t number) {
    char digits[20];
    limits_.append(name).append(digits, std::to_chars(digits, std::end(digits), number).ptr);
  }
  // They keep their memory. A thread is at one request at a time.
  static thread_local std::string policies_, limits_;
};
thread_local std::string RateHeaders::policies_, RateHeaders::limits_;

}  // namespace

// What the files say, as one value that requests share. Parts that did not change are the same objects in the next.
struct Gate::Snapshot {
  std::shared_ptr<const TokenSet> tokens = std::make_shared<TokenSet>();
  std::shared_ptr<const std::vector<Jwk>> keys = std::make_shared<std::vector<Jwk>>();
  std::shared_ptr<VerifiedTokens> verified = std::make_shared<VerifiedTokens>();  // with these keys
  std::shared_ptr<RateLimiter> limiter;                                           // null: no limits
  Stamp tokens_stamp, keys_stamp, limits_stamp;

  // The files' stamps are taken before they are read: a change in between is seen the next time.
  void read_tokens_file(const std::string& path) {
    tokens_stamp = stamp_of(path);
    tokens = std::make_shared<TokenSet>(or_usage_error(path, read_tokens(read_access_file(path))));
    warn_if_readable_by_others(path, "the hashes of tokens");
  }
  void read_keys_file(const std::string& path) {
    keys_stamp = stamp_of(path);
    keys = std::make_shared<std::vector<Jwk>>(or_usage_error(path, read_jwks(read_access_file(path))));
    verified = std::make_shared<VerifiedTokens>();
    if (std::any_of(keys->begin(), keys->end(), [](const Jwk& key) { return key.algorithm == Algorithm::hs256; }))
      warn_if_readable_by_others(path, "secrets that sign tokens");
  }
  void read_limits_file(const std::string& path) {
    limits_stamp = stamp_of(path);
    limiter = std::make_shared<RateLimiter>(or_usage_error(path, read_limits(read_access_file(path))));
  }
};

// At most one line a reason and interval, so that nobody can flood the log.
struct Gate::Log {
  struct One {
    std::atomic<std::int64_t> next{0};
    std::atomic<std::uint64_t> silent{0};
  };
  std::array<One, reason_count + 1> reasons;  // the last one: rate limits

  template <typename Line>
  void say(std::size_t reason, Time now, Line line) {
    One& one = reasons[reason];
    const std::int64_t seconds = unix_seconds(now);
    std::int64_t next = one.next.load(std::memory_order_relaxed);
    // A clock that was set back by more than the interval must not silence it.
    const bool due = seconds >= next || seconds + log_interval < next;
    if (due && one.next.compare_exchange_strong(next, seconds + log_interval)) {
      line(one.silent.exchange(0));
    } else {
      one.silent.fetch_add(1, std::memory_order_relaxed);
    }
  }
};

void check_exposure(const http::Address& address, bool access_on, bool anywhere) {
  if (address.is_loopback || access_on || anywhere) return;
  const bool is_v6 = address.host.find(':') != std::string::npos;
  const std::string port = std::to_string(address.port);
  throw UsageError("--listen " + (is_v6 ? "[" + address.host + "]" : address.host) + ":" + port +
                   " is reachable from other machines, and everybody there could read every row: say who may"
                   " (--tokens FILE, --jwks FILE), give a loopback address such as 127.0.0.1:" +
                   port + ", or say that this is meant with --anywhere");
}

Gate::Gate(GateSettings settings)
    : settings_(std::move(settings)),
      everybody_(std::make_shared<Identity>(Identity{"", {"views:read", "rows:all"}, {}})),
      number_([] {
        static std::atomic<std::uint64_t> last{0};
        return ++last;
      }()),
      checked_at_(0),
      log_(std::make_unique<Log>()) {
  if (settings_.jwks_file.empty() && (!settings_.jwt.issuer.empty() || !settings_.jwt.audiences.empty()))
    throw UsageError(
        "issuer and audience are checked in JWTs only, and no JWT is taken without keys: give --jwks FILE");
  auto snapshot = std::make_shared<Snapshot>();
  std::string mistakes;
  const auto collect = [&mistakes](const std::string& path, auto read) {
    if (path.empty()) return;
    try {
      read(path);
    } catch (const UsageError& error) {
      mistakes += (mistakes.empty() ? "" : "\n") + std::string(error.what());
    }
  };
  collect(settings_.tokens_file, [&](const std::string& path) { snapshot->read_tokens_file(path); });
  collect(settings_.jwks_file, [&](const std::string& path) { snapshot->read_keys_file(path); });
  collect(settings_.limits_file, [&](const std::string& path) { snapshot->read_limits_file(path); });
  if (!mistakes.empty()) throw UsageError(mistakes);
  snapshot_ = std::move(snapshot);
}

Gate::~Gate() = default;

// Each thread has a reference of its own, so that requests don't meet at a lock or a counter.
struct Gate::Mine {
  std::uint64_t gate = 0;
  std::uint64_t version = 0;
  SnapshotPtr files;
  RecentCallers recent;
};

Gate::Mine& Gate::mine() {
  thread_local Mine mine;
  if (mine.gate != number_ || mine.version != version_.load(std::memory_order_acquire)) {
    const std::lock_guard lock(mutex_);
    mine.gate = number_;
    mine.version = version_.load(std::memory_order_relaxed);
    mine.files = snapshot_;
  }
  return mine;
}

void Gate::read_again_when_changed(Time now) {
  const std::int64_t seconds = unix_seconds(now);
  std::int64_t last = checked_at_.load(std::memory_order_relaxed);
  if (last == seconds || !checked_at_.compare_exchange_strong(last, seconds)) return;
  const std::unique_lock lock(mutex_, std::try_to_lock);
  if (!lock.owns_lock()) return;  // another thread is at it

  std::shared_ptr<Snapshot> next;
  const auto refresh = [&](const std::string& path, Stamp Snapshot::*stamp,
                           void (Snapshot::*read)(const std::string&)) {
    if (path.empty()) return;
    const SnapshotPtr& before = next != nullptr ? next : snapshot_;
    if (stamp_of(path) == (*before).*stamp) return;
    if (next == nullptr) next = std::make_shared<Snapshot>(*snapshot_);
    try {
      ((*next).*read)(path);
      spdlog::info("access: {} was read again", path);
    } catch (const UsageError& error) {
      spdlog::error("access: {} changed and is not right; what it said before still holds: {}", path, error.what());
    }
  };
  refresh(settings_.tokens_file, &Snapshot::tokens_stamp, &Snapshot::read_tokens_file);
  refresh(settings_.jwks_file, &Snapshot::keys_stamp, &Snapshot::read_keys_file);
  refresh(settings_.limits_file, &Snapshot::limits_stamp, &Snapshot::read_limits_file);
  if (next == nullptr) return;
  snapshot_ = std::move(next);
  version_.fetch_add(1, std::memory_order_release);
}

Admission Gate::refuse(const Refusal& refusal, std::string_view peer, std::string headers, Time now) {
  const Words words = words_of(refusal.reason);
  log_->say(static_cast<std::size_t>(refusal.reason), now, [&](std::uint64_t silent) {
    spdlog::info("access: refused {}: {} ({}); {} more like this since the last such line", peer, words.description,
                 refusal.detail, silent);
  });
  headers += "WWW-Authenticate: Bearer realm=\"daybook\"";
  if (!words.code.empty())
    headers.append(", error=\"").append(words.code).append("\", error_description=\"").append(words.description) += '"';
  headers += "\r\n";
  return {401, std::string(words.description), std::move(headers), nullptr};
}

std::variant<Known, Refusal> Gate::identify(std::string_view token, const Snapshot& files, Time now) const {
  if (token.starts_with(token_prefix)) return files.tokens->find(token, now);
  if (settings_.jwks_file.empty()) return Refusal{Reason::rejected, "no API token, and no JWT is taken without --jwks"};
  if (token.size() > max_jwt_bytes)
    return verify_jwt(token, *files.keys, settings_.jwt, now);  // says so, before anything is computed of it
  const Sha256 hash = sha256(token);
  if (auto found = files.verified->find(hash, now)) return std::move(*found);
  std::variant<Known, Refusal> outcome = verify_jwt(token, *files.keys, settings_.jwt, now);
  if (const Known* good = std::get_if<Known>(&outcome)) files.verified->keep(hash, *good, now);
  return outcome;
}

IdentityPtr Gate::who_is(std::string_view authorization, Time now) {
  if (!settings_.access_is_on()) return everybody_;
  read_again_when_changed(now);
  const std::optional<std::string_view> token = bearer_token(authorization);
  if (!token) return nullptr;
  const std::variant<Known, Refusal> outcome = identify(*token, *mine().files, now);
  const Known* known = std::get_if<Known>(&outcome);
  return known == nullptr ? nullptr : known->who;
}

Admission Gate::admit(std::string_view authorization, std::string_view peer, std::string_view path, Time now) {
  read_again_when_changed(now);
  Mine& own = mine();
  const Snapshot& files = *own.files;
  RateHeaders rates;

  // Nothing when all policies of that kind that hold for the path let it pass.
  const auto limit = [&](Policy::By by, const ClientKey& client) -> std::optional<Admission> {
    const std::vector<Policy>& policies = files.limiter->policies();
    for (std::size_t i = 0; i < policies.size(); ++i) {
      if (policies[i].by != by || !applies(policies[i], path)) continue;
      const RateLimiter::State state = files.limiter->take(i, client, now);
      rates.add(policies[i], files.limiter->policy_text(i), state);
      if (state.admitted) continue;
      log_->say(reason_count, now, [&](std::uint64_t silent) {
        spdlog::info("access: {} is over the limit {}; {} more like this since the last such line", peer,
                     policies[i].name, silent);
      });
      const std::string seconds = std::to_string(state.retry_after);
      return Admission{429,
                       "more requests than the limit \"" + policies[i].name + "\" allows; again in " + seconds + " s",
                       rates.lines() + "Retry-After: " + seconds + "\r\n", nullptr};
    }
    return std::nullopt;
  };

  // Addresses first: so guessing tokens is limited, too, and costs no signature check.
  const ClientKey address = files.limiter == nullptr ? ClientKey{} : client_of_address(peer);
  if (files.limiter != nullptr) {
    if (auto refused = limit(Policy::By::address, address)) return std::move(*refused);
  }
  Known known;
  if (!settings_.access_is_on()) {
    known.who = everybody_;
    known.client = address;
  } else {
    if (authorization.empty()) return refuse({Reason::missing, "no Authorization header"}, peer, rates.lines(), now);
    if (const Known* recent = own.recent.find(authorization, own.gate, own.version, now)) {
      known = *recent;
    } else {
      const std::optional<std::string_view> token = bearer_token(authorization);
      if (!token) return refuse({Reason::malformed, "Authorization is not \"Bearer TOKEN\""}, peer, rates.lines(), now);
      std::variant<Known, Refusal> outcome = identify(*token, files, now);
      if (const Refusal* refusal = std::get_if<Refusal>(&outcome)) return refuse(*refusal, peer, rates.lines(), now);
      known = std::get<Known>(std::move(outcome));
      own.recent.keep(known, own.gate, own.version);
    }
  }
  if (files.limiter != nullptr) {
    if (auto refused = limit(Policy::By::token, known.client)) return std::move(*refused);
  }
  return {0, "", rates.lines(), std::move(known.who)};
}

}  // namespace daybook::reader
