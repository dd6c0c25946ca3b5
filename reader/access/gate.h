// Who may pass and how often, decided before anything else looks at a request.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <variant>

#include "http/server.h"
#include "reader/access/jwt.h"
#include "reader/access/known.h"
#include "reader/identity.h"

namespace daybook::reader {

struct GateSettings {
  std::string tokens_file;  // API tokens; empty: none are taken
  std::string jwks_file;    // keys of JWT issuers; empty: no JWT is taken
  JwtSettings jwt;
  std::string limits_file;  // empty: no limits

  bool access_is_on() const { return !tokens_file.empty() || !jwks_file.empty(); }
};

// Throws UsageError when `address` can be reached from other machines while everybody could read everything there,
// unless a person said that this is meant.
void check_exposure(const http::Address& address, bool access_on, bool anywhere);

class Gate {
 public:
  // Reads the files. Throws UsageError that names every mistake in them, or settings that mean nothing.
  explicit Gate(GateSettings settings);
  ~Gate();
  Gate(const Gate&) = delete;
  Gate& operator=(const Gate&) = delete;

  // `authorization`: that header's value, empty when there is none. `path` as sent. Any thread; looks at the files once
  // a second: a file that changed and is right replaces the one before, one that is wrong is named in the log.
  Admission admit(std::string_view authorization, std::string_view peer, std::string_view path, Time now);
  // Who the holder of that token is by now, outside of all limits; null: it would be refused. Any thread.
  IdentityPtr who_is(std::string_view authorization, Time now);

 private:
  struct Snapshot;
  struct Log;
  using SnapshotPtr = std::shared_ptr<const Snapshot>;

  struct Mine;

  Mine& mine();
  void read_again_when_changed(Time now);
  std::variant<Known, Refusal> identify(std::string_view token, const Snapshot& files, Time now) const;
  Admission refuse(const Refusal& refusal, std::string_view peer, std::string headers, Time now);

  const GateSettings settings_;
  const IdentityPtr everybody_;  // while access is off
  const std::uint64_t number_;   // of this gate among all: addresses may be used again

  std::mutex mutex_;  // of snapshot_ and of reading the files
  SnapshotPtr snapshot_;
  std::atomic<std::uint64_t> version_{1};  // of snapshot_
  std::atomic<std::int64_t> checked_at_;   // seconds since 1970

  std::unique_ptr<Log> log_;
};

}  // namespace daybook::reader
