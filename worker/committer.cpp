#include "worker/committer.h"

namespace daybook {

ThreadedCommitter::ThreadedCommitter(Store& store, std::function<void()> done)
    : store_(store), done_(std::move(done)), thread_([this] { run(); }) {}

ThreadedCommitter::~ThreadedCommitter() {
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void ThreadedCommitter::start(const Batch& batch, OwnedPositions owned, std::int64_t known_seq) {
  busy_ = true;
  {
    const std::lock_guard lock(mutex_);
    job_ = Job{&batch, std::move(owned), known_seq};
  }
  changed_.notify_all();
}

std::optional<CommitOutcome> ThreadedCommitter::outcome(std::chrono::milliseconds timeout) {
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, timeout, [this] { return outcome_.has_value(); });
  std::optional<CommitOutcome> taken;
  taken.swap(outcome_);
  if (taken) busy_ = false;
  return taken;
}

void ThreadedCommitter::run() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return job_ || ending_; });
    if (!job_) return;
    const Job job = std::move(*job_);
    job_.reset();
    lock.unlock();
    CommitOutcome outcome = store_.commit(*job.batch, job.owned, job.known_seq);
    lock.lock();
    outcome_ = std::move(outcome);
    changed_.notify_all();
    lock.unlock();
    done_();
    lock.lock();
  }
}

}  // namespace daybook
