// What a view's loop tells about itself: a plain value, for health, metrics and logs. Pure: those who show it know no
// loop, and the loop knows nothing of those who show it.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "core/position.h"
#include "worker/histogram.h"

namespace daybook {

// What happened since the start; for log lines and tests. What was folded but then read again counts once, when it is
// committed.
struct Counters {
  std::uint64_t applied_events = 0;
  std::uint64_t duplicates = 0;
  std::uint64_t ids_reused = 0;  // duplicates whose content differs
  std::uint64_t passed_over = 0;
  std::uint64_t dead_letters = 0;
  std::uint64_t stale_records = 0;  // below the expected offset, or of a partition that isn't assigned
  std::uint64_t commits = 0;
  std::uint64_t fenced = 0;
  std::uint64_t restarts = 0;  // times that reading began again from the stored positions
  std::map<std::string, std::uint64_t> dead_letters_by_code;
};

// Of the commits that were applied.
struct CommitSizes {
  // From handing the batch over until the loop had the answer.
  Histogram seconds{{0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30}};
  Histogram events{{1, 10, 100, 500, 1'000, 5'000, 10'000, 50'000, 100'000, 200'000}};
  Histogram rows{{1, 10, 100, 500, 1'000, 2'000, 4'000, 8'000, 16'000, 32'768}};
};

struct PartitionStatus {
  TopicPartition name;
  std::int64_t next_offset = 0;         // stored: the next one to read
  std::optional<std::int64_t> log_end;  // the next one to be written, as of the last fetch
};

struct ViewStatus {
  enum class State {
    starting,  // the loop made no step yet
    waiting,   // for the database, the broker or the group
    standby,   // a member of the group without a partition: all are with other workers
    reading,
    paused,  // until a person resumes it
  };

  std::string view;
  State state = State::starting;
  std::string reason = "starts";  // why it does not read; empty when it does
  std::chrono::steady_clock::time_point stepped_at{};
  std::optional<std::chrono::steady_clock::time_point> committed_at;
  std::vector<PartitionStatus> partitions;
  Counters counters;
  CommitSizes commits;
  bool database_connected = false;
  std::uint64_t fingerprints = 0;
  std::uint64_t fingerprint_bytes = 0;
  std::uint64_t window_events = 0;  // configured
  // The oldest fingerprint that is kept has been there at least this long.
  std::optional<std::chrono::duration<double>> window_age;

  // Events are being applied as they come, by this worker or others.
  bool is_ready() const { return state == State::reading || state == State::standby; }
};

const char* to_string(ViewStatus::State state);

}  // namespace daybook
