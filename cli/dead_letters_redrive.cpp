// `daybook dead-letters redrive`: publishes dead letters again, each marked for its view, in the order of the log.
//
// Published first, recorded second: a crash in between publishes an event a second time when the command is repeated,
// and the view drops the copy by the event's identity. Recorded first it could be lost.
#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "cli/dead_letters.h"
#include "cli/dead_letters_shown.h"
#include "core/definition_reader.h"
#include "core/error.h"
#include "kafka/record_publisher.h"
#include "producer/redrive.h"
#include "producer/session.h"
#include "sql/apply.h"

namespace daybook {
namespace {

constexpr std::chrono::milliseconds broker_patience{10'000};
constexpr std::size_t page = 32;  // letters in memory at a time: each may have a megabyte

class Redrive {
 public:
  explicit Redrive(const DeadLettersOptions& options)
      : options_(options),
        corrections_(publishing::parse_corrections(options.corrections)),
        publisher_(options.broker.brokers, kafka::parse_properties(options.broker.properties), "daybook-redrive"),
        connection_(postgres::connect(options.database.uri, "daybook-redrive")),
        generation_(sql::require_generation(*connection_, options.view).id),
        definition_(stored_definition()) {}

  int run() {
    if (!sql::try_begin(*connection_, generation_, sql::DeadLetterTask::redrive)) {
      throw StopError("another `daybook dead-letters redrive " + options_.view + "` is under way: wait for its end");
    }
    const Selection selection = select(*connection_, generation_, options_);
    if (selection.count == 0) return say_nothing_matches(options_, "redriven");
    check_cluster();
    const std::string what = "publish " + shown::counted(selection.count) + " of " + options_.view + " (" +
                             selection.codes + ") again to " + selection.topics;
    if (!is_confirmed(options_, what)) {
      std::fprintf(stderr, "nothing was redriven\n");
      return exit_code::usage;
    }
    const publishing::Interruption interruption;
    try {
      redrive(selection);
    } catch (...) {
      say(selection);
      throw;
    }
    say(selection);
    if (publishing::Interruption::asked()) return exit_code::stopped;
    return refused_ == 0 ? exit_code::ok : exit_code::found;
  }

 private:
  // What the view's topics are read as.
  ViewDefinition stored_definition() {
    DefinitionOrMistakes read =
        read_stored_definition(sql::require_generation(*connection_, options_.view).definition_text, "{}");
    if (const auto* mistakes = std::get_if<std::vector<DefinitionMistake>>(&read)) {
      throw StopError("the definition of view " + options_.view + " in the database can't be read: " +
                      to_string(mistakes->front()) + ": run the daybook that made the view, or a newer one");
    }
    return std::get<ViewDefinition>(std::move(read));
  }

  // Published to another cluster's topic of the same name the events would be lost to this view.
  void check_cluster() {
    const std::optional<std::string> reads = sql::cluster_of(*connection_, generation_);
    const std::string found = ask_cluster();
    if (reads && *reads != found) {
      throw StopError("view " + options_.view + " reads the Kafka cluster " + *reads +
                      ", these brokers are of cluster " + found + ": give the right --brokers");
    }
  }

  std::string ask_cluster() {
    try {
      return kafka::cluster_id(publisher_.client(), broker_patience);
    } catch (const RetryError&) {
      throw RetryError("broker " + options_.broker.brokers + " does not answer within 10 s: nothing was redriven");
    }
  }

  void redrive(const Selection& selection) {
    std::vector<sql::StoredDeadLetter> letters;
    std::int64_t left = selection.count;
    while (left > 0 && !publishing::Interruption::asked()) {
      const auto limit = static_cast<std::size_t>(std::min<std::int64_t>(left, page));
      const std::optional<sql::StoredDeadLetter> after = letters.empty() ? std::nullopt : std::optional(letters.back());
      letters = sql::dead_letters(*connection_, generation_, selection.filter, limit, sql::WithValues::yes,
                                  after ? &*after : nullptr);
      if (letters.empty()) return;  // others were settled meanwhile
      left -= static_cast<std::int64_t>(letters.size());
      redrive_page(letters, selection.count);
    }
  }

  void redrive_page(const std::vector<sql::StoredDeadLetter>& letters, std::int64_t count) {
    std::vector<OwnedRecord> records;
    std::vector<const sql::StoredDeadLetter*> origins;
    for (const sql::StoredDeadLetter& letter : letters) {
      const std::string position = std::to_string(letter.partition.partition) + "/" + std::to_string(letter.offset);
      auto form = publishing::redriven(letter.record, options_.view, corrections_,
                                       definition_.envelope(letter.partition.topic), position);
      if (const auto* why = std::get_if<publishing::NotRedrivable>(&form)) {
        refuse(letter, why->reason);
        continue;
      }
      records.push_back(std::get<OwnedRecord>(std::move(form)));
      origins.push_back(&letter);
    }
    for (std::size_t begin = 0; begin < records.size() && !publishing::Interruption::asked();) {
      const std::size_t size = publishing::in_flight_together(records, begin, page);
      std::vector<kafka::Outgoing> group;
      for (std::size_t i = begin; i < begin + size; ++i)
        group.push_back({origins[i]->partition, std::move(records[i])});
      publish(group, origins.data() + begin);
      begin += size;
      show_progress(count);
    }
  }

  void publish(const std::vector<kafka::Outgoing>& group, const sql::StoredDeadLetter* const* origins) {
    const std::vector<kafka::Delivery> deliveries = publisher_.publish(group);
    std::vector<sql::Redriven> done;
    std::string failure;
    for (std::size_t i = 0; i < group.size(); ++i) {
      const kafka::Delivery& delivery = deliveries[i];
      if (delivery.delivered()) {
        done.push_back({origins[i]->id, delivery.partition, delivery.offset});
        std::int64_t& next = positions_[{group[i].to.topic, delivery.partition}];
        next = std::max(next, delivery.offset + 1);
      } else if (delivery.too_large()) {
        refuse(*origins[i], "it is too large for the topic");
      } else {
        failure = to_string(group[i].to) + ": " + rd_kafka_err2str(delivery.error);
      }
    }
    sql::mark_redriven(*connection_, generation_, done);
    redriven_ += static_cast<std::int64_t>(done.size());
    if (!failure.empty()) throw RetryError("not all were published, the rest stays as it is: " + failure);
  }

  void refuse(const sql::StoredDeadLetter& letter, const std::string& why) {
    ++refused_;
    clear_progress();
    std::fprintf(stderr, "%s (id %lld): not redriven: %s\n", to_string(letter.partition, letter.offset).c_str(),
                 static_cast<long long>(letter.id), why.c_str());
  }

  void show_progress(std::int64_t count) {
    if (isatty(STDERR_FILENO) == 0) return;
    std::fprintf(stderr, "\r%lld of %lld redriven", static_cast<long long>(redriven_), static_cast<long long>(count));
    progress_shown_ = true;
  }

  void clear_progress() {
    if (progress_shown_) std::fprintf(stderr, "\r\033[K");
    progress_shown_ = false;
  }

  void say(const Selection& selection) {
    clear_progress();
    const std::int64_t left = selection.count - redriven_ - refused_;
    if (options_.json) {
      nlohmann::ordered_json report = {
          {"view", options_.view}, {"redriven", redriven_}, {"refused", refused_}, {"left", left}};
      report["positions"] = nlohmann::ordered_json::object();
      for (const auto& [partition, next] : positions_) report["positions"][to_string(partition)] = next;
      shown::print(report);
      return;
    }
    std::printf("%lld redriven", static_cast<long long>(redriven_));
    if (refused_ > 0) std::printf(", %lld can't be and stay as they are", static_cast<long long>(refused_));
    if (left > 0) std::printf(", %lld left", static_cast<long long>(left));
    std::printf("\n");
    std::fflush(stdout);
  }

  const DeadLettersOptions& options_;
  const std::vector<publishing::Correction> corrections_;
  kafka::RecordPublisher publisher_;
  const postgres::Connection connection_;
  const int generation_;
  const ViewDefinition definition_;
  std::int64_t redriven_ = 0;
  std::int64_t refused_ = 0;
  Positions positions_;  // after the last redriven record of each partition
  bool progress_shown_ = false;
};

}  // namespace

int redrive(const DeadLettersOptions& options) { return Redrive(options).run(); }

}  // namespace daybook
