// The store behind the worker: PostgreSQL, one session, one call a commit.
#pragma once

#include <chrono>
#include <string>

#include "postgres/connection.h"
#include "sql/apply.h"
#include "worker/ports.h"

namespace daybook {

class PgStore : public Store {
 public:
  // `owner` is stored with the positions that this worker takes, for people to read.
  PgStore(std::string uri, const ViewDefinition& view, sql::Generation generation, std::string owner);

  bool connect() override;
  bool is_connected() override { return connection_ && connection_->is_open(); }
  Head load(const std::function<void(std::uint64_t)>& expect,
            const std::function<void(std::span<const Fingerprint>)>& each_chunk) override;
  Tail tail(std::int64_t seq) override;
  Head head() override;
  TakeOutcome take(const std::string& cluster_id, const std::vector<TopicPartition>& partitions,
                   const Positions& first) override;
  void pause(const std::string& why) override;
  CommitOutcome commit(const Batch& batch, const OwnedPositions& owned, std::int64_t known_seq) override;
  std::optional<std::chrono::seconds> expire() override;

 private:
  CommitOutcome call_commit(const Batch& batch, const OwnedPositions& owned, std::int64_t known_seq);
  void announce(pqxx::transaction_base& transaction);
  Tail read_tail(pqxx::transaction_base& transaction, std::int64_t seq);

  const std::string uri_;
  const ViewDefinition view_;
  const sql::Generation generation_;
  const std::string owner_;
  postgres::Connection connection_;
  std::chrono::steady_clock::time_point expire_change_at_{};
  bool announcing_fails_ = false;  // told once, not with each commit
};

}  // namespace daybook
