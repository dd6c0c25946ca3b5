// A bounded pool of database sessions for loads. Any thread; waits for the database.
//
// A session is only used for single transactions, and nothing in it outlives one: PgBouncer in transaction mode may be
// between.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <set>
#include <stdexcept>
#include <string>

#include "postgres/connection.h"

namespace daybook::reader {

struct PoolSettings {
  std::size_t size = 20;      // sessions that stay open
  std::size_t overflow = 10;  // further ones under load, closed after use
  std::chrono::milliseconds wait_max{30'000};
  std::chrono::milliseconds age_max{3'600'000};  // then a session is replaced
  std::chrono::milliseconds statement_max{5'000};
};

// No session came free in time.
class PoolTimeout : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

class Pool {
 public:
  Pool(std::string uri, PoolSettings settings);

  // Runs `work` in a read-only transaction. A session that turns out to be broken is replaced and the work done again,
  // once: it only reads. Throws PoolTimeout, RetryError or StopError.
  void read(const std::function<void(pqxx::transaction_base&)>& work);
  void read(std::chrono::milliseconds statement_max, const std::function<void(pqxx::transaction_base&)>& work);
  // Ends what is being read; those who wait get a PoolTimeout, and so do all that come.
  void close();

  struct Figures {
    std::size_t open = 0;
    std::size_t in_use = 0;
    std::uint64_t opened = 0;
    std::uint64_t waits = 0;
    std::uint64_t timeouts = 0;
  };
  Figures figures() const;
  const PoolSettings& settings() const { return settings_; }

 private:
  using Clock = std::chrono::steady_clock;
  struct Session {
    explicit Session(postgres::Connection c) : connection(std::move(c)) {}

    postgres::Connection connection;
    Clock::time_point opened = Clock::now();
    Clock::time_point used = opened;
  };
  using SessionPtr = std::unique_ptr<Session>;
  SessionPtr take();
  void give_back(SessionPtr session);
  void lose(SessionPtr session);
  void attempt(std::chrono::milliseconds statement_max, const std::function<void(pqxx::transaction_base&)>& work);
  bool still_works(Session& session) const;

  const std::string uri_;
  const PoolSettings settings_;
  mutable std::mutex mutex_;
  std::condition_variable came_free_;
  std::list<SessionPtr> idle_;  // the one used last in front
  std::size_t open_ = 0;        // idle, in use, or being opened
  std::size_t waiting_ = 0;
  std::uint64_t opened_ = 0, waits_ = 0, timeouts_ = 0;
  bool closed_ = false;
};

}  // namespace daybook::reader
