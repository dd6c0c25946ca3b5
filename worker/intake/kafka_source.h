// The log behind the worker: one consumer of one group, on librdkafka.
//
// The rebalance protocol is eager (`range`): librdkafka 2.0.2's cooperative one can lose an assignment or loop. A
// revocation and an assignment are answered by the loop's next stop() and start(), after it asked the store where
// to read; until then the group waits for this member.
#pragma once

#include <vector>

#include "kafka/client.h"
#include "worker/ports.h"

namespace daybook {

class KafkaSource : public Source, private HeaderReader {
 public:
  struct Settings {
    std::string brokers;
    std::string group;
    std::vector<std::string> topics;  // Record::topic indexes them
    kafka::Properties properties;     // the user's
  };
  // Throws UsageError for wrong properties, all at once; asks no broker.
  static void check(const Settings& settings);
  // Joins the group. Throws as check() does.
  explicit KafkaSource(const Settings& settings);
  // Leaves the group: the other members take over at once.
  ~KafkaSource() override;
  KafkaSource(const KafkaSource&) = delete;
  KafkaSource& operator=(const KafkaSource&) = delete;

  // What the destructor does; nothing else may be called afterwards.
  void close();

  // Why the last connection to a broker failed; empty: none did.
  const std::string& trouble() const { return trouble_.reason(); }

  Polled poll(std::chrono::milliseconds timeout) override;
  void start(const Positions& positions) override;
  void stop() override;
  std::string cluster_id() override;
  LogRange range(const TopicPartition& partition) override;
  std::int64_t known_end(const TopicPartition& partition) override;
  void mirror(const Positions& positions) override;
  void wake() override;

 private:
  static void on_rebalance(rd_kafka_t*, rd_kafka_resp_err_t, rd_kafka_topic_partition_list_t*, void* opaque);
  static void on_error(rd_kafka_t*, int code, const char* reason, void* opaque);
  void read(const void* native, std::vector<Header>& out) const override;
  void release_messages();
  void take_message(rd_kafka_message_t* message);
  void keep_fetching();
  bool is_reading(const std::string& topic) const;
  void fail_or_log(const rd_kafka_message_t& message) const;

  std::vector<std::string> topics_;
  kafka::Trouble trouble_;
  bool was_assigned_ = false;  // the group let us in once
  kafka::Client client_;
  kafka::Queue queue_;
  std::vector<rd_kafka_message_t*> messages_;  // owned between polls: records point into them
  std::size_t message_count_ = 0;
  std::vector<Record> records_;
  std::vector<std::pair<TopicPartition, std::int64_t>> ends_;
  const rd_kafka_topic_t* last_topic_ = nullptr;  // messages come in runs of one topic
  std::uint32_t last_topic_index_ = 0;
  Positions reading_;            // what start() was last given: the partitions being read
  std::size_t queued_peak_ = 0;  // since keep_fetching() last asked
  bool revoked_ = false;
  std::optional<std::vector<TopicPartition>> assigned_;
  bool closing_ = false;
};

}  // namespace daybook
