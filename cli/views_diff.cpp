// `daybook views diff`: what changed definitions mean beside those that the views' tables were made with.
#include "cli/views_diff.h"

#include <cstdio>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "cli/command.h"
#include "core/definition_diff.h"
#include "core/definition_reader.h"
#include "sql/apply.h"
#include "sql/render.h"

namespace daybook {
namespace {

struct DiffOptions {
  DatabaseOptions database;
  std::vector<std::string> files;
  bool json = false;
};

struct Found {
  bool is_new = false;
  DefinitionDifference difference;
};

const char* word_of(const Found& found) {
  if (found.is_new) return "new";
  switch (found.difference.meaning) {
    case DefinitionMeaning::same:
      return "same";
    case DefinitionMeaning::in_place:
      return "compatible in place";
    case DefinitionMeaning::needs_replay:
      return "needs a replay";
  }
  return "";
}

const char* advice_of(const Found& found) {
  if (found.is_new) return ": `daybook views apply` makes its table";
  switch (found.difference.meaning) {
    case DefinitionMeaning::same:
      return "";
    case DefinitionMeaning::in_place:
      return ": `daybook views apply` stores it, the rows stay";
    case DefinitionMeaning::needs_replay:
      return ": give it a new view name, apply it and let a worker build it from the log";
  }
  return "";
}

void print(const std::string& file, const ViewDefinition& view, const Found& found) {
  std::printf("%s: view %s: %s%s\n", file.c_str(), view.name.c_str(), word_of(found), advice_of(found));
  for (const DefinitionChange& change : found.difference.changes)
    std::printf("  %s (%s)\n", to_string(change).c_str(), change.in_place ? "in place" : "needs a replay");
}

nlohmann::ordered_json as_json(const std::string& file, const ViewDefinition& view, const Found& found) {
  nlohmann::ordered_json entry = {{"file", file}, {"view", view.name}, {"meaning", word_of(found)}};
  entry["changes"] = nlohmann::ordered_json::array();
  for (const DefinitionChange& change : found.difference.changes) {
    nlohmann::ordered_json one = {{"pointer", change.pointer}};
    if (!change.was.empty()) one["was"] = change.was;
    if (!change.is.empty()) one["is"] = change.is;
    one["in_place"] = change.in_place;
    entry["changes"].push_back(std::move(one));
  }
  return entry;
}

int diff(const DiffOptions& options) {
  const std::vector<ViewDefinition> views = load_definitions(options.files, sql::beyond_parameters);
  const postgres::Connection connection = postgres::connect(options.database.uri, "daybook-views");
  int code = exit_code::ok;
  nlohmann::ordered_json report = nlohmann::ordered_json::array();
  for (std::size_t i = 0; i < views.size(); ++i) {
    const std::optional<sql::StoredDefinition> stored = sql::stored_definition(*connection, views[i].name);
    Found found{!stored, {}};
    if (stored) found.difference = compare_definitions(stored->definition, stored->served, views[i]);
    if (found.difference.meaning == DefinitionMeaning::needs_replay) code = exit_code::found;
    if (options.json) {
      report.push_back(as_json(options.files[i], views[i], found));
    } else {
      print(options.files[i], views[i], found);
    }
  }
  if (options.json) {
    const auto replace = nlohmann::ordered_json::error_handler_t::replace;  // a file name may be no UTF-8
    std::printf("%s\n", report.dump(2, ' ', false, replace).c_str());
  }
  return code;
}

}  // namespace

void add_views_diff(CLI::App& views, int& code) {
  CLI::App* command = views.add_subcommand("diff", "Say what changed definitions mean for the views in the database");
  auto options = std::make_shared<DiffOptions>();
  add_database_options(*command, options->database);
  command->add_option("FILE", options->files, "View definitions")->required();
  command->add_flag("--json", options->json, "Print a JSON array with an entry for each file");
  command->footer(
      "Example:\n  daybook views diff schemas/*/views/*.json\n"
      "Each view is new (not in the database), same, compatible in place (`daybook views apply` stores it and the rows "
      "stay),\nor needs a replay (the rows would be others).\n"
      "Exit codes: 0 none needs a replay; 1 at least one does; 2 mistakes in a definition; 3 no database; 4 not "
      "migrated.");
  command->callback([options, &code] { code = diff(*options); });
}

}  // namespace daybook
