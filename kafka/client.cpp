#include "kafka/client.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <cstring>
#include <thread>

#include "core/error.h"

namespace daybook::kafka {
namespace {

constexpr std::chrono::milliseconds leader_pause{100};

void log_line(const rd_kafka_t*, int level, const char* facility, const char* text) {
  // syslog levels: 0-3 errors, 4 warning, 5-6 info, 7 debug. librdkafka's own errors about connections repeat
  // for as long as a broker is away; what the worker does about it is logged by the worker.
  if (level <= 3) {
    spdlog::warn("kafka: {}: {}", facility, text);
  } else if (level <= 4) {
    spdlog::info("kafka: {}: {}", facility, text);
  } else {
    spdlog::debug("kafka: {}: {}", facility, text);
  }
}

// For clients with an error callback: it gets the same text as the facility FAIL, and tells it once.
void log_line_but_connections(const rd_kafka_t* client, int level, const char* facility, const char* text) {
  const bool told = std::strcmp(facility, "FAIL") == 0 || std::strcmp(facility, "ERROR") == 0;
  log_line(client, told ? 7 : level, facility, text);
}

std::string set_property(rd_kafka_conf_t* conf, const std::string& name, const std::string& value,
                         rd_kafka_conf_res_t* result) {
  char error[512] = {0};
  *result = rd_kafka_conf_set(conf, name.c_str(), value.c_str(), error, sizeof error);
  return error;
}

}  // namespace

Properties parse_properties(const std::vector<std::string>& words) {
  Properties properties;
  std::string mistakes;
  for (std::size_t i = 0; i < words.size(); ++i) {
    const std::size_t equals = words[i].find('=');
    if (equals == std::string::npos || equals == 0) {
      mistakes += (mistakes.empty() ? "" : ", ") + std::to_string(i + 1);
    } else {
      properties[words[i].substr(0, equals)] = words[i].substr(equals + 1);
    }
  }
  if (!mistakes.empty()) {
    throw UsageError("--kafka: value number " + mistakes +
                     " is not NAME=VALUE (spaces separate the values of DAYBOOK_KAFKA; a value with spaces goes into a"
                     " file: --kafka-file NAME=FILE)");
  }
  return properties;
}

void Trouble::note(int code, const char* reason) {
  if (code == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN) return;  // the reason of each came before
  reason_ = reason;
  // "... (after 3ms in state CONNECT, 12 identical error(s) suppressed)": what changes is of no use here.
  reason_.resize(std::min(reason_.find(" (after "), reason_.size()));
  // A handshake that broke off is no more than a broken connection: the broker may be starting or ending.
  final_ = code == RD_KAFKA_RESP_ERR__AUTHENTICATION ||
           (code == RD_KAFKA_RESP_ERR__SSL && reason_.find("certificate verify failed") != std::string::npos);
}

std::string Trouble::advice() const {
  if (!final_) return {};
  if (reason_.find("certificate") != std::string::npos) {
    return "check ssl.ca.location, and that the certificate names the host that brokers are reached by";
  }
  // librdkafka before 2.6.1 answers with a nonce that Kafka 4 no longer accepts (librdkafka pull request 4895).
  const bool scram_is_too_old = rd_kafka_version() < 0x02060100 && reason_.find("SCRAM") != std::string::npos;
  return std::string("check sasl.mechanism, sasl.username and sasl.password") +
         (scram_is_too_old ? std::string("; librdkafka ") + rd_kafka_version_str() +
                                 " can't do SCRAM with Kafka 4, only 2.6.1 and newer can: use that, or PLAIN over TLS"
                           : "");
}

Client make_client(const ClientSettings& settings) {
  std::unique_ptr<rd_kafka_conf_t, Destroy<rd_kafka_conf_t, rd_kafka_conf_destroy>> conf(rd_kafka_conf_new());
  std::string mistakes;
  const auto add_mistake = [&mistakes](const std::string& text) { mistakes += (mistakes.empty() ? "" : "; ") + text; };

  Properties ours = settings.ours;
  if (!settings.brokers.empty()) ours["bootstrap.servers"] = settings.brokers;
  rd_kafka_conf_res_t result = RD_KAFKA_CONF_OK;
  for (const auto& [name, value] : settings.users) {
    const auto fixed = settings.ours.find(name);
    if (fixed != settings.ours.end()) {
      if (fixed->second != value) {
        add_mistake("kafka." + name + "=" + value + " is refused: exactly-once depends on " + name + "=" +
                    fixed->second);
      }
      continue;
    }
    ours.erase(name);
    const std::string error = set_property(conf.get(), name, value, &result);
    if (result != RD_KAFKA_CONF_OK) add_mistake("kafka." + name + ": " + error);  // no value: it can be a secret
  }
  if (ours.count("bootstrap.servers") == 0 && settings.users.count("bootstrap.servers") == 0) {
    add_mistake("no broker named: give --brokers HOST:PORT or DAYBOOK_BROKERS");
  }
  for (const auto& [name, value] : ours) {
    const std::string error = set_property(conf.get(), name, value, &result);
    if (result != RD_KAFKA_CONF_OK) add_mistake(name + "=" + value + ": " + error);
  }
  for (const auto& [name, value] : settings.optional) {
    if (settings.users.count(name) == 0) set_property(conf.get(), name, value, &result);
  }
  if (!mistakes.empty()) throw UsageError("kafka configuration: " + mistakes);

  rd_kafka_conf_set_opaque(conf.get(), settings.opaque);
  rd_kafka_conf_set_log_cb(conf.get(), settings.error != nullptr ? log_line_but_connections : log_line);
  if (settings.rebalance != nullptr) rd_kafka_conf_set_rebalance_cb(conf.get(), settings.rebalance);
  if (settings.delivery != nullptr) rd_kafka_conf_set_dr_msg_cb(conf.get(), settings.delivery);
  if (settings.error != nullptr) rd_kafka_conf_set_error_cb(conf.get(), settings.error);

  char error[512] = {0};
  rd_kafka_t* client = rd_kafka_new(settings.role == Role::producer ? RD_KAFKA_PRODUCER : RD_KAFKA_CONSUMER, conf.get(),
                                    error, sizeof error);
  if (client == nullptr) throw StopError(std::string("kafka client: ") + error);
  conf.release();  // the client owns it now
  return Client(client);
}

void wait_for_broker(rd_kafka_t* client, const Trouble& trouble, const std::string& brokers,
                     std::chrono::milliseconds timeout) {
  using Clock = std::chrono::steady_clock;
  const Clock::time_point deadline = Clock::now() + timeout;
  for (;;) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now());
    // In short turns, since only rd_kafka_poll() calls the error callback.
    const int turn = static_cast<int>(std::clamp<std::chrono::milliseconds::rep>(left.count(), 1, 100));
    const rd_kafka_metadata_t* metadata = nullptr;
    const rd_kafka_resp_err_t code = rd_kafka_metadata(client, 0, nullptr, &metadata, turn);
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR) {
      rd_kafka_metadata_destroy(metadata);
      return;
    }
    rd_kafka_poll(client, 0);
    if (trouble.is_final()) throw StopError("broker: " + trouble.reason() + " (" + trouble.advice() + ")");
    if (Clock::now() >= deadline) {
      throw RetryError("broker " + brokers + " not reached within " + std::to_string(timeout.count() / 1000) + " s: " +
                       rd_kafka_err2str(code) + (trouble.reason().empty() ? "" : " (" + trouble.reason() + ")"));
    }
  }
}

PartitionList to_list(const Positions& positions) {
  PartitionList list(rd_kafka_topic_partition_list_new(static_cast<int>(positions.size())));
  for (const auto& [partition, next] : positions) {
    rd_kafka_topic_partition_list_add(list.get(), partition.topic.c_str(), partition.partition)->offset = next;
  }
  return list;
}

std::vector<std::int32_t> partitions_of(rd_kafka_t* client, const std::string& topic,
                                        std::chrono::milliseconds timeout) {
  Topic handle(rd_kafka_topic_new(client, topic.c_str(), nullptr));
  const rd_kafka_metadata_t* metadata = nullptr;
  const rd_kafka_resp_err_t error =
      rd_kafka_metadata(client, 0, handle.get(), &metadata, static_cast<int>(timeout.count()));
  if (error != RD_KAFKA_RESP_ERR_NO_ERROR) {
    throw RetryError("broker: can't read the metadata of topic " + topic + ": " + rd_kafka_err2str(error));
  }
  std::unique_ptr<const rd_kafka_metadata_t, void (*)(const rd_kafka_metadata_t*)> owned(metadata,
                                                                                         rd_kafka_metadata_destroy);
  if (metadata->topic_cnt != 1 || metadata->topics[0].err == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART) {
    throw StopError("topic " + topic +
                    " does not exist on the broker: create it, or correct the definition's \"topic\"");
  }
  if (metadata->topics[0].err != RD_KAFKA_RESP_ERR_NO_ERROR) {
    throw RetryError("broker: topic " + topic + ": " + rd_kafka_err2str(metadata->topics[0].err));
  }
  std::vector<std::int32_t> partitions;
  for (int i = 0; i < metadata->topics[0].partition_cnt; ++i)
    partitions.push_back(metadata->topics[0].partitions[i].id);
  return partitions;
}

Positions offsets_at(rd_kafka_t* client, const Positions& times, std::chrono::milliseconds timeout) {
  const PartitionList list = to_list(times);
  const rd_kafka_resp_err_t error = rd_kafka_offsets_for_times(client, list.get(), static_cast<int>(timeout.count()));
  if (error != RD_KAFKA_RESP_ERR_NO_ERROR)
    throw RetryError(std::string("broker: can't look up offsets by time: ") + rd_kafka_err2str(error));
  Positions found;
  for (int i = 0; i < list->cnt; ++i) {
    const rd_kafka_topic_partition_t& one = list->elems[i];
    const TopicPartition partition{one.topic, one.partition};
    if (one.err != RD_KAFKA_RESP_ERR_NO_ERROR) {
      throw RetryError("broker: can't look up an offset of " + to_string(partition) +
                       " by time: " + rd_kafka_err2str(one.err));
    }
    found[partition] = one.offset >= 0 ? one.offset : watermarks(client, partition, timeout).high;
  }
  return found;
}

std::string cluster_id(rd_kafka_t* client, std::chrono::milliseconds timeout) {
  char* found = rd_kafka_clusterid(client, static_cast<int>(timeout.count()));
  if (found == nullptr) throw RetryError("broker: did not tell the id of its cluster");
  std::string id = found;
  rd_kafka_mem_free(client, found);
  return id;
}

Watermarks watermarks(rd_kafka_t* client, const TopicPartition& partition, std::chrono::milliseconds timeout) {
  const auto end = std::chrono::steady_clock::now() + timeout;
  for (;;) {
    Watermarks found;
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(end - std::chrono::steady_clock::now());
    const rd_kafka_resp_err_t error =
        rd_kafka_query_watermark_offsets(client, partition.topic.c_str(), partition.partition, &found.low, &found.high,
                                         std::max(1, static_cast<int>(left.count())));
    if (error == RD_KAFKA_RESP_ERR_NO_ERROR) return found;
    // The leader has just moved, and what the client knew of it is being read again.
    const bool moves =
        error == RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION || error == RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE;
    if (!moves || std::chrono::steady_clock::now() + leader_pause >= end) {
      throw RetryError("broker: can't read the first and last offset of " + partition.topic + "/" +
                       std::to_string(partition.partition) + ": " + rd_kafka_err2str(error));
    }
    std::this_thread::sleep_for(leader_pause);
  }
}

}  // namespace daybook::kafka
