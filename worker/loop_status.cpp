// What the loop tells about itself.
#include <spdlog/spdlog.h>

#include "worker/loop.h"

namespace daybook {

const char* to_string(ViewStatus::State state) {
  switch (state) {
    case ViewStatus::State::starting:
      return "starting";
    case ViewStatus::State::waiting:
      return "waiting";
    case ViewStatus::State::standby:
      return "standby";
    case ViewStatus::State::reading:
      return "reading";
    case ViewStatus::State::paused:
      return "paused";
  }
  return "";
}

// Once for each such commit: a database that is slow or silent says nothing itself.
void Loop::report_slow_commit() {
  if (slow_commit_reported_ || !committer_->busy() || clock_.now() - commit_started_at_ <= limits_.stall_max) return;
  slow_commit_reported_ = true;
  spdlog::warn("{}: the database has not answered a commit of {} events for more than {} ms; polling goes on",
               view_.name, flying_->events(), limits_.stall_max.count());
}

std::pair<ViewStatus::State, std::string> Loop::state() const {
  using State = ViewStatus::State;
  if (paused_) return {State::paused, *paused_};
  if (committer_->busy() && clock_.now() - commit_started_at_ > limits_.stall_max) {
    return {State::waiting, "a commit has taken more than " + std::to_string(limits_.stall_max.count()) +
                                " ms: the database is slow or does not answer"};
  }
  if (!synchronized_) return {State::waiting, last_trouble_.empty() ? "takes its partitions" : last_trouble_};
  if (const std::string outage = source_.outage(); !outage.empty()) return {State::waiting, outage};
  if (!joined_) return {State::waiting, "the consumer group has not assigned partitions yet"};
  return {partitions_.empty() ? State::standby : State::reading, ""};
}

ViewStatus Loop::status() {
  ViewStatus status;
  status.view = view_.name;
  std::tie(status.state, status.reason) = state();
  status.stepped_at = clock_.now();
  status.committed_at = committed_at_;
  for (const OwnedPartition& partition : partitions_) {
    PartitionStatus one{partition.name, partition.stored, std::nullopt};
    if (const std::int64_t end = source_.known_end(partition.name); end >= 0) one.log_end = end;
    status.partitions.push_back(std::move(one));
  }
  status.counters = counters_;
  status.commits = commit_sizes_;
  if (!committer_->busy()) database_connected_ = store_.is_connected();  // else the store is the committer's
  status.database_connected = database_connected_;
  status.fingerprints = seen_.size();
  status.fingerprint_bytes = seen_.memory_bytes();
  status.window_events = view_.deduplication_window_events;
  status.window_age = deduplication_age();
  return status;
}

}  // namespace daybook
