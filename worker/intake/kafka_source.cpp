#include "worker/intake/kafka_source.h"

#include <spdlog/spdlog.h>

#include <algorithm>

#include "core/error.h"

namespace daybook {
namespace {

constexpr std::size_t messages_per_poll = 2048;
constexpr std::chrono::milliseconds ask_timeout{5'000};
// While no broker is known to be reachable.
constexpr std::chrono::milliseconds look_interval{1'000};
constexpr int look_timeout_ms = 100;

kafka::Client make_consumer(const KafkaSource::Settings& settings, void* opaque,
                            void (*rebalance)(rd_kafka_t*, rd_kafka_resp_err_t, rd_kafka_topic_partition_list_t*,
                                              void*),
                            void (*error)(rd_kafka_t*, int, const char*, void*)) {
  kafka::ClientSettings client;
  client.role = kafka::Role::consumer;
  client.brokers = settings.brokers;
  client.users = settings.properties;
  client.opaque = opaque;
  client.rebalance = rebalance;
  client.error = error;
  client.ours = {
      {"group.id", settings.group},
      {"enable.auto.commit", "false"},  // positions live in PostgreSQL
      {"enable.auto.offset.store", "false"},
      {"auto.offset.reset", "error"},    // never skip silently what retention or truncation took
      {"enable.partition.eof", "true"},  // tells the end of a partition, markers included
      {"isolation.level", "read_committed"},
      {"partition.assignment.strategy", "range"},
      {"allow.auto.create.topics", "false"},
  };
  // Defaults that users may change.
  client.optional = {
      {"client.id", "daybook"},
      {"session.timeout.ms", "10000"},
      {"heartbeat.interval.ms", "1000"},
      {"socket.nagle.disable", "true"},
      // start() waits for a fetch that is under way: a rebalance costs at most this long.
      {"fetch.wait.max.ms", "100"},
      // What is fetched ahead, for all partitions together: bounds the memory of a worker at any backlog.
      {"queued.max.messages.kbytes", "32768"},
      {"queued.min.messages", "1000000"},  // the size alone decides
      {"fetch.queue.backoff.ms", "10"},    // unknown to 2.0.2; newer ones wait 1 s by default when the queue was full
  };
  return kafka::make_client(client);
}

}  // namespace

KafkaSource::KafkaSource(const Settings& settings)
    : topics_(settings.topics),
      client_(make_consumer(settings, this, on_rebalance, on_error)),
      messages_(messages_per_poll) {
  rd_kafka_poll_set_consumer(client_.get());
  queue_.reset(rd_kafka_queue_get_consumer(client_.get()));
  records_.reserve(messages_per_poll);
  Positions topics;
  for (const std::string& topic : topics_) topics[{topic, RD_KAFKA_PARTITION_UA}] = RD_KAFKA_OFFSET_INVALID;
  const rd_kafka_resp_err_t error = rd_kafka_subscribe(client_.get(), kafka::to_list(topics).get());
  if (error != RD_KAFKA_RESP_ERR_NO_ERROR)
    throw StopError(std::string("kafka: can't subscribe: ") + rd_kafka_err2str(error));
}

void KafkaSource::check(const Settings& settings) {
  // It is gone before it could connect; what it says about that is of no use.
  make_consumer(settings, nullptr, nullptr, [](rd_kafka_t*, int, const char*, void*) {});
}

KafkaSource::~KafkaSource() { close(); }

void KafkaSource::close() {
  if (closing_) return;
  closing_ = true;
  release_messages();
  rd_kafka_consumer_close(client_.get());
}

// Only notes what happened: runs inside poll(), or inside rd_kafka_consumer_close().
void KafkaSource::on_rebalance(rd_kafka_t* client, rd_kafka_resp_err_t error, rd_kafka_topic_partition_list_t* list,
                               void* opaque) {
  auto* self = static_cast<KafkaSource*>(opaque);
  if (error == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS && !self->closing_) {
    self->was_assigned_ = true;
    self->assigned_.emplace();
    for (int i = 0; i < list->cnt; ++i) self->assigned_->push_back({list->elems[i].topic, list->elems[i].partition});
    return;
  }
  self->revoked_ = true;
  self->assigned_.reset();
  if (self->closing_) rd_kafka_assign(client, nullptr);
}

// librdkafka reports a failing connection when it begins to fail and then now and then.
void KafkaSource::on_error(rd_kafka_t*, int code, const char* reason, void* opaque) {
  auto* self = static_cast<KafkaSource*>(opaque);
  const std::string before = self->trouble_.reason();
  self->trouble_.note(code, reason);
  // Said once when the last broker that it knows is gone; nothing is said when one is back.
  if (code == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN) self->is_cut_off_ = true;
  if (self->trouble_.is_final() && !self->was_assigned_) return;  // poll() says it
  if (self->trouble_.reason() != before) spdlog::warn("kafka: {}; trying again", self->trouble_.reason());
}

void KafkaSource::look_for_brokers() {
  const auto now = std::chrono::steady_clock::now();
  if (now - looked_for_brokers_at_ < look_interval) return;
  looked_for_brokers_at_ = now;
  const rd_kafka_metadata_t* metadata = nullptr;
  if (rd_kafka_metadata(client_.get(), 0, nullptr, &metadata, look_timeout_ms) != RD_KAFKA_RESP_ERR_NO_ERROR) return;
  rd_kafka_metadata_destroy(metadata);
  is_cut_off_ = false;
}

std::string KafkaSource::outage() {
  return is_cut_off_ ? "broker: none can be reached" + (trouble_.reason().empty() ? "" : ": " + trouble_.reason()) : "";
}

void KafkaSource::release_messages() {
  for (std::size_t i = 0; i < message_count_; ++i) rd_kafka_message_destroy(messages_[i]);
  message_count_ = 0;
  records_.clear();
  ends_.clear();
}

Polled KafkaSource::poll(std::chrono::milliseconds timeout) {
  release_messages();
  revoked_ = false;
  assigned_.reset();
  // librdkafka's batch call waits until the batch is full: so one message is waited for, and the rest is taken as it
  // is.
  ssize_t count = rd_kafka_consume_batch_queue(queue_.get(), static_cast<int>(timeout.count()), messages_.data(), 1);
  if (count > 0) {
    const ssize_t more = rd_kafka_consume_batch_queue(queue_.get(), 0, messages_.data() + 1, messages_per_poll - 1);
    if (more > 0) count += more;
  }
  message_count_ = count > 0 ? static_cast<std::size_t>(count) : 0;
  // Before the group ever let us in, a refusal is a wrong setting. Later on it can be a broker that starts with half of
  // its credentials, or a change of them under way: the connection is tried again.
  if (trouble_.is_final() && !was_assigned_) {
    throw StopError("broker: " + trouble_.reason() + " (" + trouble_.advice() + ")");
  }
  Polled polled;
  polled.revoked = revoked_;
  polled.assigned = assigned_;
  if (revoked_ || assigned_) {
    // What came in the same call was read under the former assignment; it comes again from the stored positions.
    release_messages();
    return polled;
  }
  for (std::size_t i = 0; i < message_count_; ++i) take_message(messages_[i]);
  keep_fetching();
  if (is_cut_off_) look_for_brokers();
  polled.records = records_;
  polled.ends = ends_;
  return polled;
}

// librdkafka before 2.2 stops fetching when its queue is full and looks again only when something wakes its broker
// thread, or after a second: a worker that is faster would idle for most of it. Asking the leaders for the ends of the
// partitions wakes those threads; it takes about a millisecond, once for each half queue.
void KafkaSource::keep_fetching() {
  static const bool needed = rd_kafka_version() < 0x02020000;
  if (!needed) return;
  const std::size_t queued = rd_kafka_queue_length(queue_.get());
  queued_peak_ = std::max(queued_peak_, queued);
  if (queued_peak_ < 4 * messages_per_poll || queued > queued_peak_ / 2 || reading_.empty()) return;
  queued_peak_ = 0;
  const kafka::PartitionList ends = kafka::to_list(reading_);
  for (int i = 0; i < ends->cnt; ++i) ends->elems[i].offset = RD_KAFKA_OFFSET_END;
  rd_kafka_offsets_for_times(client_.get(), ends.get(), 100);  // what it answers does not matter
}

void KafkaSource::take_message(rd_kafka_message_t* message) {
  if (message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
    ends_.emplace_back(TopicPartition{rd_kafka_topic_name(message->rkt), message->partition}, message->offset);
    return;
  }
  if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR) {
    fail_or_log(*message);
    return;
  }
  if (message->rkt != last_topic_) {
    last_topic_ = message->rkt;
    const auto found = std::find(topics_.begin(), topics_.end(), rd_kafka_topic_name(message->rkt));
    last_topic_index_ = static_cast<std::uint32_t>(found - topics_.begin());
  }
  Record record;
  record.topic = last_topic_index_;
  record.partition = message->partition;
  record.offset = message->offset;
  rd_kafka_timestamp_type_t type = RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
  record.timestamp_ms = rd_kafka_message_timestamp(message, &type);
  if (message->key != nullptr) record.key = std::string_view(static_cast<const char*>(message->key), message->key_len);
  if (message->payload != nullptr)
    record.value = std::string_view(static_cast<const char*>(message->payload), message->len);
  record.header_reader = this;
  record.native = message;
  records_.push_back(record);
}

bool KafkaSource::is_reading(const std::string& topic) const {
  const auto first = reading_.lower_bound({topic, 0});
  return first != reading_.end() && first->first.topic == topic;
}

void KafkaSource::fail_or_log(const rd_kafka_message_t& message) const {
  const std::string where =
      message.rkt != nullptr ? std::string(rd_kafka_topic_name(message.rkt)) + "/" + std::to_string(message.partition)
                             : "the group";
  const std::string what = where + ": " + rd_kafka_message_errstr(&message);
  switch (message.err) {
    case RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET:
    case RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE:
      // What the log has now is looked at before reading starts again, and decides.
      throw RetryError("kafka: " + what);
    case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
    case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC:
    case RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION:
      // A topic that is read was deleted. If it is made again, its anchors are looked at before anything is folded.
      if (message.rkt != nullptr && is_reading(rd_kafka_topic_name(message.rkt))) throw RetryError("kafka: " + what);
      spdlog::warn("kafka: {}", what);
      return;
    case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR__FATAL:
      throw StopError("kafka: " + what);
    default:
      spdlog::warn("kafka: {}", what);
  }
}

void KafkaSource::start(const Positions& positions) {
  last_topic_ = nullptr;
  reading_ = positions;
  // Replaces the former assignment as a whole: what was fetched under it is outdated and never delivered.
  const rd_kafka_resp_err_t error = rd_kafka_assign(client_.get(), kafka::to_list(positions).get());
  if (error != RD_KAFKA_RESP_ERR_NO_ERROR)
    throw RetryError(std::string("kafka: can't start reading: ") + rd_kafka_err2str(error));
}

void KafkaSource::stop() {
  reading_.clear();
  rd_kafka_assign(client_.get(), nullptr);
}

std::string KafkaSource::cluster_id() { return kafka::cluster_id(client_.get(), ask_timeout); }

LogRange KafkaSource::range(const TopicPartition& partition) {
  const kafka::Watermarks marks = kafka::watermarks(client_.get(), partition, ask_timeout);
  return {marks.low, marks.high};
}

std::int64_t KafkaSource::known_end(const TopicPartition& partition) {
  std::int64_t low = RD_KAFKA_OFFSET_INVALID;
  std::int64_t high = RD_KAFKA_OFFSET_INVALID;
  rd_kafka_get_watermark_offsets(client_.get(), partition.topic.c_str(), partition.partition, &low, &high);
  return high >= 0 ? high : -1;
}

void KafkaSource::mirror(const Positions& positions) {
  rd_kafka_commit(client_.get(), kafka::to_list(positions).get(), /*async=*/1);
}

void KafkaSource::wake() { rd_kafka_queue_yield(queue_.get()); }

void KafkaSource::read(const void* native, std::vector<Header>& out) const {
  const auto* message = static_cast<const rd_kafka_message_t*>(native);
  rd_kafka_headers_t* headers = nullptr;
  if (rd_kafka_message_headers(message, &headers) != RD_KAFKA_RESP_ERR_NO_ERROR) return;  // none
  const char* name = nullptr;
  const void* value = nullptr;
  std::size_t size = 0;
  for (std::size_t i = 0; rd_kafka_header_get_all(headers, i, &name, &value, &size) == RD_KAFKA_RESP_ERR_NO_ERROR;
       ++i) {
    out.push_back({name, std::string_view(static_cast<const char*>(value), value == nullptr ? 0 : size)});
  }
}

}  // namespace daybook
