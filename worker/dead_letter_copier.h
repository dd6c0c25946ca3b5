// Copies a view's dead letters to a Kafka topic, for those who watch topics. The table is the truth, and what has no
// copy yet is marked there: a copy can come twice, none is lost, and the view never waits for it.
#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <string>
#include <thread>

#include "kafka/record_publisher.h"
#include "sql/dead_letters.h"

namespace daybook {

// The copy of one dead letter: its key, value and headers, and headers that say what it is about. Pure.
kafka::Outgoing dead_letter_copy(const sql::StoredDeadLetter& letter, const std::string& view,
                                 const std::string& topic);

class DeadLetterCopier {
 public:
  struct Settings {
    std::string brokers;
    kafka::Properties properties;
    std::string database;
    std::string topic;
  };
  // Throws UsageError for wrong properties; asks no broker.
  static void check(const Settings& settings);
  // Copies on a thread of its own, one worker of a view at a time.
  DeadLetterCopier(Settings settings, std::string view, int generation);
  // Copies what is there by now, within a bounded time.
  ~DeadLetterCopier();
  DeadLetterCopier(const DeadLetterCopier&) = delete;
  DeadLetterCopier& operator=(const DeadLetterCopier&) = delete;

 private:
  void run();
  void copy_all();
  void publish(std::vector<kafka::Outgoing> copies, const std::vector<sql::StoredDeadLetter>& letters);
  bool is_out_of_time();

  const Settings settings_;
  const std::string view_;
  const int generation_;
  kafka::RecordPublisher publisher_;
  postgres::Connection connection_;
  bool is_publisher_broken_ = false;
  bool is_ours_ = false;  // no other worker copies this view's
  std::string trouble_;   // what was said last; "" when all is well

  std::mutex mutex_;  // guards what follows
  std::condition_variable changed_;
  bool ending_ = false;
  std::chrono::steady_clock::time_point give_up_at_ = std::chrono::steady_clock::time_point::max();
  std::thread thread_;
};

}  // namespace daybook
