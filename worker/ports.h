// The narrow edges of the worker's loop: the log it reads, the store it commits to, the clock. The real ones are
// in intake/ and commit/; simulation puts fakes behind them.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "core/position.h"
#include "core/record.h"
#include "worker/decode/fingerprint.h"
#include "worker/fold/batch.h"

namespace daybook {

// ---- the log ----

struct Polled {
  std::span<const Record> records;  // valid until the next poll()
  // The group took all partitions away and perhaps gave some. `assigned` are not read until start() is called.
  bool revoked = false;
  std::optional<std::vector<TopicPartition>> assigned;
  // Partitions read to their end, with the next offset there: it lies beyond records that are never delivered
  // (transaction markers, compacted ones).
  std::span<const std::pair<TopicPartition, std::int64_t>> ends;
};

// What the log has of a partition: from the first offset that is still there to the next one that will be written (by
// a committed transaction or none).
struct LogRange {
  std::int64_t begin = 0;
  std::int64_t end = 0;
};

class Source {
 public:
  virtual ~Source() = default;
  // Waits for something, at most `timeout`; 0 takes what is there. Throws RetryError when a partition can't be read
  // on (offset out of range): look at its range() again. StopError when nothing can be (not authorized, another
  // instance with the same static id).
  virtual Polled poll(std::chrono::milliseconds timeout) = 0;
  // Reads these partitions from these offsets, whatever was read before.
  virtual void start(const Positions& positions) = 0;
  // Reads nothing until start(); what was fetched is dropped. Answers a revocation, too.
  virtual void stop() = 0;
  // Ask the broker. Throw RetryError.
  virtual std::string cluster_id() = 0;
  virtual LogRange range(const TopicPartition& partition) = 0;
  // The next offset to be written, as of the last fetch; asks nobody. -1: not known.
  virtual std::int64_t known_end(const TopicPartition& partition) = 0;
  // Tells the group how far the view is. Progress for tools to look at, no more.
  virtual void mirror(const Positions& positions) = 0;
  // Ends a poll() that waits. The only call that other threads may make.
  virtual void wake() = 0;
};

// ---- the store ----

// A position as this worker holds it: a commit names the epoch and the offset that it expects.
struct OwnedPosition {
  std::int64_t next = 0;
  std::int64_t epoch = 0;
  std::optional<Anchor> anchor = std::nullopt;  // of take(); a commit names its own in the batch
};
using OwnedPositions = std::map<TopicPartition, OwnedPosition>;

// The view was paused, for all its workers: by one of them that met something only a person can decide about, or by
// a person.
struct Paused {
  std::string why;
};

// The view's last commit: its number and its random mark.
struct Head {
  std::int64_t seq = 0;
  std::string nonce;
  bool operator==(const Head&) const = default;
};

struct Applied {
  Head head;
  // Fingerprints that other workers committed between the caller's last look and this commit.
  std::vector<Fingerprint> others;
};
struct Fenced {};  // another worker took a partition
struct CommittedElsewhere {
  std::vector<Fingerprint> identities;
};                 // content is 0
struct Behind {};  // look at the others' fingerprints first
struct Retired {
  std::string why;
};  // the generation is not live any more
struct Refused {
  std::string sqlstate, detail;
};                  // data that the database can't take (classes 22, 23)
struct TooSlow {};  // cancelled by the statement timeout: nothing happened
struct Unknown {
  std::string why;
};  // connection lost or the like: it may have happened
using CommitOutcome =
    std::variant<Applied, Fenced, CommittedElsewhere, Behind, Paused, Retired, Refused, TooSlow, Unknown>;
using TakeOutcome = std::variant<OwnedPositions, Paused>;

struct Tail {
  Head head;
  std::vector<Fingerprint> fingerprints;
};

// Used by one thread at a time. All but commit() throw RetryError when the database is away.
class Store {
 public:
  virtual ~Store() = default;
  // Makes sure that there is a session; true when it is a new one.
  virtual bool connect() = 0;
  // The fingerprints of the window, oldest first, in chunks. `expect` is told how many there will be (or a few more)
  // before the first.
  virtual Head load(const std::function<void(std::uint64_t)>& expect,
                    const std::function<void(std::span<const Fingerprint>)>& each_chunk) = 0;
  // The fingerprints of commits after `seq`; some older ones may come with them.
  virtual Tail tail(std::int64_t seq) = 0;
  virtual Head head() = 0;
  // Takes partitions: from now on commits under older epochs change nothing. `first` are the first offsets of
  // partitions that the view may not know yet; it begins there. Throws StopError when the view reads another cluster.
  virtual TakeOutcome take(const std::string& cluster_id, const std::vector<TopicPartition>& partitions,
                           const Positions& first) = 0;
  // Pauses the view for all its workers until a person resumes it.
  virtual void pause(const std::string& why) = 0;
  // All of the batch or nothing. Never throws for what the database says.
  virtual CommitOutcome commit(const Batch& batch, const OwnedPositions& owned, std::int64_t known_seq) = 0;
  // Drops fingerprints beyond the window. Returns the age of the oldest one within it; nothing when there is none.
  virtual std::optional<std::chrono::seconds> expire() = 0;
};

// ---- the clock ----

class Clock {
 public:
  virtual ~Clock() = default;
  virtual std::chrono::steady_clock::time_point now() = 0;
};

}  // namespace daybook
