// `daybook views`: what one does with view definitions.
#include <cstdio>
#include <nlohmann/json.hpp>
#include <string>
#include <variant>
#include <vector>

#include "cli/command.h"
#include "cli/views_diff.h"
#include "core/definition_reader.h"
#include "sql/apply.h"
#include "sql/positions.h"
#include "sql/render.h"

namespace daybook {
namespace {

struct CheckOptions {
  std::vector<std::string> files;
  bool json = false;
};

std::string joined(const std::vector<std::string>& words) {
  std::string all;
  for (const std::string& word : words) all += (all.empty() ? "" : ", ") + word;
  return all;
}

// As the definition has them: one that reads several types is several rules.
std::size_t count_of_sources(const ViewDefinition& view) {
  return nlohmann::json::parse(view.canonical_json)["sources"].size();
}

nlohmann::ordered_json as_json(const std::string& file, const DefinitionOrMistakes& read) {
  nlohmann::ordered_json entry = {{"file", file}};
  if (const auto* view = std::get_if<ViewDefinition>(&read)) {
    entry["ok"] = true;
    entry["view"] = view->name;
    entry["sources"] = count_of_sources(*view);
    entry["topics"] = view->topics();
    return entry;
  }
  entry["ok"] = false;
  entry["mistakes"] = nlohmann::ordered_json::array();
  for (const DefinitionMistake& mistake : std::get<std::vector<DefinitionMistake>>(read)) {
    entry["mistakes"].push_back(
        {{"pointer", mistake.pointer}, {"found", mistake.found}, {"expected", mistake.expected}});
  }
  return entry;
}

int check(const CheckOptions& options) {
  const std::vector<DefinitionOrMistakes> all = read_definition_files(options.files, sql::beyond_parameters);
  int code = exit_code::ok;
  nlohmann::ordered_json report = nlohmann::ordered_json::array();
  for (std::size_t i = 0; i < all.size(); ++i) {
    const std::string& file = options.files[i];
    const auto* view = std::get_if<ViewDefinition>(&all[i]);
    if (view == nullptr) code = exit_code::found;
    if (options.json) {
      report.push_back(as_json(file, all[i]));
    } else if (view != nullptr) {
      std::printf("%s: ok: view %s, %zu source%s, topics %s\n", file.c_str(), view->name.c_str(),
                  count_of_sources(*view), count_of_sources(*view) == 1 ? "" : "s", joined(view->topics()).c_str());
    } else {
      for (const DefinitionMistake& mistake : std::get<std::vector<DefinitionMistake>>(all[i])) {
        std::printf("%s: %s\n", file.c_str(), to_string(mistake).c_str());
      }
    }
  }
  if (options.json) {
    const auto replace = nlohmann::ordered_json::error_handler_t::replace;  // a file name may be no UTF-8
    std::printf("%s\n", report.dump(2, ' ', false, replace).c_str());
  }
  return code;
}

void add_check(CLI::App& views, int& code) {
  CLI::App* command = views.add_subcommand("check", "Name every mistake in view definitions");
  auto options = std::make_shared<CheckOptions>();
  command->add_option("FILE", options->files, "View definitions")->required();
  command->add_flag("--json", options->json, "Print a JSON array with an entry for each file");
  command->footer(
      "Example:\n  daybook views check schemas/*/views/*.json\n"
      "Exit codes: 0 no mistake; 1 mistakes; 2 no file given.");
  command->callback([options, &code] { code = check(*options); });
}

void apply_files(const std::string& database, const std::vector<std::string>& files) {
  const std::vector<ViewDefinition> views = load_definitions(files, sql::beyond_parameters);  // all before a change
  const postgres::Connection connection = postgres::connect(database, "daybook-views");
  for (const ViewDefinition& view : views) {
    const sql::Applied applied = sql::apply_view(*connection, view);
    std::printf("%s view %s\n",
                applied == sql::Applied::created              ? "created"
                : applied == sql::Applied::definition_changed ? "changed in place:"
                : applied == sql::Applied::reader_changed     ? "changed the reader's settings of"
                                                              : "already there:",
                view.name.c_str());
  }
}

void add_apply(CLI::App& views, int& code) {
  CLI::App* command = views.add_subcommand("apply", "Create the tables of views from their definitions");
  auto database = std::make_shared<DatabaseOptions>();
  auto files = std::make_shared<std::vector<std::string>>();
  add_database_options(*command, *database);
  command->add_option("FILE", *files, "View definitions")->required();
  command->footer(
      "Example:\n  daybook views apply schemas/bloodbank/views/dashboard_daily_summary.json\n"
      "A view that is there already keeps its rows. What may differ is stored (`daybook views diff` says what that "
      "is),\n"
      "and indexes for the reader's lists are made while the view's workers wait. What needs a replay is refused.");
  command->callback([database, files, &code] {
    apply_files(database->uri, *files);
    code = exit_code::ok;
  });
}

struct PauseOptions {
  DatabaseOptions database;
  std::string view;
  std::string reason = "a person paused it";
};

void add_pause_and_resume(CLI::App& views, int& code) {
  auto options = std::make_shared<PauseOptions>();
  CLI::App* pause = views.add_subcommand("pause", "Let no worker commit to a view until it is resumed");
  CLI::App* resume = views.add_subcommand("resume", "Let the workers of a paused view go on");
  for (CLI::App* command : {pause, resume}) {
    add_database_options(*command, options->database);
    command->add_option("VIEW", options->view, "The view's name")->required();
  }
  pause->add_option("--reason", options->reason, "What the workers say meanwhile");
  pause->footer("Example:\n  daybook views pause dashboard_daily_summary --reason 'maintenance until 18:00'");
  resume->footer("Example:\n  daybook views resume dashboard_daily_summary\nWorkers that run go on within a second.");
  pause->callback([options, &code] {
    const postgres::Connection connection = postgres::connect(options->database.uri, "daybook-views");
    const sql::Generation generation = sql::require_generation(*connection, options->view);
    const bool changed = sql::pause(*connection, generation.id, options->reason);
    std::printf("%s %s\n", options->view.c_str(), changed ? "is paused" : "was paused already");
    code = exit_code::ok;
  });
  resume->callback([options, &code] {
    const postgres::Connection connection = postgres::connect(options->database.uri, "daybook-views");
    const sql::Generation generation = sql::require_generation(*connection, options->view);
    const bool changed = sql::resume(*connection, generation.id);
    std::printf("%s %s\n", options->view.c_str(), changed ? "goes on" : "was not paused");
    code = exit_code::ok;
  });
}

}  // namespace

void add_views_command(CLI::App& app, int& code) {
  CLI::App* views =
      app.add_subcommand("views", "Check and compare view definitions, create their tables, pause and resume views");
  views->require_subcommand(1);
  views->footer("Example:\n  daybook views check schemas/bloodbank/views/dashboard_daily_summary.json");
  add_check(*views, code);
  add_apply(*views, code);
  add_views_diff(*views, code);
  add_pause_and_resume(*views, code);
}

}  // namespace daybook
