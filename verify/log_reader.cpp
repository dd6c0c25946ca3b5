#include "verify/log_reader.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>

namespace daybook::verify {
namespace {

using std::chrono::steady_clock;
constexpr auto broker_timeout = std::chrono::seconds(20);
constexpr auto silence_limit = std::chrono::seconds(60);
constexpr int batch_size = 1000;

std::string name_of(const TopicPartition& partition) {
  return partition.topic + "/" + std::to_string(partition.partition);
}

void note_trouble(rd_kafka_t*, int code, const char* reason, void* trouble) {
  static_cast<kafka::Trouble*>(trouble)->note(code, reason);
}

// With `trouble`, what goes wrong with connections is noted there instead of logged.
kafka::Client make_reader(const LogReaderSettings& settings, kafka::Trouble* trouble = nullptr) {
  kafka::ClientSettings client;
  client.role = kafka::Role::consumer;
  client.brokers = settings.brokers;
  client.ours = {{"isolation.level", "read_committed"},
                 {"enable.partition.eof", "true"},
                 {"auto.offset.reset", "error"},
                 {"enable.auto.commit", "false"},
                 {"check.crcs", "true"}};
  client.optional = {{"client.id", "daybook-verify"}, {"queued.max.messages.kbytes", "65536"}};
  client.users = settings.properties;
  if (trouble != nullptr) {
    client.opaque = trouble;
    client.error = note_trouble;
  }
  return kafka::make_client(client);
}

[[noreturn]] void log_cut(const TopicPartition& partition, std::int64_t start, std::int64_t low) {
  throw LogCutError("the log of " + name_of(partition) + " no longer starts where the view did: the first offset is " +
                    std::to_string(low) + ", the view began at " + std::to_string(start) +
                    " (retention removed the rest). The view can't be recomputed from it");
}

// Before anything is read: is all of it there?
void check_spans(rd_kafka_t* client, const std::vector<Span>& spans) {
  std::string topic;
  std::vector<std::int32_t> partitions;
  for (const Span& span : spans) {
    if (span.partition.topic != topic) {
      topic = span.partition.topic;
      partitions = kafka::partitions_of(client, topic, broker_timeout);
    }
    if (std::find(partitions.begin(), partitions.end(), span.partition.partition) == partitions.end()) {
      throw StopError("the view has read " + name_of(span.partition) +
                      ", but the topic has no such partition: it was made anew");
    }
    const kafka::Watermarks found = kafka::watermarks(client, span.partition, broker_timeout);
    if (found.high < span.next) {
      throw StopError("the log of " + name_of(span.partition) + " ends at offset " + std::to_string(found.high) +
                      ", before the view's position " + std::to_string(span.next) +
                      ": the topic was made anew or lost its end");
    }
    if (span.start < span.next && found.low > span.start) log_cut(span.partition, span.start, found.low);
  }
}

void read_headers(const rd_kafka_message_t* message, LogRecord& record) {
  record.headers.clear();
  rd_kafka_headers_t* headers = nullptr;
  if (rd_kafka_message_headers(message, &headers) != RD_KAFKA_RESP_ERR_NO_ERROR) return;
  const char* name = nullptr;
  const void* value = nullptr;
  std::size_t size = 0;
  for (std::size_t i = 0; rd_kafka_header_get_all(headers, i, &name, &value, &size) == RD_KAFKA_RESP_ERR_NO_ERROR;
       ++i) {
    record.headers.emplace_back(
        name, value == nullptr ? std::string_view() : std::string_view(static_cast<const char*>(value), size));
  }
}

// What the threads share.
struct Shared {
  const LogReaderSettings& settings;
  Recomputation& recomputation;
  std::mutex mutex;  // guards the recomputation (but for judge), `failure` and `running`
  std::condition_variable changed;
  std::exception_ptr failure;
  int running = 0;
  std::atomic<std::int64_t> records{0};
  std::atomic<bool> stop{false};
};

// Some partitions, read by one thread with a client of its own.
class SpanReader {
 public:
  SpanReader(Shared& shared, std::vector<Span> spans)
      : shared_(shared),
        spans_(std::move(spans)),
        client_(make_reader(shared.settings)),
        queue_(rd_kafka_queue_new(client_.get())) {
    for (const Span& span : spans_) {
      topics_.emplace_back(rd_kafka_topic_new(client_.get(), span.partition.topic.c_str(), nullptr));
      done_.push_back(false);
      if (rd_kafka_consume_start_queue(topics_.back().get(), span.partition.partition, span.start, queue_.get()) != 0) {
        throw RetryError("broker: can't read " + name_of(span.partition) + ": " +
                         rd_kafka_err2str(rd_kafka_last_error()));
      }
    }
  }
  ~SpanReader() {
    for (std::size_t i = 0; i < topics_.size(); ++i)
      rd_kafka_consume_stop(topics_[i].get(), spans_[i].partition.partition);
  }
  SpanReader(const SpanReader&) = delete;
  SpanReader& operator=(const SpanReader&) = delete;

  void run() {
    std::array<rd_kafka_message_t*, batch_size> raw{};
    steady_clock::time_point last_record = steady_clock::now();
    while (!shared_.stop && !std::all_of(done_.begin(), done_.end(), [](bool done) { return done; })) {
      const ssize_t count = rd_kafka_consume_batch_queue(queue_.get(), 100, raw.data(), raw.size());
      if (count < 0) throw RetryError(std::string("broker: ") + rd_kafka_err2str(rd_kafka_last_error()));
      std::vector<kafka::Message> messages(raw.begin(), raw.begin() + count);  // frees them whatever happens
      if (count > 0) {
        last_record = steady_clock::now();
      } else if (steady_clock::now() - last_record > silence_limit) {
        throw RetryError("broker: no record for " + std::to_string(silence_limit.count()) + " s; is it away?");
      }
      take(messages);
    }
  }

 private:
  void take(const std::vector<kafka::Message>& messages) {
    std::vector<Judgement> judgements;
    judgements.reserve(messages.size());
    for (const kafka::Message& message : messages) {
      const std::size_t index = index_of(*message);
      if (done_[index]) continue;
      if (message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
        done_[index] = message->offset >= spans_[index].next;
      } else if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR) {
        fail(*message, spans_[index]);
      } else {
        // Offsets have gaps (transaction markers, compaction): a record beyond the position ends it too.
        done_[index] = message->offset >= spans_[index].next - 1;
        if (spans_[index].contains(message->offset)) judgements.push_back(judge(*message, spans_[index]));
      }
    }
    shared_.records += static_cast<std::int64_t>(judgements.size());
    const std::lock_guard lock(shared_.mutex);
    for (const Judgement& judgement : judgements) shared_.recomputation.apply(judgement);
  }

  std::size_t index_of(const rd_kafka_message_t& message) const {
    for (std::size_t i = 0; i < spans_.size(); ++i) {
      if (topics_[i].get() == message.rkt && spans_[i].partition.partition == message.partition) return i;
    }
    // Topic handles of one name are one object in librdkafka; this is for a release in which they are not.
    for (std::size_t i = 0; i < spans_.size(); ++i) {
      if (message.rkt != nullptr && spans_[i].partition.topic == rd_kafka_topic_name(message.rkt) &&
          spans_[i].partition.partition == message.partition) {
        return i;
      }
    }
    throw RetryError(std::string("broker: ") + rd_kafka_message_errstr(&message));
  }

  [[noreturn]] void fail(const rd_kafka_message_t& message, const Span& span) {
    if (message.err == RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET || message.err == RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE) {
      log_cut(span.partition, span.start, kafka::watermarks(client_.get(), span.partition, broker_timeout).low);
    }
    throw RetryError("broker: reading " + name_of(span.partition) + ": " + rd_kafka_message_errstr(&message));
  }

  Judgement judge(const rd_kafka_message_t& message, const Span& span) {
    record_.topic = span.partition.topic;
    record_.partition = message.partition;
    record_.offset = message.offset;
    rd_kafka_timestamp_type_t type = RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
    record_.timestamp_ms = rd_kafka_message_timestamp(&message, &type);
    if (type == RD_KAFKA_TIMESTAMP_NOT_AVAILABLE) record_.timestamp_ms = -1;
    record_.key.reset();
    if (message.key != nullptr) record_.key.emplace(static_cast<const char*>(message.key), message.key_len);
    record_.value.reset();
    if (message.payload != nullptr) record_.value.emplace(static_cast<const char*>(message.payload), message.len);
    read_headers(&message, record_);
    return shared_.recomputation.judge(record_);
  }

  Shared& shared_;
  std::vector<Span> spans_;
  std::vector<bool> done_;
  LogRecord record_;
  kafka::Client client_;  // before what was made from it, so that it goes last
  kafka::Queue queue_;
  std::vector<kafka::Topic> topics_;
};

void run_thread(Shared& shared, std::vector<Span> spans) {
  std::exception_ptr failure;
  try {
    SpanReader(shared, std::move(spans)).run();
  } catch (...) {
    failure = std::current_exception();
    shared.stop = true;
  }
  const std::lock_guard lock(shared.mutex);
  if (failure && !shared.failure) shared.failure = failure;
  --shared.running;
  shared.changed.notify_all();
}

}  // namespace

void read_log(const LogReaderSettings& settings, const std::vector<Span>& spans, Recomputation& recomputation) {
  if (spans.empty()) return;
  {
    kafka::Trouble trouble;
    const kafka::Client client = make_reader(settings, &trouble);
    const auto named = settings.properties.find("bootstrap.servers");
    const std::string& brokers = named != settings.properties.end() ? named->second : settings.brokers;
    kafka::wait_for_broker(client.get(), trouble, brokers, broker_timeout);
    check_spans(client.get(), spans);
  }
  std::vector<std::vector<Span>> shares(std::clamp<std::size_t>(std::thread::hardware_concurrency(), 1, 8));
  std::size_t turn = 0;
  for (const Span& span : spans) {
    recomputation.expect(span.partition, span.start, span.next);
    if (span.start < span.next) shares[turn++ % shares.size()].push_back(span);
  }

  Shared shared{settings, recomputation, {}, {}, {}, 0, {}, {}};
  std::vector<std::thread> threads;
  shared.running = static_cast<int>(std::min(turn, shares.size()));
  for (int i = 0; i < shared.running; ++i)
    threads.emplace_back(run_thread, std::ref(shared), shares[static_cast<std::size_t>(i)]);
  {
    std::unique_lock lock(shared.mutex);
    while (shared.running > 0) {
      shared.changed.wait_for(lock, std::chrono::milliseconds(200));
      if (settings.progress) settings.progress(shared.records);
    }
  }
  for (std::thread& thread : threads) thread.join();
  if (shared.failure) std::rethrow_exception(shared.failure);
}

}  // namespace daybook::verify
