// Where loads go: the primary, or a replica when there are some; and the threads that wait for them.
#pragma once

#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "reader/crew.h"
#include "reader/pool.h"

namespace daybook::reader {

class Databases {
 public:
  Databases(const std::string& primary, const std::vector<std::string>& replicas, const PoolSettings& settings)
      // More threads than sessions: who finds none waits in the pool, which bounds and counts that.
      : primary_(primary, settings), crew_(2 * (settings.size + settings.overflow) + 1) {
    for (const std::string& uri : replicas) replicas_.push_back(std::make_unique<Replica>(uri, settings));
  }
  ~Databases() { stop(); }

  // A read that a replica may answer; the primary when none is well. Returns whether it was the primary. Throws as
  // Pool::read does.
  bool read_anywhere(const std::function<void(pqxx::transaction_base&)>& work) {
    for (std::size_t i = 0; i < replicas_.size(); ++i) {
      Replica& replica = *replicas_[next_++ % replicas_.size()];
      if (std::chrono::steady_clock::now() < replica.avoided_until.load()) continue;
      try {
        replica.pool.read(work);
        return false;
      } catch (const std::exception&) {
        // Which is why the primary is asked; the replica is left alone for a while.
        replica.avoided_until = std::chrono::steady_clock::now() + std::chrono::seconds(1);
      }
    }
    primary_.read(work);
    return true;
  }
  Pool& primary() { return primary_; }
  const Pool& primary() const { return primary_; }
  Crew& crew() { return crew_; }
  void stop() {
    primary_.close();
    for (const auto& replica : replicas_) replica->pool.close();
    crew_.stop();
  }

 private:
  struct Replica {
    Replica(const std::string& uri, const PoolSettings& settings) : pool(uri, settings) {}
    Pool pool;
    std::atomic<std::chrono::steady_clock::time_point> avoided_until{};
  };

  Pool primary_;
  std::vector<std::unique_ptr<Replica>> replicas_;
  std::atomic<std::size_t> next_{0};
  Crew crew_;
};

}  // namespace daybook::reader
