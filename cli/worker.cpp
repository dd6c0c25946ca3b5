// `daybook worker`: keeps views up to date until it is told to stop.
#include "worker/worker.h"

#include <spdlog/spdlog.h>

#include <atomic>
#include <csignal>
#include <memory>

#include "cli/command.h"
#include "core/definition_reader.h"
#include "core/error.h"
#include "core/names.h"
#include "http/small_server.h"
#include "ops/endpoint.h"

namespace daybook {
namespace {

std::atomic<bool> stop_requested{false};

void request_stop(int) { stop_requested = true; }

struct Options {
  std::vector<std::string> views;
  BrokerOptions broker;
  DatabaseOptions database;
  bool once = false;
  double flood_share = Limits{}.flood_share;
  std::size_t flood_records = Limits{}.flood_records;
  std::string dead_letter_topic;
  std::string http;
  bool http_anywhere = false;
};

// Copies that come back through the view's own topic would become dead letters again, for ever.
void check_dead_letter_topic(const std::string& topic, const std::vector<ViewDefinition>& views) {
  if (topic.empty()) return;
  if (!is_topic_name(topic)) {
    throw UsageError("--dead-letter-topic " + topic + ": expected a topic's name: letters, digits, '.', '_' and '-'");
  }
  for (const ViewDefinition& view : views) {
    for (const std::string& read : view.topics()) {
      if (read == topic)
        throw UsageError("--dead-letter-topic " + topic + ": view " + view.name + " reads it; name another topic");
    }
  }
}

// Health and metrics, when they are asked for; listening when this returns.
std::unique_ptr<http::SmallServer> serve(const Options& options, const StatusBoard& board) {
  if (options.http.empty()) {
    if (options.http_anywhere) throw UsageError("--http-anywhere needs an address: give --http IP:PORT");
    return nullptr;
  }
  const http::Address address = http::parse_address(options.http);
  if (!address.is_loopback && !options.http_anywhere) {
    throw UsageError("--http " + options.http +
                     " is reachable from other machines, without password or encryption: give a loopback address such"
                     " as 127.0.0.1:9464, or say that this is meant with --http-anywhere");
  }
  auto server =
      std::make_unique<http::SmallServer>(address, http::ServerLimits{}, [&board](const http::Request& request) {
        return ops::answer(request,
                           {DAYBOOK_VERSION, board.all(), ops::process_figures(), std::chrono::steady_clock::now()});
      });
  spdlog::info("http: health and metrics on http://{}", server->address());
  return server;
}

}  // namespace

void add_worker_command(CLI::App& app, int& code) {
  auto* command = app.add_subcommand("worker", "Keep views up to date: read events, commit rows, exactly once");
  command->footer(
      "Any number of workers share the partitions of a view; start and stop them at any time. SIGTERM ends one "
      "cleanly.\n"
      "Example:\n  daybook worker --view schemas/bloodbank/views/dashboard_daily_summary.json --brokers localhost:9092 "
      "\\\n"
      "    --database postgresql://localhost/daybook");
  auto options = std::make_shared<Options>();
  command->add_option("--view", options->views, "A view definition; may be repeated")
      ->envname("DAYBOOK_VIEWS")
      ->required();
  add_broker_options(*command, options->broker);
  add_database_options(*command, options->database);
  command->add_flag("--once", options->once,
                    "End once everything in the log is applied; exit 3 when broker or database do not answer for 30 s");
  command
      ->add_option(
          "--flood-share", options->flood_share,
          "More than this share of dead letters among the last --flood-records events pauses the view; 1: never")
      ->envname("DAYBOOK_FLOOD_SHARE")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str();
  command->add_option("--flood-records", options->flood_records, "How many of the last events are looked at")
      ->envname("DAYBOOK_FLOOD_RECORDS")
      ->check(CLI::Range(std::size_t{10}, std::size_t{1'000'000}))
      ->capture_default_str();
  command
      ->add_option("--dead-letter-topic", options->dead_letter_topic,
                   "A topic that gets a copy of each dead letter; it has to exist")
      ->envname("DAYBOOK_DEAD_LETTER_TOPIC");
  command
      ->add_option(
          "--http", options->http,
          "Answer /livez, /readyz, /healthz and /metrics on this IP:PORT; port 0: a free one, which the log names")
      ->envname("DAYBOOK_HTTP");
  command->add_flag("--http-anywhere", options->http_anywhere, "Let --http be an address that other machines reach")
      ->envname("DAYBOOK_HTTP_ANYWHERE");
  command->callback([options, &code] {
    const std::vector<ViewDefinition> views = load_definitions(options->views);
    check_dead_letter_topic(options->dead_letter_topic, views);
    std::signal(SIGTERM, request_stop);
    std::signal(SIGINT, request_stop);
    WorkerSettings settings;
    settings.brokers = options->broker.brokers;
    settings.properties = kafka::parse_properties(options->broker.properties);
    settings.database = options->database.uri;
    settings.once = options->once;
    settings.limits.flood_share = options->flood_share;
    settings.limits.flood_records = options->flood_records;
    settings.dead_letter_topic = options->dead_letter_topic;
    std::vector<std::string> names;
    for (const ViewDefinition& view : views) names.push_back(view.name);
    StatusBoard board(names);
    const std::unique_ptr<http::SmallServer> server = serve(*options, board);
    if (server) settings.board = &board;
    run_worker(settings, views, stop_requested);
    code = exit_code::ok;
  });
}

}  // namespace daybook
