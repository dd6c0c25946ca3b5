// One worker's consumer of the simulated log: delivers runs of records, ends, revocations and assignments as
// intake/kafka_source does, and what goes wrong there. It watches that the loop reads only what it was assigned and
// mirrors only what was committed.
#pragma once

#include <deque>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "tests/simulation/chaos.h"
#include "tests/simulation/database.h"
#include "tests/simulation/events.h"
#include "tests/simulation/log.h"

namespace daybook::simulation {

class SimulatedSource : public Source {
 public:
  SimulatedSource(int worker, const Events& events, const SimulatedLog& log, const Database& database, Chaos& chaos)
      : worker_(worker), events_(events), log_(log), database_(database), chaos_(chaos) {}

  Polled poll(std::chrono::milliseconds timeout) override;
  void start(const Positions& positions) override;
  void stop() override;
  std::string cluster_id() override;
  LogRange range(const TopicPartition& partition) override;
  std::int64_t known_end(const TopicPartition& partition) override;
  void mirror(const Positions& positions) override;
  void wake() override {}

  // The group gives this member other partitions; it learns of it `polls` polls later.
  void assign(std::vector<TopicPartition> partitions, int polls);
  // No fetcher of it brings anything until reading is started again.
  void get_stuck() {
    for (const auto& [partition, next] : next_) stuck_.push_back(partition);
  }
  void get_free() { stuck_.clear(); }
  bool is_reading() const { return !next_.empty(); }
  bool has_partitions() const { return !assigned_.empty() || pending_; }
  std::string cluster = "cluster";  // of the brokers that it was given

 private:
  bool deliver_assignment(Polled& polled);
  void deliver_run(const TopicPartition& partition, std::int64_t& next);
  void deliver_stale();
  void add_record(const TopicPartition& partition, std::int64_t offset, int event);
  void finish_records();

  struct Pending {
    std::vector<TopicPartition> partitions;
    int polls = 0;
    bool revoked = false;  // told already
  };
  // A record's bytes by place: the arena moves while it grows.
  struct Bytes {
    std::size_t key_at = 0, key_size = 0, value_at = 0, value_size = 0;
    bool has_key = false, has_value = false;
  };

  int worker_;
  const Events& events_;
  const SimulatedLog& log_;
  const Database& database_;
  Chaos& chaos_;
  std::optional<Pending> pending_;
  std::vector<TopicPartition> assigned_;
  Positions next_;
  std::map<TopicPartition, std::int64_t> end_told_;
  std::vector<TopicPartition> stuck_;
  int incarnation_ = 0;  // of the log, when reading started
  std::string arena_;
  std::vector<Bytes> bytes_;
  std::vector<Record> records_;
  std::vector<std::pair<TopicPartition, std::int64_t>> ends_;
};

}  // namespace daybook::simulation
