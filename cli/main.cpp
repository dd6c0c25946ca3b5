// The executable `daybook`: parses the command line, runs one command, turns its errors into one line and
// an exit code.
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

#include <cstdio>
#include <exception>

#include "cli/command.h"
#include "core/error.h"

namespace {

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
  daybook::add_views_command(app, code);
  daybook::add_migrate_command(app, code);
  daybook::add_publish_command(app, code);
  daybook::add_simulate_command(app, code);
  daybook::add_verify_command(app, code);

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? daybook::exit_code::ok : daybook::exit_code::usage;
  } catch (const daybook::RetryError& error) {
    return fail(error.what(), daybook::exit_code::unreachable);
  } catch (const daybook::UsageError& error) {
    return fail(error.what(), daybook::exit_code::usage);
  } catch (const daybook::StopError& error) {
    return fail(error.what(), daybook::exit_code::stopped);
  } catch (const std::exception& error) {
    return fail(std::string("unexpected: ") + error.what(), daybook::exit_code::stopped);
  }
  return code;
}
