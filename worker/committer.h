// The committing thread: while one batch commits, the loop folds the next.
#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <optional>
#include <thread>

#include "worker/ports.h"

namespace daybook {

// One commit at a time. All calls come from the loop's thread; `done` is called on the committing thread.
// The store is this thread's from start() until the outcome was taken, and the loop's in between.
class Committer {
 public:
  Committer(Store& store, std::function<void()> done);
  ~Committer();  // waits for a commit that is under way
  Committer(const Committer&) = delete;
  Committer& operator=(const Committer&) = delete;

  // `batch` must stay as it is until the outcome is taken.
  void start(const Batch& batch, OwnedPositions owned, std::int64_t known_seq);
  bool busy() const { return busy_; }

  // The outcome, once there is one, waiting at most `timeout` for it.
  std::optional<CommitOutcome> outcome(std::chrono::milliseconds timeout);

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
