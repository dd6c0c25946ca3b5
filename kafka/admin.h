// What commands ask of a broker's administration: make the topics that are missing.
#pragma once

#include <librdkafka/rdkafka.h>

#include <chrono>
#include <string>
#include <vector>

namespace daybook::kafka {

// Creates those of `topics` that do not exist, with `partitions` partitions each and the broker's default
// replication; those that exist stay as they are. Returns the topics created, once the broker's metadata shows all
// of them with their partitions. Throws RetryError when that takes longer than `timeout`, StopError when the
// broker refuses.
std::vector<std::string> create_missing_topics(rd_kafka_t* client, const std::vector<std::string>& topics,
                                               int partitions, std::chrono::milliseconds timeout);

}  // namespace daybook::kafka
