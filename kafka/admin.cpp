// Topic creation through librdkafka's admin API, which any client can use.
#include "kafka/admin.h"

#include <algorithm>
#include <memory>
#include <thread>

#include "core/error.h"
#include "kafka/client.h"

namespace daybook::kafka {
namespace {

using Clock = std::chrono::steady_clock;
using NewTopic = std::unique_ptr<rd_kafka_NewTopic_t, Destroy<rd_kafka_NewTopic_t, rd_kafka_NewTopic_destroy>>;
using AdminOptions =
    std::unique_ptr<rd_kafka_AdminOptions_t, Destroy<rd_kafka_AdminOptions_t, rd_kafka_AdminOptions_destroy>>;
using Event = std::unique_ptr<rd_kafka_event_t, Destroy<rd_kafka_event_t, rd_kafka_event_destroy>>;

int left(Clock::time_point deadline) {
  const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now()).count();
  return static_cast<int>(std::max<long long>(ms, 1));
}

// The broker answers a creation before every broker's metadata shows it.
void wait_until_shown(rd_kafka_t* client, const std::string& topic, int partitions, Clock::time_point deadline) {
  Topic handle(rd_kafka_topic_new(client, topic.c_str(), nullptr));
  while (Clock::now() < deadline) {
    const rd_kafka_metadata_t* metadata = nullptr;
    if (rd_kafka_metadata(client, 0, handle.get(), &metadata, left(deadline)) == RD_KAFKA_RESP_ERR_NO_ERROR) {
      const rd_kafka_metadata_topic_t& found = metadata->topics[0];
      bool shown =
          metadata->topic_cnt == 1 && found.err == RD_KAFKA_RESP_ERR_NO_ERROR && found.partition_cnt >= partitions;
      for (int i = 0; shown && i < found.partition_cnt; ++i) shown = found.partitions[i].leader >= 0;
      rd_kafka_metadata_destroy(metadata);
      if (shown) return;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  throw RetryError("broker: topic " + topic + " was created but is not shown by the broker yet");
}

}  // namespace

std::vector<std::string> create_missing_topics(rd_kafka_t* client, const std::vector<std::string>& topics,
                                               int partitions, std::chrono::milliseconds timeout) {
  if (topics.empty()) return {};
  const Clock::time_point deadline = Clock::now() + timeout;
  std::vector<NewTopic> owned;
  std::vector<rd_kafka_NewTopic_t*> wanted;
  for (const std::string& topic : topics) {
    char error[512] = {0};
    NewTopic one(rd_kafka_NewTopic_new(topic.c_str(), partitions, -1, error, sizeof error));
    if (!one) throw UsageError("topic " + topic + ": " + error);
    wanted.push_back(one.get());
    owned.push_back(std::move(one));
  }
  AdminOptions options(rd_kafka_AdminOptions_new(client, RD_KAFKA_ADMIN_OP_CREATETOPICS));
  char error[512] = {0};
  rd_kafka_AdminOptions_set_request_timeout(options.get(), left(deadline), error, sizeof error);
  rd_kafka_AdminOptions_set_operation_timeout(options.get(), left(deadline), error, sizeof error);
  Queue queue(rd_kafka_queue_new(client));
  rd_kafka_CreateTopics(client, wanted.data(), wanted.size(), options.get(), queue.get());
  Event event(rd_kafka_queue_poll(queue.get(), left(deadline) + 1000));
  if (!event) throw RetryError("broker: no answer to the creation of topics");
  if (rd_kafka_event_error(event.get()) != RD_KAFKA_RESP_ERR_NO_ERROR) {
    throw RetryError(std::string("broker: can't create topics: ") + rd_kafka_event_error_string(event.get()));
  }
  std::size_t count = 0;
  const rd_kafka_topic_result_t** results =
      rd_kafka_CreateTopics_result_topics(rd_kafka_event_CreateTopics_result(event.get()), &count);
  std::vector<std::string> created;
  for (std::size_t i = 0; i < count; ++i) {
    const std::string name = rd_kafka_topic_result_name(results[i]);
    const rd_kafka_resp_err_t refused = rd_kafka_topic_result_error(results[i]);
    if (refused == RD_KAFKA_RESP_ERR_NO_ERROR) {
      created.push_back(name);
    } else if (refused == RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS) {
      wait_until_shown(client, name, 1, deadline);  // another process may have made it a moment ago
    } else {
      const char* text = rd_kafka_topic_result_error_string(results[i]);
      throw StopError("broker refuses to create topic " + name + ": " +
                      (text != nullptr ? text : rd_kafka_err2str(refused)));
    }
  }
  for (const std::string& name : created) wait_until_shown(client, name, partitions, deadline);
  return created;
}

}  // namespace daybook::kafka
