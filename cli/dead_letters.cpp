// `daybook dead-letters`: look at what could not be applied, publish it again, or set it aside. docs/dead-letters.md.
#include "cli/dead_letters.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <iostream>
#include <memory>

#include "cli/dead_letters_shown.h"
#include "core/civil_time.h"
#include "core/error.h"
#include "sql/apply.h"

namespace daybook {
namespace {

// "5", "5..9", "5.." or "..9"
void parse_offsets(const std::string& text, sql::DeadLetterFilter& filter) {
  const auto number = [&text](const std::string& digits) -> std::optional<std::int64_t> {
    if (digits.empty()) return std::nullopt;
    if (digits.size() > 18 || digits.find_first_not_of("0123456789") != std::string::npos)
      throw UsageError("--offset " + text + ": expected an offset or a range such as 5..9, 5.. or ..9");
    return std::stoll(digits);
  };
  const std::size_t dots = text.find("..");
  filter.from_offset = number(text.substr(0, dots));
  filter.to_offset = dots == std::string::npos ? filter.from_offset : number(text.substr(dots + 2));
}

std::optional<std::int64_t> parse_moment(const char* option, const std::string& text) {
  if (text.empty()) return std::nullopt;
  const std::optional<std::int64_t> seconds = parse_instant(text);
  if (!seconds)
    throw UsageError(std::string(option) + " " + text + ": expected a date-time such as 2026-11-23T00:00:00Z");
  return seconds;
}

sql::DeadLetterFilter filter_of(const DeadLettersOptions& options) {
  sql::DeadLetterFilter filter = options.filter;
  if (options.state != "all") filter.states = {options.state};
  if (!options.offsets.empty()) parse_offsets(options.offsets, filter);
  filter.since = parse_moment("--since", options.since);
  filter.until = parse_moment("--until", options.until);
  return filter;
}

// ---- list, show ----

int list(const DeadLettersOptions& options) {
  const sql::DeadLetterFilter filter = filter_of(options);
  const postgres::Connection connection = postgres::connect(options.database.uri, "daybook-dead-letters");
  const sql::Generation generation = sql::require_generation(*connection, options.view);
  const auto counts = sql::count_dead_letters(*connection, generation.id, filter);
  const auto letters = sql::dead_letters(*connection, generation.id, filter, options.limit, sql::WithValues::no);
  if (options.json) {
    nlohmann::ordered_json report = {{"view", options.view}, {"total", shown::total(counts)}};
    report["by_code"] = nlohmann::ordered_json::object();
    for (const sql::DeadLetterCount& one : counts) {
      nlohmann::ordered_json& sum = report["by_code"][one.code];
      sum = (sum.is_null() ? 0 : sum.get<std::int64_t>()) + one.count;
    }
    report["dead_letters"] = nlohmann::ordered_json::array();
    for (const auto& letter : letters) report["dead_letters"].push_back(shown::as_json(letter, sql::WithValues::no));
    shown::print(report);
    return exit_code::ok;
  }
  if (letters.empty()) {
    std::printf("no %sdead letters match\n", options.state == "all" ? "" : (options.state + " ").c_str());
    return exit_code::ok;
  }
  std::fputs(shown::list(letters).c_str(), stdout);
  std::printf("%s (%s), %zu shown\n", shown::counted(shown::total(counts), options.state).c_str(),
              shown::by_code(counts).c_str(), letters.size());
  return exit_code::ok;
}

int show(const DeadLettersOptions& options) {
  const sql::DeadLetterFilter filter = filter_of(options);
  const postgres::Connection connection = postgres::connect(options.database.uri, "daybook-dead-letters");
  const sql::Generation generation = sql::require_generation(*connection, options.view);
  const auto letters = sql::dead_letters(*connection, generation.id, filter, options.limit, sql::WithValues::yes);
  if (options.raw) {
    if (letters.size() != 1) {
      throw UsageError("--raw prints the value of one dead letter, " + std::to_string(letters.size()) +
                       " match: name it with --id");
    }
    const std::string value = letters.front().record.value.value_or("");
    std::fwrite(value.data(), 1, value.size(), stdout);
    return exit_code::ok;
  }
  if (options.json) {
    nlohmann::ordered_json report = {{"view", options.view}, {"dead_letters", nlohmann::ordered_json::array()}};
    for (const auto& letter : letters) report["dead_letters"].push_back(shown::as_json(letter, sql::WithValues::yes));
    shown::print(report);
    return exit_code::ok;
  }
  if (letters.empty()) std::printf("no dead letters match\n");
  for (const auto& letter : letters) std::fputs(shown::whole(letter).c_str(), stdout);
  return exit_code::ok;
}

// ---- discard; redrive is in dead_letters_redrive.cpp ----

}  // namespace

Selection select(pqxx::connection& connection, int generation, const DeadLettersOptions& options) {
  Selection selection{filter_of(options), 0, "", ""};
  const auto counts = sql::count_dead_letters(connection, generation, selection.filter);
  std::vector<std::string> topics;
  std::int64_t newest = 0;
  for (const sql::DeadLetterCount& one : counts) {
    newest = std::max(newest, one.newest_id);
    if (std::find(topics.begin(), topics.end(), one.topic) == topics.end()) topics.push_back(one.topic);
  }
  selection.filter.newest_id = newest;
  selection.count = std::min<std::int64_t>(shown::total(counts), static_cast<std::int64_t>(options.limit));
  selection.codes = shown::by_code(counts);
  for (const std::string& topic : topics) selection.topics += (selection.topics.empty() ? "" : ", ") + topic;
  return selection;
}

bool is_confirmed(const DeadLettersOptions& options, const std::string& what) {
  if (options.yes) return true;
  if (isatty(STDIN_FILENO) == 0) throw UsageError("nothing was done: give --yes to " + what + " without being asked");
  std::fprintf(stderr, "Going to %s. Type yes to go on: ", what.c_str());
  std::string answer;
  std::getline(std::cin, answer);
  return answer == "yes";
}

int say_nothing_matches(const DeadLettersOptions& options, const char* verb) {
  if (options.json) {
    shown::print({{"view", options.view}, {verb, 0}});
  } else {
    std::printf("no %s dead letters match\n", options.state.c_str());
  }
  return exit_code::ok;
}

namespace {

int discard(const DeadLettersOptions& options) {
  const postgres::Connection connection = postgres::connect(options.database.uri, "daybook-dead-letters");
  const sql::Generation generation = sql::require_generation(*connection, options.view);
  const Selection selection = select(*connection, generation.id, options);
  if (selection.count == 0) return say_nothing_matches(options, "discarded");
  const std::string what =
      "discard " + shown::counted(selection.count) + " of " + options.view + " (" + selection.codes + ")";
  if (!is_confirmed(options, what)) {
    std::fprintf(stderr, "nothing was discarded\n");
    return exit_code::usage;
  }
  const std::int64_t discarded =
      sql::discard_dead_letters(*connection, generation.id, selection.filter, options.limit, options.reason);
  if (options.json) {
    shown::print({{"view", options.view}, {"discarded", discarded}});
  } else {
    std::printf("%lld discarded\n", static_cast<long long>(discarded));
  }
  return exit_code::ok;
}

// ---- options ----

void add_filters(CLI::App& command, DeadLettersOptions& options) {
  command.add_option("VIEW", options.view, "The view's name")->required();
  add_database_options(command, options.database);
  sql::DeadLetterFilter& filter = options.filter;
  command.add_option("--id", filter.ids, "The number that `list` shows; may be repeated");
  command.add_option("--code", filter.codes, "malformed, envelope, member, future, range or database; may be repeated")
      ->check(CLI::IsMember({"malformed", "envelope", "member", "future", "range", "database"}));
  command.add_option("--topic", filter.topic, "Of this topic");
  command.add_option("--partition", filter.partition, "Of this partition");
  command.add_option("--offset", options.offsets, "One offset, or a range: 5..9, 5.. or ..9");
  command.add_option("--since", options.since, "The record's own time is this one or later: 2026-11-23T00:00:00Z");
  command.add_option("--until", options.until, "The record's own time is before this one");
  command.add_option("--event-id", filter.event_id, "The event's id");
  command.add_option("--source", filter.event_source, "The event's source");
  command.add_option("--type", filter.event_type, "The event's type");
  command.add_flag("--json", options.json, "Print one JSON object");
}

CLI::Option* add_limit(CLI::App& command, DeadLettersOptions& options, const char* what) {
  return command.add_option("--limit", options.limit, what)->check(CLI::Range(std::int64_t{1}, std::int64_t{1} << 53));
}

}  // namespace

void add_dead_letters_command(CLI::App& app, int& code) {
  CLI::App* all =
      app.add_subcommand("dead-letters", "Look at events that could not be applied, redrive or discard them");
  all->require_subcommand(1);
  all->footer("Example:\n  daybook dead-letters list dashboard_daily_summary");
  const auto add = [all](const char* name, const char* what, const char* example) {
    CLI::App* command = all->add_subcommand(name, what);
    command->footer("Example:\n  daybook dead-letters " + std::string(name) + " dashboard_daily_summary" + example);
    return std::pair{command, std::make_shared<DeadLettersOptions>()};
  };

  const auto [list_command, list_options] = add("list", "A line for each", " --state all --code member");
  add_filters(*list_command, *list_options);
  list_options->limit = 100;
  add_limit(*list_command, *list_options, "How many to show, at most; default 100");
  list_command->add_option("--state", list_options->state, "new (default), redriven, discarded or all")
      ->check(CLI::IsMember({"new", "redriven", "discarded", "all"}));
  list_command->callback([options = list_options, &code] { code = list(*options); });

  const auto [show_command, show_options] = add("show", "All of them: bytes, key, headers, reason", " --id 7");
  add_filters(*show_command, *show_options);
  show_options->state = "all";
  show_options->limit = 10;
  add_limit(*show_command, *show_options, "How many to show, at most; default 10");
  show_command->add_option("--state", show_options->state, "new, redriven, discarded or all (default)")
      ->check(CLI::IsMember({"new", "redriven", "discarded", "all"}));
  show_command->add_flag("--raw", show_options->raw, "Print the bytes of one value and nothing else");
  show_command->callback([options = show_options, &code] { code = show(*options); });

  const auto [redrive_command, redrive_options] =
      add("redrive", "Publish them again, for this view only", " --code range --yes");
  add_filters(*redrive_command, *redrive_options);
  add_broker_options(*redrive_command, redrive_options->broker);
  add_limit(*redrive_command, *redrive_options, "How many, at most");
  redrive_command->add_option("--state", redrive_options->state, "new (default) or discarded")
      ->check(CLI::IsMember({"new", "discarded"}));
  redrive_command->add_option("--set", redrive_options->corrections,
                              "POINTER=VALUE: another value for a member, /data/quantity=5; may be repeated");
  redrive_command->add_flag("--yes", redrive_options->yes, "Do not ask");
  redrive_command->callback([options = redrive_options, &code] { code = redrive(*options); });

  const auto [discard_command, discard_options] =
      add("discard", "Set new ones aside for good", " --code malformed --reason 'test traffic' --yes");
  add_filters(*discard_command, *discard_options);
  add_limit(*discard_command, *discard_options, "How many, at most");
  discard_command->add_option("--reason", discard_options->reason, "Why; it is kept with them")->required();
  discard_command->add_flag("--yes", discard_options->yes, "Do not ask");
  discard_command->callback([options = discard_options, &code] { code = discard(*options); });
}

}  // namespace daybook
