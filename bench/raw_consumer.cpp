// The limit for `bench/run catchup`: a consumer that reads a topic with librdkafka's fastest call and does nothing
// with it. Same library, same fetch settings as the worker.
//
//   raw_consumer BROKERS TOPIC PARTITIONS
//
// Prints one JSON object: records, bytes.
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "kafka/client.h"

int main(int argc, char** argv) {
  using namespace daybook;
  if (argc != 4) {
    std::fprintf(stderr, "usage: raw_consumer BROKERS TOPIC PARTITIONS\n");
    return 2;
  }
  kafka::ClientSettings settings;
  settings.brokers = argv[1];
  settings.ours = {{"group.id", "raw"}, {"enable.auto.commit", "false"}, {"enable.partition.eof", "true"}};
  settings.optional = {{"queued.max.messages.kbytes", "32768"}, {"queued.min.messages", "1000000"}};
  const kafka::Client client = kafka::make_client(settings);
  Positions positions;
  const int partitions = std::atoi(argv[3]);
  for (int p = 0; p < partitions; ++p) positions[{argv[2], p}] = 0;
  rd_kafka_poll_set_consumer(client.get());
  kafka::Queue queue(rd_kafka_queue_get_consumer(client.get()));
  rd_kafka_assign(client.get(), kafka::to_list(positions).get());

  std::vector<rd_kafka_message_t*> messages(2048);
  long long records = 0;
  long long bytes = 0;
  for (int ended = 0; ended < partitions;) {
    const ssize_t first = rd_kafka_consume_batch_queue(queue.get(), 1000, messages.data(), 1);
    ssize_t count = first;
    if (first > 0) count += rd_kafka_consume_batch_queue(queue.get(), 0, messages.data() + 1, messages.size() - 1);
    for (ssize_t i = 0; i < count; ++i) {
      rd_kafka_message_t* message = messages[static_cast<std::size_t>(i)];
      if (message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
        ++ended;
      } else if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR) {
        ++records;
        bytes += static_cast<long long>(message->len);
      }
      rd_kafka_message_destroy(message);
    }
  }
  std::printf("{\"records\": %lld, \"bytes\": %lld}\n", records, bytes);
  queue.reset();
  return 0;
}
