// The committing thread: while one batch commits, the loop folds the next.
#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <optional>
#include <thread>

#include "worker/ports.h"

namespace daybook {

// One commit at a time. All calls come from the loop's thread. The store is the committer's from start() until the
// outcome was taken, and the loop's in between. Simulation has one that commits when its schedule says so.
class Committer {
 public:
  virtual ~Committer() = default;
  // `batch` must stay as it is until the outcome is taken.
  virtual void start(const Batch& batch, OwnedPositions owned, std::int64_t known_seq) = 0;
  virtual bool busy() const = 0;
  // The outcome, once there is one, waiting at most `timeout` for it.
  virtual std::optional<CommitOutcome> outcome(std::chrono::milliseconds timeout) = 0;
};

// Commits on a thread of its own, which calls `done` after each commit.
class ThreadedCommitter : public Committer {
 public:
  ThreadedCommitter(Store& store, std::function<void()> done);
  ~ThreadedCommitter() override;  // waits for a commit that is under way
  ThreadedCommitter(const ThreadedCommitter&) = delete;
  ThreadedCommitter& operator=(const ThreadedCommitter&) = delete;

  void start(const Batch& batch, OwnedPositions owned, std::int64_t known_seq) override;
  bool busy() const override { return busy_; }
  std::optional<CommitOutcome> outcome(std::chrono::milliseconds timeout) override;

 private:
  void run();

  struct Job {
    const Batch* batch;
    OwnedPositions owned;
    std::int64_t known_seq;
  };
  Store& store_;
  std::function<void()> done_;
  bool busy_ = false;  // the loop's own knowledge
  std::mutex mutex_;   // guards what follows
  std::condition_variable changed_;
  std::optional<Job> job_;
  std::optional<CommitOutcome> outcome_;
  bool ending_ = false;
  std::thread thread_;
};

}  // namespace daybook
