#include "tests/simulation/session.h"

#include "core/error.h"
#include "worker/defect.h"

namespace daybook::simulation {
namespace {

const char* name_of(const CommitOutcome& outcome) {
  static constexpr const char* names[] = {"commit: applied", "commit: fenced",   "commit: duplicates",
                                          "commit: behind",  "commit: paused",   "commit: retired",
                                          "commit: refused", "commit: too slow", "commit: unknown"};
  static_assert(std::size(names) == std::variant_size_v<CommitOutcome>);
  return names[outcome.index()];
}

}  // namespace

void Session::require_session(const char* call) const {
  if (!session_) throw Violation{"calls need a session", std::string(call) + " after the connection was lost"};
}

void Session::lose(const char* call, const char* why) {
  session_.reset();
  chaos_.count("database call failed");
  chaos_.note("  worker {}: {} fails: {}", worker_, call, why);
  throw RetryError(std::string("database: ") + call + ": " + why);
}

void Session::begin(const char* call) {
  if (is_lent) throw Violation{"one thread at a time uses the store", std::string(call) + " during a commit"};
  require_session(call);
  chaos_.maybe_crash(call);
  if (chaos_.database_is_away || *session_ != database_.incarnation()) lose(call, "connection refused");
  if (chaos_.chance(chaos_.profile.call_fails)) lose(call, "connection reset");
}

void Session::end(const char* call) {
  if (chaos_.chance(chaos_.profile.call_fails / 2)) lose(call, "connection lost before the answer");
  chaos_.maybe_crash(call);
}

// A connection that died is not noticed before it is used.
bool Session::connect() {
  if (is_lent) throw Violation{"one thread at a time uses the store", "connect during a commit"};
  chaos_.maybe_crash("connect");
  if (session_) return false;
  if (chaos_.database_is_away || chaos_.chance(chaos_.profile.call_fails)) lose("connect", "connection refused");
  session_ = database_.incarnation();
  return true;
}

Head Session::load(const std::function<void(std::uint64_t)>& expect,
                   const std::function<void(std::span<const Fingerprint>)>& each_chunk) {
  begin("load");
  int chunks = 0;
  const Head head = database_.load(expect, [&](std::span<const Fingerprint> chunk) {
    each_chunk(chunk);
    if (++chunks % 4 == 0 && chaos_.chance(chaos_.profile.call_fails / 2)) lose("load", "connection lost half-way");
  });
  end("load");
  return head;
}

Tail Session::tail(std::int64_t seq) {
  begin("tail");
  // A row of the table holds several commits: some older ones come, too.
  Tail tail = database_.tail(chaos_.flip() ? seq : std::max<std::int64_t>(0, seq - 3));
  if (DAYBOOK_DEFECT("the tail's head is newer than its fingerprints")) {
    tail.fingerprints.resize(tail.fingerprints.size() / 2);
  }
  end("tail");
  return tail;
}

Head Session::head() {
  begin("head");
  const Head head = database_.head();
  end("head");
  return head;
}

TakeOutcome Session::take(const std::string& cluster_id, const std::vector<TopicPartition>& partitions,
                          const Positions& first) {
  begin("take");
  TakeOutcome taken = database_.take_as(worker_, cluster_id, partitions, first);
  end("take");
  outcome_unknown_ = false;
  return taken;
}

void Session::pause(const std::string& why) {
  begin("pause");
  database_.pause(why);
  chaos_.note("  worker {} pauses the view: {}", worker_, why);
  end("pause");
}

std::optional<std::chrono::seconds> Session::expire() {
  begin("expire");
  const std::optional<std::chrono::seconds> age = database_.expire();
  end("expire");
  return age;
}

CommitOutcome Session::commit(const Batch& batch, const OwnedPositions& owned, std::int64_t known_seq) {
  require_session("commit");
  if (outcome_unknown_)
    throw Violation{"an unknown outcome is resolved by the stored positions", "a commit without reading them"};
  CommitOutcome outcome = commit_or_fail(batch, owned, known_seq);
  chaos_.count(name_of(outcome));
  outcome_unknown_ = std::holds_alternative<Unknown>(outcome);
  if (outcome_unknown_) session_.reset();
  if (chaos_.keeps_history()) {
    std::string ranges;
    for (const auto& [partition, range] : batch.ranges())
      ranges += fmt::format(" {}@{}..{}", partition.partition, range.from, range.to);
    chaos_.note("  worker {} batch{}, {} events, {} dead letters, known {}: {}{}", worker_, ranges, batch.events(),
                batch.dead_letters().size(), known_seq, name_of(outcome),
                outcome_unknown_ ? " (" + std::get<Unknown>(outcome).why + ")" : "");
  }
  return outcome;
}

CommitOutcome Session::commit_or_fail(const Batch& batch, const OwnedPositions& owned, std::int64_t known_seq) {
  if (chaos_.database_is_away || *session_ != database_.incarnation()) return Unknown{"connection lost before"};
  const Profile& p = chaos_.profile;
  if (chaos_.chance(p.deadlock)) return Unknown{"deadlock detected"};
  if (chaos_.chance(p.too_slow)) return TooSlow{};
  if (chaos_.chance(p.lost_answer)) return Unknown{"connection lost before"};
  if (known_seq < database_.seq() && chaos_.chance(p.behind)) return Behind{};
  CommitOutcome outcome = database_.commit_as(worker_, batch, owned, known_seq);
  if (chaos_.chance(p.lost_answer)) return Unknown{"connection lost behind"};
  return outcome;
}

}  // namespace daybook::simulation
