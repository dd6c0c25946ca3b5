#include "worker/dead_letter_copier.h"

#include <spdlog/spdlog.h>

#include "core/error.h"

namespace daybook {
namespace {

using namespace std::chrono_literals;

constexpr auto look_interval = 1s;
constexpr auto trouble_interval = 5s;
constexpr auto patience_at_end = 2s;
constexpr std::size_t at_once = 32;  // they may have a megabyte each

kafka::RecordPublisher make_publisher(const DeadLetterCopier::Settings& settings) {
  return {settings.brokers, settings.properties, "daybook-dead-letters"};
}

}  // namespace

kafka::Outgoing dead_letter_copy(const sql::StoredDeadLetter& letter, const std::string& view,
                                 const std::string& topic) {
  kafka::Outgoing copy{{topic, kafka::any_partition}, letter.record};
  auto& headers = copy.record.headers;
  headers.emplace_back("daybook_view", view);
  headers.emplace_back("daybook_topic", letter.partition.topic);
  headers.emplace_back("daybook_partition", std::to_string(letter.partition.partition));
  headers.emplace_back("daybook_offset", std::to_string(letter.offset));
  headers.emplace_back("daybook_code", letter.code);
  headers.emplace_back("daybook_detail", letter.detail);
  if (letter.record_time) headers.emplace_back("daybook_time", *letter.record_time);
  return copy;
}

DeadLetterCopier::DeadLetterCopier(Settings settings, std::string view, int generation)
    : settings_(std::move(settings)),
      view_(std::move(view)),
      generation_(generation),
      publisher_(make_publisher(settings_)),
      thread_([this] { run(); }) {}

void DeadLetterCopier::check(const Settings& settings) { make_publisher(settings); }

DeadLetterCopier::~DeadLetterCopier() {
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
    give_up_at_ = std::chrono::steady_clock::now() + patience_at_end;
  }
  changed_.notify_all();
  thread_.join();
}

bool DeadLetterCopier::is_out_of_time() {
  const std::lock_guard lock(mutex_);
  return std::chrono::steady_clock::now() >= give_up_at_;
}

void DeadLetterCopier::run() {
  std::unique_lock lock(mutex_);
  for (;;) {
    const bool is_last = ending_;
    lock.unlock();
    try {
      if (is_publisher_broken_) publisher_ = make_publisher(settings_);
      is_publisher_broken_ = false;
      copy_all();
      if (!trouble_.empty()) spdlog::info("{}: dead letters are copied to {} again", view_, settings_.topic);
      trouble_.clear();
    } catch (const std::exception& error) {
      connection_.reset();
      if (trouble_ != error.what()) {
        spdlog::warn("{}: dead letters are not copied to {}, the view goes on: {}; trying again", view_,
                     settings_.topic, error.what());
      }
      trouble_ = error.what();
    }
    lock.lock();
    if (is_last) return;
    changed_.wait_for(lock, trouble_.empty() ? look_interval : trouble_interval, [this] { return ending_; });
  }
}

void DeadLetterCopier::copy_all() {
  if (!connection_ || !connection_->is_open()) {
    is_ours_ = false;
    connection_ = postgres::connect(settings_.database, "daybook-dead-letters/" + view_);
    postgres::bound_statements(*connection_, 5s);  // a locked table must not hold up the worker's end
  }
  if (!is_ours_) is_ours_ = sql::try_begin(*connection_, generation_, sql::DeadLetterTask::copy);
  if (!is_ours_) return;
  while (!is_out_of_time()) {
    const std::vector<sql::StoredDeadLetter> letters = sql::not_copied(*connection_, generation_, at_once);
    if (letters.empty()) return;
    std::vector<kafka::Outgoing> copies;
    for (const sql::StoredDeadLetter& letter : letters)
      copies.push_back(dead_letter_copy(letter, view_, settings_.topic));
    publish(std::move(copies), letters);
  }
}

// Publishes and marks them. Throws RetryError when some did not arrive, once the others are marked.
void DeadLetterCopier::publish(std::vector<kafka::Outgoing> copies, const std::vector<sql::StoredDeadLetter>& letters) {
  const auto give_up = [this] { return is_out_of_time(); };
  is_publisher_broken_ = true;  // until all are delivered: a client may have failed for good
  std::vector<kafka::Delivery> deliveries = publisher_.publish(copies, give_up);
  std::vector<std::int64_t> copied;
  std::string failure;
  for (std::size_t i = 0; i < letters.size(); ++i) {
    if (deliveries[i].too_large()) {
      // With its headers the record is larger than the topic takes. What it is about arrives; the table has all of it.
      copies[i].record.value = "";
      copies[i].record.headers.emplace_back("daybook_value_bytes", std::to_string(letters[i].value_bytes));
      deliveries[i] = publisher_.publish({&copies[i], 1}, give_up).front();
    }
    if (deliveries[i].too_large()) {
      copies[i].record.key.reset();
      std::erase_if(copies[i].record.headers,
                    [](const auto& header) { return header.first.rfind("daybook_", 0) != 0; });
      deliveries[i] = publisher_.publish({&copies[i], 1}, give_up).front();
    }
    if (deliveries[i].delivered()) {
      copied.push_back(letters[i].id);
    } else {
      failure = rd_kafka_err2str(deliveries[i].error);
    }
  }
  sql::mark_copied(*connection_, generation_, copied);
  if (!failure.empty()) throw RetryError("topic " + settings_.topic + ": " + failure);
  is_publisher_broken_ = false;
}

}  // namespace daybook
