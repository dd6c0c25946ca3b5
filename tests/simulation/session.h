// One worker's session with the simulated database: behaves as commit/pg_store does when calls fail, and watches how
// the loop uses its store.
#pragma once

#include <optional>

#include "tests/simulation/database.h"

namespace daybook::simulation {

class Session : public Store {
 public:
  // `worker` numbers the process.
  Session(int worker, Database& database, Chaos& chaos) : worker_(worker), database_(database), chaos_(chaos) {}

  bool connect() override;
  Head load(const std::function<void(std::uint64_t)>& expect,
            const std::function<void(std::span<const Fingerprint>)>& each_chunk) override;
  Tail tail(std::int64_t seq) override;
  Head head() override;
  TakeOutcome take(const std::string& cluster_id, const std::vector<TopicPartition>& partitions,
                   const Positions& first) override;
  void pause(const std::string& why) override;
  CommitOutcome commit(const Batch& batch, const OwnedPositions& owned, std::int64_t known_seq) override;
  std::optional<std::chrono::seconds> expire() override;

  bool is_lent = false;  // to the committer

 private:
  void require_session(const char* call) const;
  // A call begins, or ends: it may fail, and the process may end.
  void begin(const char* call);
  void end(const char* call);
  [[noreturn]] void lose(const char* call, const char* why);
  CommitOutcome commit_or_fail(const Batch& batch, const OwnedPositions& owned, std::int64_t known_seq);

  int worker_;
  Database& database_;
  Chaos& chaos_;
  std::optional<int> session_;    // the database's incarnation
  bool outcome_unknown_ = false;  // of the last commit, and the positions were not read since
};

}  // namespace daybook::simulation
