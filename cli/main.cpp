// The executable `daybook`: parses the command line, runs one command, turns its errors into one line and
// an exit code.
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <sstream>
#include <string>
#include <vector>

#include "cli/command.h"
#include "core/error.h"

namespace {

const CLI::App* command_named(const CLI::App& app, const std::string& name) {
  const auto found = app.get_subcommands([&name](const CLI::App* command) { return command->get_name() == name; });
  return found.empty() ? nullptr : found.front();
}

// Environment variables become words of the command line in front of the user's own, so that the order is: file, then
// environment, then flag (CLI11 itself lets a file win over the environment). Several values are separated by spaces.
std::vector<std::string> with_environment(const CLI::App& app, std::vector<std::string> words) {
  const auto add = [&words](const CLI::App& owner, std::size_t at) {
    std::vector<std::string> added;
    for (const CLI::Option* option : owner.get_options()) {
      const char* value = option->get_envname().empty() ? nullptr : std::getenv(option->get_envname().c_str());
      if (value == nullptr || *value == '\0') continue;
      const std::string flag = "--" + option->get_lnames().front();
      const bool given = std::any_of(words.begin(), words.end(), [&flag](const std::string& word) {
        return word == flag || word.rfind(flag + "=", 0) == 0;
      });
      if (given) continue;
      if (option->get_items_expected_max() == 1) {
        added.push_back(flag + "=" + value);
        continue;
      }
      std::istringstream values(value);
      for (std::string one; values >> one;) added.push_back(flag + "=" + one);
    }
    words.insert(words.begin() + static_cast<std::ptrdiff_t>(at), added.begin(), added.end());
  };
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (const CLI::App* command = command_named(app, words[i])) {
      // `views apply`: the options are the inner command's.
      const CLI::App* inner = i + 1 < words.size() ? command_named(*command, words[i + 1]) : nullptr;
      add(inner != nullptr ? *inner : *command, i + (inner != nullptr ? 2 : 1));
      break;
    }
  }
  add(app, 0);
  return words;
}

void add_mistakes(CLI::App& app, std::vector<std::string>& mistakes) {
  const auto add = [&mistakes](const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return;  // --help and --version are no mistakes
    if (std::find(mistakes.begin(), mistakes.end(), error.what()) == mistakes.end())
      mistakes.emplace_back(error.what());
  };
  for (CLI::Option* option : app.get_options(nullptr)) {
    if (option->count() == 0) {
      if (option->get_required()) add(CLI::RequiredError(option->get_name()));
      continue;
    }
    if (option->get_callback_run()) continue;
    try {
      option->run_callback();  // checks and converts the words given for it
    } catch (const CLI::ParseError& error) {
      add(error);
    }
  }
  if (const std::vector<std::string> words = app.remaining(); !words.empty())
    add(CLI::ExtrasError(app.get_name(), words));
  for (CLI::App* command : app.get_subcommands()) add_mistakes(*command, mistakes);
}

// CLI11 stops at the first wrong option, but has sorted all words by option before it looks at their values: so what
// is wrong with the others can still be asked.
int fail(CLI::App& app, const CLI::ParseError& first) {
  if (first.get_exit_code() == 0) {  // --help, --version
    app.exit(first);
    return daybook::exit_code::ok;
  }
  std::vector<std::string> mistakes{first.what()};
  add_mistakes(app, mistakes);
  for (const std::string& mistake : mistakes) std::fprintf(stderr, "daybook: %s\n", mistake.c_str());
  std::fprintf(stderr, "Run with --help for more information.\n");
  return daybook::exit_code::usage;
}

int fail(const std::string& message, int code) {
  std::fprintf(stderr, "daybook: %s\n", message.c_str());
  return code;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"Daybook keeps PostgreSQL rows up to date from Kafka events, exactly once.", "daybook"};
  app.set_version_flag("--version", "daybook " DAYBOOK_VERSION);
  app.set_config("--config", "", "A TOML file with a section for each command; see docs/configuration.md")
      ->envname("DAYBOOK_CONFIG");
  app.allow_config_extras(false);
  app.require_subcommand(1);
  app.footer(
      "Exit codes: 0 done; 1 differences or refused input found; 2 wrong options, definition or configuration;\n"
      "3 broker or database can't be reached; 4 stopped, a person has to act; 5 the log was cut (verify).");

  spdlog::set_default_logger(spdlog::stderr_color_mt("daybook"));

  int code = daybook::exit_code::ok;
  daybook::add_worker_command(app, code);
  daybook::add_positions_command(app, code);
  daybook::add_archive_command(app, code);
  daybook::add_dead_letters_command(app, code);
  daybook::add_views_command(app, code);
  daybook::add_migrate_command(app, code);
  daybook::add_publish_command(app, code);
  daybook::add_simulate_command(app, code);
  daybook::add_verify_command(app, code);
  daybook::add_tokens_command(app, code);
  daybook::add_reader_command(app, code);

  try {
    std::vector<std::string> words = with_environment(app, {argv + 1, argv + argc});
    std::reverse(words.begin(), words.end());  // as CLI11 wants them
    app.parse(std::move(words));
  } catch (const CLI::ParseError& error) {
    return fail(app, error);
  } catch (const daybook::RetryError& error) {
    return fail(error.what(), daybook::exit_code_of(error));
  } catch (const daybook::StopError& error) {
    return fail(error.what(), daybook::exit_code_of(error));
  } catch (const std::exception& error) {
    return fail(std::string("unexpected: ") + error.what(), daybook::exit_code::stopped);
  }
  return code;
}
