// Publishes whole records (key, value, headers) to given partitions and tells the fate of each: where it is in the log,
// or why it is not. For operators' commands; applications use daybook::Producer.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "core/owned_record.h"
#include "core/position.h"
#include "kafka/client.h"

namespace daybook::kafka {

constexpr std::int32_t any_partition = -1;  // the partitioner chooses by the key

struct Outgoing {
  TopicPartition to;
  OwnedRecord record;
};

struct Delivery {
  std::int32_t partition = -1;
  std::int64_t offset = -1;
  rd_kafka_resp_err_t error = RD_KAFKA_RESP_ERR__NO_OFFSET;  // until its fate is known
  bool delivered() const { return error == RD_KAFKA_RESP_ERR_NO_ERROR; }
  // Too large for the broker, the topic or this client: trying again is no use.
  bool too_large() const { return error == RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE; }
};

// Idempotent: what librdkafka retries is stored once, in order. Not shared between threads.
class RecordPublisher {
 public:
  // Throws UsageError naming every property that is wrong or refused. Does not connect yet.
  RecordPublisher(const std::string& brokers, const Properties& users, const std::string& client_id);

  // Publishes all of them in their order (those that were too large only together later, each alone) and waits for the
  // fate of each: at most message.timeout.ms (10 s by default), or until `give_up` says so. One entry for each record.
  std::vector<Delivery> publish(std::span<const Outgoing> records, const std::function<bool()>& give_up = nullptr);

  rd_kafka_t* client() { return client_.get(); }

 private:
  std::vector<Delivery> send(std::span<const Outgoing> records, const std::function<bool()>& give_up);

  Client client_;
};

}  // namespace daybook::kafka
