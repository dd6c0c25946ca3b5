// The producer on librdkafka: one client, a handle for each topic, and the account of deliveries.
#include "producer/producer.h"

#include <algorithm>
#include <unordered_map>
#include <vector>

#include "kafka/admin.h"
#include "kafka/client.h"

namespace daybook {
namespace {

constexpr int publishes_between_polls = 128;

struct Default {
  const char* name;
  const char* value;
  const char* alias;  // librdkafka's other name of the same property
};
constexpr Default defaults[] = {
    {"compression.codec", "lz4", "compression.type"},
    {"linger.ms", "5", "queue.buffering.max.ms"},
    {"partitioner", "murmur2_random", nullptr},
};

kafka::Properties with_defaults(kafka::Properties properties) {
  for (const Default& one : defaults) {
    const bool given = properties.count(one.name) != 0 || (one.alias != nullptr && properties.count(one.alias) != 0);
    if (!given) properties[one.name] = one.value;
  }
  return properties;
}

std::string name_of(const rd_kafka_topic_t* topic) { return rd_kafka_topic_name(topic); }

}  // namespace

struct Producer::Impl {
  // The delivered positions of one topic, as librdkafka's handle of it comes with the reports; merged into
  // `report.positions` on demand, so that a report costs no look-up by name.
  struct Delivered {
    const rd_kafka_topic_t* handle = nullptr;
    std::string topic;
    std::vector<std::int64_t> next;  // by partition; -1: none
  };

  std::string brokers;
  kafka::Client client;
  std::unordered_map<std::string, kafka::Topic> topics;  // destroyed before the client
  std::vector<Delivered> delivered;
  std::vector<rd_kafka_vu_t> arguments;
  DeliveryReport report;
  kafka::Trouble trouble;
  int until_poll = publishes_between_polls;

  static void on_delivery(rd_kafka_t*, const rd_kafka_message_t* message, void* opaque) {
    static_cast<Impl*>(opaque)->deliver(*message);
  }
  static void on_error(rd_kafka_t*, int code, const char* reason, void* opaque) {
    static_cast<Impl*>(opaque)->trouble.note(code, reason);
  }

  void deliver(const rd_kafka_message_t& message) {
    if (message.err != RD_KAFKA_RESP_ERR_NO_ERROR) {
      if (report.failed++ == 0) {
        report.first_failure =
            name_of(message.rkt) + "/" + std::to_string(message.partition) + ": " + rd_kafka_err2str(message.err);
      }
      return;
    }
    ++report.delivered;
    const auto found = std::find_if(delivered.begin(), delivered.end(),
                                    [&message](const Delivered& d) { return d.handle == message.rkt; });
    Delivered& one =
        found != delivered.end() ? *found : delivered.emplace_back(Delivered{message.rkt, name_of(message.rkt), {}});
    const std::size_t partition = static_cast<std::size_t>(message.partition);
    if (one.next.size() <= partition) one.next.resize(partition + 1, -1);
    one.next[partition] = std::max(one.next[partition], message.offset + 1);
  }

  rd_kafka_topic_t* topic(const std::string& name) {
    kafka::Topic& handle = topics[name];
    if (!handle) {
      handle.reset(rd_kafka_topic_new(client.get(), name.c_str(), nullptr));
      if (!handle) throw StopError("topic " + name + ": " + rd_kafka_err2str(rd_kafka_last_error()));
    }
    return handle.get();
  }

  [[noreturn]] void refuse(const std::string& topic, std::size_t bytes, rd_kafka_resp_err_t code) {
    if (code == RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE) {
      throw UsageError("a message of " + std::to_string(bytes) + " bytes for topic " + topic +
                       " is larger than message.max.bytes allows");
    }
    char reason[512] = {0};
    if (code == RD_KAFKA_RESP_ERR__FATAL) code = rd_kafka_fatal_error(client.get(), reason, sizeof reason);
    throw StopError("topic " + topic + ": can't publish: " + rd_kafka_err2str(code) + (reason[0] != '\0' ? ": " : "") +
                    reason);
  }
};

Producer::Producer(const ProducerSettings& settings) : impl_(std::make_unique<Impl>()) {
  if (settings.properties.count("transactional.id") != 0) {
    throw UsageError("kafka.transactional.id is refused: this producer is idempotent, not transactional");
  }
  kafka::ClientSettings client;
  client.role = kafka::Role::producer;
  client.brokers = settings.brokers;
  client.ours = {{"enable.idempotence", "true"}, {"acks", "all"}, {"request.required.acks", "all"}};
  client.users = with_defaults(settings.properties);
  client.opaque = impl_.get();
  client.delivery = Impl::on_delivery;
  client.error = Impl::on_error;
  const auto named = settings.properties.find("bootstrap.servers");
  impl_->brokers = named != settings.properties.end() ? named->second : settings.brokers;
  impl_->client = kafka::make_client(client);
}

Producer::~Producer() {
  if (impl_->client) rd_kafka_purge(impl_->client.get(), RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
}

void Producer::connect(std::chrono::milliseconds timeout) {
  kafka::wait_for_broker(impl_->client.get(), impl_->trouble, impl_->brokers, timeout);
}

std::int32_t Producer::partition_count(const std::string& topic, std::chrono::milliseconds timeout) {
  return static_cast<std::int32_t>(kafka::partitions_of(impl_->client.get(), topic, timeout).size());
}

void Producer::create_topic(const std::string& topic, int partitions, std::chrono::milliseconds timeout) {
  kafka::create_missing_topics(impl_->client.get(), {topic}, partitions, timeout);
}

std::int32_t Producer::partition_of_key(const std::string& topic, std::string_view key, std::int32_t partitions) {
  return rd_kafka_msg_partitioner_murmur2(impl_->topic(topic), key.data(), key.size(), partitions, nullptr, nullptr);
}

void Producer::publish(const std::string& topic, std::optional<std::string_view> key, std::string_view value,
                       std::initializer_list<MessageHeader> headers, std::int32_t partition) {
  static constexpr char nothing[1] = {0};  // a null pointer would make a tombstone of an empty value
  const auto bytes = [](std::string_view text) {
    return const_cast<void*>(static_cast<const void*>(text.data() != nullptr ? text.data() : nothing));
  };
  std::vector<rd_kafka_vu_t>& arguments = impl_->arguments;
  arguments.clear();
  const auto add = [&arguments](rd_kafka_vtype_t type) -> rd_kafka_vu_t& {
    arguments.emplace_back().vtype = type;
    return arguments.back();
  };
  add(RD_KAFKA_VTYPE_RKT).u.rkt = impl_->topic(topic);
  add(RD_KAFKA_VTYPE_PARTITION).u.i32 = partition == any_partition ? RD_KAFKA_PARTITION_UA : partition;
  add(RD_KAFKA_VTYPE_MSGFLAGS).u.i = RD_KAFKA_MSG_F_COPY;
  add(RD_KAFKA_VTYPE_VALUE).u.mem = {bytes(value), value.size()};
  if (key) add(RD_KAFKA_VTYPE_KEY).u.mem = {bytes(*key), key->size()};
  for (const MessageHeader& header : headers) {
    rd_kafka_vu_t& one = add(RD_KAFKA_VTYPE_HEADER);
    one.u.header.name = header.name;
    one.u.header.val = bytes(header.value);
    one.u.header.size = static_cast<ssize_t>(header.value.size());
  }
  while (true) {
    rd_kafka_error_t* error = rd_kafka_produceva(impl_->client.get(), arguments.data(), arguments.size());
    if (error == nullptr) break;
    const rd_kafka_resp_err_t code = rd_kafka_error_code(error);
    rd_kafka_error_destroy(error);
    if (code != RD_KAFKA_RESP_ERR__QUEUE_FULL) impl_->refuse(topic, value.size(), code);
    poll(std::chrono::milliseconds(100));  // returns as soon as a report is there, which makes room
  }
  if (--impl_->until_poll == 0) {
    impl_->until_poll = publishes_between_polls;
    poll(std::chrono::milliseconds(0));
  }
}

void Producer::publish_event(const std::string& topic, std::optional<std::string_view> key,
                             std::string_view structured_json, std::int32_t partition) {
  publish(topic, key, structured_json, {{"content-type", "application/cloudevents+json"}}, partition);
}

void Producer::poll(std::chrono::milliseconds timeout) {
  rd_kafka_poll(impl_->client.get(), static_cast<int>(timeout.count()));
}

DeliveryReport Producer::flush(std::chrono::milliseconds deadline) {
  rd_kafka_flush(impl_->client.get(), static_cast<int>(deadline.count()));
  DeliveryReport& report = impl_->report;
  report.pending = static_cast<std::uint64_t>(rd_kafka_outq_len(impl_->client.get()));
  for (const Impl::Delivered& one : impl_->delivered) {
    for (std::size_t partition = 0; partition < one.next.size(); ++partition) {
      if (one.next[partition] < 0) continue;
      std::int64_t& next = report.positions[{one.topic, static_cast<std::int32_t>(partition)}];
      next = std::max(next, one.next[partition]);
    }
  }
  return report;
}

const DeliveryReport& Producer::report() const { return impl_->report; }

}  // namespace daybook
