// librdkafka's C handles, each wrapped once, and its configuration, checked once.
//
// The C API is used rather than rdkafkacpp because the latter allocates an object for every message.
#pragma once

#include <librdkafka/rdkafka.h>

#include <chrono>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/position.h"

namespace daybook::kafka {

template <typename T, void (*destroy)(T*)>
struct Destroy {
  void operator()(T* handle) const { destroy(handle); }
};

using Message = std::unique_ptr<rd_kafka_message_t, Destroy<rd_kafka_message_t, rd_kafka_message_destroy>>;
using PartitionList = std::unique_ptr<rd_kafka_topic_partition_list_t,
                                      Destroy<rd_kafka_topic_partition_list_t, rd_kafka_topic_partition_list_destroy>>;
using Queue = std::unique_ptr<rd_kafka_queue_t, Destroy<rd_kafka_queue_t, rd_kafka_queue_destroy>>;
using Topic = std::unique_ptr<rd_kafka_topic_t, Destroy<rd_kafka_topic_t, rd_kafka_topic_destroy>>;

// A client instance. Destroying a consumer leaves its group first if `rd_kafka_consumer_close` was not called;
// that can block for seconds, so commands close it themselves. Every other handle made from it (queues,
// topics, messages) must be gone before.
using Client = std::unique_ptr<rd_kafka_t, Destroy<rd_kafka_t, rd_kafka_destroy>>;

// librdkafka properties by name, passed through verbatim.
using Properties = std::map<std::string, std::string>;

// "NAME=VALUE" words as --kafka gives them. Throws UsageError naming the place of every word that isn't, but not
// the word: it can be a piece of a password.
Properties parse_properties(const std::vector<std::string>& words);

// What librdkafka reports about its connections, noted by a client's error callback.
class Trouble {
 public:
  void note(int code, const char* reason);
  // Why the last connection failed; empty: none did.
  const std::string& reason() const { return reason_; }
  // The broker refused our credentials, or showed a certificate that our CA did not sign or that names another host:
  // waiting does not help.
  bool is_final() const { return final_; }
  // For people, who have to act on it.
  std::string advice() const;

 private:
  std::string reason_;
  bool final_ = false;
};

enum class Role { producer, consumer };

// Makes a client. `ours` are the properties that the caller's guarantees depend on, `users` what the user
// set with --kafka NAME=VALUE; a user's value for one of ours, and a property that librdkafka does not know,
// throw UsageError naming all such mistakes at once. `optional` are ours too, but a librdkafka that doesn't
// know one goes without it. `opaque` reaches the callbacks. Logs go to spdlog.
struct ClientSettings {
  Role role = Role::consumer;
  std::string brokers;
  Properties ours;
  Properties optional;
  Properties users;
  void* opaque = nullptr;
  void (*rebalance)(rd_kafka_t*, rd_kafka_resp_err_t, rd_kafka_topic_partition_list_t*, void*) = nullptr;
  void (*delivery)(rd_kafka_t*, const rd_kafka_message_t*, void*) = nullptr;
  void (*error)(rd_kafka_t*, int, const char*, void*) = nullptr;  // gets what would be logged about connections
};
Client make_client(const ClientSettings& settings);

// Returns once a broker answers. Throws StopError as soon as trouble is final, RetryError with the last reason after
// `timeout`. The client's error callback has to note in `trouble`.
void wait_for_broker(rd_kafka_t* client, const Trouble& trouble, const std::string& brokers,
                     std::chrono::milliseconds timeout);

PartitionList to_list(const Positions& positions);

// The partitions of a topic. Throws RetryError when the broker can't be reached in time, StopError when the
// topic does not exist.
std::vector<std::int32_t> partitions_of(rd_kafka_t* client, const std::string& topic,
                                        std::chrono::milliseconds timeout);

// Asks the broker. Throws RetryError.
std::string cluster_id(rd_kafka_t* client, std::chrono::milliseconds timeout);

// The first offset at or after each of these times (milliseconds since 1970 UTC); the log's end where there is none.
// Asks the brokers. Throws RetryError.
Positions offsets_at(rd_kafka_t* client, const Positions& times, std::chrono::milliseconds timeout);

struct Watermarks {
  std::int64_t low = 0;   // the first offset still in the log
  std::int64_t high = 0;  // the next offset to be written (the last stable offset for read_committed)
};
// Asks the broker. Throws RetryError.
Watermarks watermarks(rd_kafka_t* client, const TopicPartition& partition, std::chrono::milliseconds timeout);

}  // namespace daybook::kafka
