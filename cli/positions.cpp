// `daybook positions`: where a view is in the log, and moving it.
#include "sql/positions.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <iostream>
#include <nlohmann/json.hpp>

#include "cli/command.h"
#include "core/civil_time.h"
#include "core/error.h"
#include "kafka/client.h"
#include "sql/apply.h"

namespace daybook {
namespace {

constexpr std::chrono::milliseconds broker_patience{10'000};

struct PositionsOptions {
  std::string view;
  BrokerOptions broker;
  DatabaseOptions database;
  bool json = false;
  std::string to;
  std::vector<std::string> partitions;
  bool yes = false;
};

kafka::Client make_asker(const BrokerOptions& broker) {
  kafka::ClientSettings settings;
  settings.role = kafka::Role::consumer;
  settings.brokers = broker.brokers;
  settings.users = kafka::parse_properties(broker.properties);
  settings.ours = {{"isolation.level", "read_committed"}};
  settings.optional = {{"client.id", "daybook-positions"}};
  return kafka::make_client(settings);
}

struct Row {
  sql::StoredPosition stored;
  kafka::Watermarks log;
  std::int64_t lag() const { return std::max<std::int64_t>(0, log.high - stored.next); }
};

std::vector<Row> rows_of(pqxx::connection& connection, int generation, rd_kafka_t* client) {
  std::vector<Row> rows;
  for (sql::StoredPosition& stored : sql::stored_positions(connection, generation)) {
    const kafka::Watermarks log = kafka::watermarks(client, stored.name, broker_patience);
    rows.push_back({std::move(stored), log});
  }
  return rows;
}

int show(const PositionsOptions& options) {
  const postgres::Connection connection = postgres::connect(options.database.uri, "daybook-positions");
  const sql::Generation generation = sql::require_generation(*connection, options.view);
  const kafka::Client client = make_asker(options.broker);
  const std::vector<Row> rows = rows_of(*connection, generation.id, client.get());
  if (options.json) {
    nlohmann::ordered_json report = {{"view", options.view}, {"generation", generation.id}, {"paused", nullptr}};
    if (generation.paused) report["paused"] = *generation.paused;
    report["partitions"] = nlohmann::ordered_json::array();
    for (const Row& row : rows) {
      report["partitions"].push_back({{"topic", row.stored.name.topic},
                                      {"partition", row.stored.name.partition},
                                      {"start", row.stored.start},
                                      {"next", row.stored.next},
                                      {"log_begin", row.log.low},
                                      {"log_end", row.log.high},
                                      {"lag", row.lag()},
                                      {"owner", row.stored.owner},
                                      {"epoch", row.stored.epoch},
                                      {"quiet_seconds", row.stored.quiet_seconds}});
    }
    std::printf("%s\n", report.dump().c_str());
    return exit_code::ok;
  }
  if (generation.paused) std::printf("%s is paused: %s\n", options.view.c_str(), generation.paused->c_str());
  std::printf("%-40s %14s %14s %14s %12s  %s\n", "partition", "next", "log begins", "log ends", "lag", "owner");
  std::int64_t lag = 0;
  for (const Row& row : rows) {
    lag += row.lag();
    std::printf("%-40s %14lld %14lld %14lld %12lld  %s\n", to_string(row.stored.name).c_str(),
                static_cast<long long>(row.stored.next), static_cast<long long>(row.log.low),
                static_cast<long long>(row.log.high), static_cast<long long>(row.lag()), row.stored.owner.c_str());
  }
  std::printf("%zu partitions, lag %lld\n", rows.size(), static_cast<long long>(lag));
  return exit_code::ok;
}

// Where --to names a moment: the first record of each partition at or after it.
Positions offsets_at(rd_kafka_t* client, const std::vector<Row>& rows, const std::string& text) {
  const std::optional<std::int64_t> seconds = parse_instant(text);
  if (!seconds) {
    throw UsageError("--to " + text +
                     ": expected earliest, latest, current, an offset, or a date-time such as 2026-11-23T00:00:00Z");
  }
  Positions wanted;
  for (const Row& row : rows) wanted[row.stored.name] = *seconds * 1000;
  return kafka::offsets_at(client, wanted, broker_patience);
}

Positions targets(const PositionsOptions& options, rd_kafka_t* client, const std::vector<Row>& rows) {
  Positions to;
  const bool is_offset = options.to.find_first_not_of("0123456789") == std::string::npos && options.to.size() <= 18;
  if (options.to != "earliest" && options.to != "latest" && options.to != "current" && !is_offset)
    return offsets_at(client, rows, options.to);
  for (const Row& row : rows) {
    std::int64_t& target = to[row.stored.name];
    if (options.to == "earliest") target = row.log.low;
    if (options.to == "latest") target = row.log.high;
    if (options.to == "current") target = row.stored.next;
    if (is_offset) target = std::stoll(options.to);
    if (is_offset && (target < row.log.low || target > row.log.high)) {
      throw UsageError("--to " + options.to + ": the log of " + to_string(row.stored.name) + " has offsets " +
                       std::to_string(row.log.low) + " to " + std::to_string(row.log.high));
    }
  }
  return to;
}

// The chosen partitions only. Throws UsageError for those that the view does not read, all at once.
std::vector<Row> chosen(std::vector<Row> rows, const PositionsOptions& options) {
  if (options.partitions.empty()) return rows;
  std::string unknown;
  std::vector<Row> kept;
  for (const std::string& name : options.partitions) {
    const auto found =
        std::find_if(rows.begin(), rows.end(), [&name](const Row& row) { return to_string(row.stored.name) == name; });
    if (found == rows.end()) {
      unknown += (unknown.empty() ? "" : "; ") + ("--partition " + name + ": the view reads no such partition");
    } else {
      kept.push_back(*found);
    }
  }
  if (!unknown.empty()) throw UsageError(unknown);
  return kept;
}

void describe(const std::vector<Row>& rows, const Positions& to) {
  for (const Row& row : rows) {
    const std::int64_t from = row.stored.next;
    const std::int64_t target = to.at(row.stored.name);
    const std::string what = target > from   ? std::to_string(target - from) + " offsets are skipped"
                             : target < from ? std::to_string(from - target) + " offsets are read again"
                                             : "stays";
    std::printf("  %-40s %lld -> %lld: %s\n", to_string(row.stored.name).c_str(), static_cast<long long>(from),
                static_cast<long long>(target), what.c_str());
  }
  std::printf(
      "What this does to the rows:\n"
      "  skipped      what these records say is missing from the rows for good; verify leaves them out, too\n"
      "  read again   events that the view remembers (its deduplication window) change nothing; others count twice\n"
      "  in any case  a pause ends, and whatever the log now holds before the positions is accepted unchecked\n");
}

bool is_confirmed(const PositionsOptions& options) {
  if (options.yes) return true;
  if (isatty(STDIN_FILENO) == 0) {
    throw UsageError("nothing was moved: give --yes to move positions without being asked");
  }
  std::printf("Type the view's name to go on: ");
  std::fflush(stdout);
  std::string answer;
  std::getline(std::cin, answer);
  return answer == options.view;
}

int move(const PositionsOptions& options) {
  const postgres::Connection connection = postgres::connect(options.database.uri, "daybook-positions");
  const sql::Generation generation = sql::require_generation(*connection, options.view);
  const kafka::Client client = make_asker(options.broker);
  const std::vector<Row> rows = chosen(rows_of(*connection, generation.id, client.get()), options);
  if (rows.empty()) throw StopError("view " + options.view + " has no positions yet: no worker has read for it");
  const Positions to = targets(options, client.get(), rows);
  describe(rows, to);
  if (!is_confirmed(options)) {
    std::printf("nothing was moved\n");
    return exit_code::usage;
  }
  sql::move_positions(*connection, generation.id, to);
  std::printf("moved; workers that run read on from there\n");
  return exit_code::ok;
}

void add_common(CLI::App& command, PositionsOptions& options) {
  command.add_option("VIEW", options.view, "The view's name")->required();
  add_broker_options(command, options.broker);
  add_database_options(command, options.database);
}

}  // namespace

void add_positions_command(CLI::App& app, int& code) {
  CLI::App* positions = app.add_subcommand("positions", "Show where a view is in the log, or move it");
  positions->require_subcommand(1);
  positions->footer("Example:\n  daybook positions show dashboard_daily_summary");

  auto options = std::make_shared<PositionsOptions>();
  CLI::App* show_command = positions->add_subcommand("show", "Each partition's position, the log's range, and the lag");
  add_common(*show_command, *options);
  show_command->add_flag("--json", options->json, "Print one JSON object");
  show_command->footer("Example:\n  daybook positions show dashboard_daily_summary --json");
  show_command->callback([options, &code] { code = show(*options); });

  CLI::App* move_command = positions->add_subcommand("move", "Read on from elsewhere; says what that does and asks");
  add_common(*move_command, *options);
  move_command
      ->add_option("--to", options->to,
                   "earliest, latest, current (only ends a pause and accepts the log), an offset, or a date-time")
      ->required();
  move_command->add_option("--partition", options->partitions, "TOPIC/NUMBER; may be repeated; default: all");
  move_command->add_flag("--yes", options->yes, "Do not ask");
  move_command->footer("Example:\n  daybook positions move dashboard_daily_summary --to 2026-11-23T00:00:00Z");
  move_command->callback([options, &code] { code = move(*options); });
}

}  // namespace daybook
