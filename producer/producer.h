// daybook::producer, the library that applications publish their events with.
//
//   daybook::Producer producer({.brokers = "broker:9092"});
//   producer.publish_event("bloodbank.events", facility_id,
//                          daybook::structured_event({.type = "bloodbank.stock.changed",
//                                                     .source = "/clinic-app",
//                                                     .data = R"({"facility_id": "…", "quantity": -2})"}));
//   const daybook::DeliveryReport report = producer.flush(std::chrono::seconds(10));
//
// The producer is idempotent: what it retries is stored once, in order. docs/producer.md has the rest.
#pragma once

#include <chrono>
#include <cstdint>
#include <initializer_list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "core/error.h"
#include "core/position.h"

namespace daybook {

struct ProducerSettings {
  std::string brokers = {};  // HOST:PORT[,HOST:PORT…]
  // librdkafka's properties, verbatim. Defaults of this library that may be replaced: compression.codec=lz4,
  // linger.ms=5, partitioner=murmur2_random (keys land where Java's clients put them). Refused:
  // anything but enable.idempotence=true and acks=all, and a transactional.id.
  std::map<std::string, std::string> properties = {};
};

// A message's own header; name and value need to live only as long as the call.
struct MessageHeader {
  const char* name;
  std::string_view value;
};

struct DeliveryReport {
  std::uint64_t delivered = 0;  // since the producer was made
  std::uint64_t failed = 0;     // since the producer was made
  std::uint64_t pending = 0;    // not known yet: flush ran into its deadline
  std::string first_failure;    // "topic/partition: reason" of the first failure
  Positions positions;          // after the last delivered event of each partition: the next offset to read

  bool complete() const { return failed == 0 && pending == 0; }
};

// Publishes messages. Not shared between threads. Destroying it drops what was not flushed.
class Producer {
 public:
  static constexpr std::int32_t any_partition = -1;

  // Throws UsageError naming every property that is wrong or refused. Does not connect yet.
  explicit Producer(const ProducerSettings& settings);
  ~Producer();
  Producer(const Producer&) = delete;
  Producer& operator=(const Producer&) = delete;

  // Waits until a broker answers; throws RetryError when none does in time.
  void connect(std::chrono::milliseconds timeout);

  // The number of a topic's partitions. Throws RetryError, and StopError when there is no such topic.
  std::int32_t partition_count(const std::string& topic, std::chrono::milliseconds timeout);

  // Creates the topic if it is missing. Throws RetryError and StopError.
  void create_topic(const std::string& topic, int partitions, std::chrono::milliseconds timeout);

  // Where murmur2_random puts a key.
  std::int32_t partition_of_key(const std::string& topic, std::string_view key, std::int32_t partitions);

  // Hands a message over for delivery in the background; blocks while librdkafka's queue is full. Whether it
  // arrived is told by flush(). Throws UsageError for a message larger than message.max.bytes, StopError when
  // the producer can't go on at all.
  void publish(const std::string& topic, std::optional<std::string_view> key, std::string_view value,
               std::initializer_list<MessageHeader> headers = {}, std::int32_t partition = any_partition);

  // The same for one CloudEvent in structured form: adds the header content-type: application/cloudevents+json.
  void publish_event(const std::string& topic, std::optional<std::string_view> key, std::string_view structured_json,
                     std::int32_t partition = any_partition);

  // Serves delivery reports, at most for this long. Call it now and then when nothing is published for long.
  void poll(std::chrono::milliseconds timeout);

  // Waits until the fate of everything published is known, or the deadline has passed.
  DeliveryReport flush(std::chrono::milliseconds deadline);

  // What is known by now.
  const DeliveryReport& report() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// One CloudEvent (specversion 1.0) to be written in structured form. The initializers let an application name
// only the members that it sets.
struct EventEnvelope {
  std::string type = {};    // required
  std::string source = {};  // required
  std::string id = {};      // a random UUID unless given; (source, id) is the event's identity
  std::optional<std::chrono::system_clock::time_point> time = {};  // now unless given
  std::string subject = {};                                        // left out when empty
  std::string data = {};                                           // JSON text; left out when empty
};

// The event as JSON text. Throws UsageError naming each wrong member: type or source missing, data that is not
// strict JSON (duplicate member names and nesting beyond 1,000 levels are refused too), text that is not UTF-8.
std::string structured_event(const EventEnvelope& envelope);

std::string random_uuid();                                        // version 4, from the system's generator
std::string rfc3339(std::chrono::system_clock::time_point time);  // UTC, milliseconds

}  // namespace daybook
