#include "kafka/record_publisher.h"

namespace daybook::kafka {
namespace {

void on_delivery(rd_kafka_t*, const rd_kafka_message_t* message, void*) {
  auto& delivery = *static_cast<Delivery*>(message->_private);
  delivery.error = message->err;
  delivery.partition = message->partition;
  delivery.offset = message->offset;
}

// librdkafka takes text without const; it copies it.
void* bytes(const std::string& text) { return const_cast<char*>(text.data()); }

rd_kafka_resp_err_t produce(rd_kafka_t* client, const Outgoing& outgoing, Delivery& delivery) {
  std::vector<rd_kafka_vu_t> arguments;
  const auto add = [&arguments](rd_kafka_vtype_t type) -> rd_kafka_vu_t& {
    arguments.emplace_back().vtype = type;
    return arguments.back();
  };
  add(RD_KAFKA_VTYPE_TOPIC).u.cstr = outgoing.to.topic.c_str();
  add(RD_KAFKA_VTYPE_PARTITION).u.i32 =
      outgoing.to.partition == any_partition ? RD_KAFKA_PARTITION_UA : outgoing.to.partition;
  add(RD_KAFKA_VTYPE_MSGFLAGS).u.i = RD_KAFKA_MSG_F_COPY;
  add(RD_KAFKA_VTYPE_OPAQUE).u.ptr = &delivery;
  const OwnedRecord& record = outgoing.record;
  if (record.key) add(RD_KAFKA_VTYPE_KEY).u.mem = {bytes(*record.key), record.key->size()};
  if (record.value) add(RD_KAFKA_VTYPE_VALUE).u.mem = {bytes(*record.value), record.value->size()};
  for (const auto& [name, value] : record.headers) {
    rd_kafka_vu_t& one = add(RD_KAFKA_VTYPE_HEADER);
    one.u.header.name = name.c_str();
    one.u.header.val = bytes(value);
    one.u.header.size = static_cast<ssize_t>(value.size());
  }
  rd_kafka_error_t* error = rd_kafka_produceva(client, arguments.data(), arguments.size());
  if (error == nullptr) return RD_KAFKA_RESP_ERR_NO_ERROR;
  const rd_kafka_resp_err_t code = rd_kafka_error_code(error);
  rd_kafka_error_destroy(error);
  return code;
}

}  // namespace

RecordPublisher::RecordPublisher(const std::string& brokers, const Properties& users, const std::string& client_id) {
  ClientSettings settings;
  settings.role = Role::producer;
  settings.brokers = brokers;
  settings.users = users;
  settings.ours = {{"enable.idempotence", "true"}, {"acks", "all"}, {"request.required.acks", "all"}};
  // What goes wrong is told once, by the caller, not again for every attempt of librdkafka to connect.
  settings.optional = {
      {"client.id", client_id}, {"linger.ms", "0"}, {"partitioner", "murmur2_random"}, {"log_level", "2"}};
  if (users.count("delivery.timeout.ms") == 0) settings.optional["message.timeout.ms"] = "10000";
  settings.delivery = on_delivery;
  client_ = make_client(settings);
}

std::vector<Delivery> RecordPublisher::publish(std::span<const Outgoing> records,
                                               const std::function<bool()>& give_up) {
  std::vector<Delivery> deliveries = send(records, give_up);
  if (records.size() == 1) return deliveries;
  // A broker refuses what librdkafka sends in one piece as a whole: which of them is too large shows each alone.
  for (std::size_t i = 0; i < records.size(); ++i) {
    if (deliveries[i].too_large()) deliveries[i] = send(records.subspan(i, 1), give_up).front();
  }
  return deliveries;
}

std::vector<Delivery> RecordPublisher::send(std::span<const Outgoing> records, const std::function<bool()>& give_up) {
  std::vector<Delivery> deliveries(records.size());  // stays where it is: librdkafka holds pointers into it
  const auto wait = [this] { rd_kafka_poll(client_.get(), 100); };
  bool given_up = false;
  for (std::size_t i = 0; i < records.size() && !given_up; ++i) {
    rd_kafka_resp_err_t error = produce(client_.get(), records[i], deliveries[i]);
    while (error == RD_KAFKA_RESP_ERR__QUEUE_FULL && !(given_up = give_up && give_up())) {
      wait();
      error = produce(client_.get(), records[i], deliveries[i]);
    }
    if (error != RD_KAFKA_RESP_ERR_NO_ERROR) deliveries[i].error = error;
  }
  while (rd_kafka_outq_len(client_.get()) > 0) {
    if (!given_up && give_up && give_up()) given_up = true;
    if (given_up) rd_kafka_purge(client_.get(), RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
    wait();
  }
  return deliveries;
}

}  // namespace daybook::kafka
