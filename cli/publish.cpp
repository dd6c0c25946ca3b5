// `daybook publish`: lines of JSON become events on Kafka.
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>
#include <optional>

#include "cli/command.h"
#include "core/error.h"
#include "producer/event_line.h"
#include "producer/line_reader.h"
#include "producer/session.h"

namespace daybook {
namespace {

struct PublishOptions {
  std::vector<std::string> files;
  std::string system;
  std::string schemas;
  publishing::LineSettings lines;
  BrokerOptions broker;
  int create_topics = 0;
  int timeout_seconds = 30;
  bool dry_run = false;
  bool json = false;
};

class Publish {
 public:
  explicit Publish(const PublishOptions& options) : options_(options), lines_(options.lines, &schemas_) {}

  int run() {
    if (!options_.system.empty()) {
      const std::string directory =
          options_.schemas.empty() ? publishing::default_schemas_directory(options_.system) : options_.schemas;
      schemas_ = publishing::load_event_schemas(directory, options_.system);
    }
    check_options();
    const publishing::Interruption interruption;
    if (!options_.dry_run) {
      session_.emplace(publishing::SessionSettings{options_.broker.brokers, options_.broker.properties,
                                                   std::chrono::seconds(options_.timeout_seconds),
                                                   options_.create_topics});
    }
    try {
      for (const std::string& file : options_.files) {
        if (!publish_file(file)) break;
      }
    } catch (const StopError&) {
      progress_.clear();
      finish();  // what was accepted before arrives all the same
      throw;
    }
    progress_.clear();
    finish();
    if (publishing::Interruption::asked()) return exit_code::stopped;
    return refused_ == 0 ? exit_code::ok : exit_code::found;
  }

 private:
  void check_options() const {
    std::string mistakes;
    const auto add_mistake = [&mistakes](const std::string& text) {
      mistakes += (mistakes.empty() ? "" : "; ") + text;
    };
    if (options_.system.empty() && options_.lines.topic.empty()) {
      add_mistake("give --system NAME (topics come from its event schemas) or --topic NAME");
    }
    if (options_.system.empty() && !options_.schemas.empty()) add_mistake("--schemas needs --system NAME");
    for (const std::string& file : options_.files) {
      if (file != "-" && access(file.c_str(), R_OK) != 0)
        add_mistake(file + ": can't be read: " + std::strerror(errno));
    }
    if (!options_.lines.type.empty() && !schemas_.empty() && schemas_.count(options_.lines.type) == 0) {
      std::string known;
      for (const auto& [type, schema] : schemas_) known += (known.empty() ? "" : ", ") + type;
      add_mistake("--type " + options_.lines.type + ": no event schema of " + options_.system +
                  " declares it; there are " + known);
    }
    if (!mistakes.empty()) throw UsageError(mistakes);
  }

  // False: stop reading.
  bool publish_file(const std::string& path) {
    publishing::LineReader reader(path);
    publishing::LineReader::Line line;
    while (!publishing::Interruption::asked() && reader.next(line)) {
      last_read_ = reader.name() + ":" + std::to_string(line.number);
      if (line.too_long) {
        refuse({{"", "longer than " + std::to_string(publishing::LineReader::longest_line) + " bytes"}});
      } else if (line.text.find_first_not_of(" \t\r") != std::string_view::npos) {
        publish_line(line.text);
      }
      if (session_ && session_->lost()) return false;
      progress_.show(accepted_);
    }
    return !publishing::Interruption::asked();
  }

  void publish_line(std::string_view text) {
    const std::vector<publishing::Refusal> refusals = lines_.convert(text, event_);
    if (!refusals.empty()) return refuse(refusals);
    if (session_) {
      session_->ready(event_.topic);
      try {
        session_->producer().publish_event(event_.topic, event_.key, event_.value);
      } catch (const UsageError& error) {  // too large: this line's fault
        return refuse({{"", error.what()}});
      }
    }
    ++accepted_;
  }

  void refuse(const std::vector<publishing::Refusal>& refusals) {
    ++refused_;
    progress_.clear();
    for (const publishing::Refusal& refusal : refusals) {
      const std::string pointer = refusal.pointer.empty() ? "" : refusal.pointer + ": ";
      std::fprintf(stderr, "%s: %s%s\n", last_read_.c_str(), pointer.c_str(), refusal.reason.c_str());
    }
  }

  void finish() {
    if (publishing::Interruption::asked()) {
      std::fprintf(stderr, "daybook: interrupted; %s is the last line read\n",
                   last_read_.empty() ? "none" : last_read_.c_str());
    }
    nlohmann::ordered_json summary;
    if (session_) {
      summary["refused"] = refused_;
      session_->finish(options_.json, std::move(summary));
    } else if (options_.json) {
      summary["published"] = 0;
      summary["valid"] = accepted_;
      summary["refused"] = refused_;
      std::printf("%s\n", summary.dump().c_str());
    } else {
      std::printf("%s valid, %s refused\n", publishing::with_commas(accepted_).c_str(),
                  publishing::with_commas(refused_).c_str());
    }
  }

  const PublishOptions& options_;
  publishing::EventSchemas schemas_;
  publishing::EventLines lines_;
  publishing::OutgoingEvent event_;
  std::optional<publishing::Session> session_;
  publishing::Progress progress_;
  std::string last_read_;
  std::uint64_t accepted_ = 0;
  std::uint64_t refused_ = 0;
};

}  // namespace

void add_publish_command(CLI::App& app, int& code) {
  CLI::App& command = *app.add_subcommand("publish", "Publish events from lines of JSON (NDJSON)");
  const auto options = std::make_shared<PublishOptions>();
  options->files = {"-"};
  command.add_option("files", options->files, "Files to read; - or none is standard input")->option_text("FILE ...");
  command.add_option("--system", options->system, "Validate and route by schemas/NAME/events/*.json")
      ->option_text("NAME");
  command
      .add_option("--schemas", options->schemas,
                  "The folder of all systems' schemas; else ./schemas, else the installed one")
      ->option_text("DIR");
  command.add_option("--topic", options->lines.topic, "Publish to this topic, whatever the schemas say")
      ->option_text("NAME");
  command.add_option("--source", options->lines.source, "The source of events that have none")->option_text("URI");
  command.add_option("--type", options->lines.type, "Lines without specversion are the data of events of this type")
      ->option_text("TYPE");
  command.add_option("--create-topics", options->create_topics, "Create missing topics with that many partitions")
      ->check(CLI::Range(1, 10'000))
      ->option_text("PARTITIONS");
  command.add_option("--timeout", options->timeout_seconds, "How long to wait for the broker, in seconds")
      ->check(CLI::Range(1, 86'400))
      ->capture_default_str()
      ->option_text("SECONDS");
  command.add_flag("--dry-run", options->dry_run, "Validate only; needs no broker");
  command.add_flag("--json", options->json, "Print the result as one JSON object");
  add_broker_options(command, options->broker);
  command.footer(
      "Prints the position after the last event of each partition, TOPIC/PARTITION@NEXT_OFFSET a line.\n"
      "Refused lines are named on standard error, FILE:LINE: POINTER: REASON, and make the exit code 1.\n\n"
      "Example: daybook publish --system bloodbank --brokers localhost:9092 events.ndjson");
  command.callback([options, &code] { code = Publish(*options).run(); });
}

}  // namespace daybook
