// `daybook verify VIEW`: recomputes a view from the log and prints every row that differs. docs/verify.md.
#include <unistd.h>

#include <cstdio>
#include <memory>

#include "cli/command.h"
#include "core/error.h"
#include "postgres/connection.h"
#include "verify/log_reader.h"
#include "verify/report.h"
#include "verify/snapshot.h"

namespace daybook {
namespace {

constexpr const char* rules =
    "Rules (docs/verify.md has all of them):\n"
    "  read        from each partition's start to its stored position, committed transactions only\n"
    "  duplicates  the first event of each (source, id) counts, without limit of distance\n"
    "  uncertain   rows touched by copies with other data, or copies further apart than the view's deduplication\n"
    "              window, are reported apart as far as those copies explain the difference\n"
    "  dead        recorded dead letters are left out; one for a valid record (codes malformed, envelope, member,\n"
    "  letters     future), and an invalid record without one, are differences; range and database are taken as "
    "recorded\n"
    "  redriven    events with the attribute daybookredrive count for the view that it names only\n"
    "  archived    rows of a log view before what `daybook archive` took out are in neither\n"
    "  the clock   no rows are made by the clock in this release\n"
    "Exit codes: 0 no difference; 1 differences; 5 the log no longer starts where the view did.\n"
    "Example: daybook verify dashboard_daily_summary --brokers localhost:9092 --database "
    "postgresql://localhost/daybook";

struct VerifyOptions {
  std::string view;
  BrokerOptions broker;
  DatabaseOptions database;
  bool as_json = false;
  std::size_t limit = 100;
};

int run_verify(const VerifyOptions& options) {
  verify::Snapshot snapshot;
  {
    const postgres::Connection connection = postgres::connect(options.database.uri, "daybook-verify");
    snapshot = verify::take_snapshot(*connection, options.view);
  }
  std::int64_t total = 0;
  for (const verify::Span& span : snapshot.spans) total += span.next - span.start;

  verify::Recomputation recomputation(snapshot.definition);
  for (const verify::DeadLetter& letter : snapshot.dead_letters) recomputation.expect(letter);
  recomputation.pass_over_before(snapshot.rows_from);
  verify::LogReaderSettings settings;
  settings.brokers = options.broker.brokers;
  settings.properties = kafka::parse_properties(options.broker.properties);
  const bool show_progress = isatty(STDERR_FILENO) != 0;
  if (show_progress) {
    settings.progress = [total](std::int64_t done) {
      std::fprintf(stderr, "\rverify: %s of %s records", verify::grouped(done).c_str(), verify::grouped(total).c_str());
    };
  }
  const auto clear_progress = [show_progress] {
    if (show_progress) std::fprintf(stderr, "\r\033[K");
  };
  try {
    verify::read_log(settings, snapshot.spans, recomputation);
  } catch (const verify::LogCutError& error) {
    clear_progress();
    std::fprintf(stderr, "daybook: verify %s: %s\n", options.view.c_str(), error.what());
    return exit_code::log_cut;
  } catch (...) {
    clear_progress();
    throw;
  }
  clear_progress();

  verify::Findings findings;
  findings.view = options.view;
  findings.table_rows = static_cast<std::int64_t>(snapshot.rows.size());
  findings.counts = recomputation.counts();
  findings.limit = options.limit;
  findings.comparison = verify::compare(snapshot.rows, recomputation, options.limit);
  findings.dead_letters = recomputation.dead_letter_differences();
  const std::string report = options.as_json ? verify::json_report(findings, snapshot.definition)
                                             : verify::text_report(findings, snapshot.definition);
  std::fputs(report.c_str(), stdout);
  return findings.differences() == 0 ? exit_code::ok : exit_code::found;
}

}  // namespace

void add_verify_command(CLI::App& app, int& code) {
  auto options = std::make_shared<VerifyOptions>();
  CLI::App* command = app.add_subcommand("verify", "Recompute a view from the log and print every row that differs");
  command->add_option("view", options->view, "The view's name")->required();
  add_broker_options(*command, options->broker);
  add_database_options(*command, options->database);
  command->add_flag("--json", options->as_json, "Print one JSON object");
  command->add_option("--limit", options->limit, "Differing rows to print, at most")->capture_default_str();
  command->footer(rules);
  command->callback([options, &code] { code = run_verify(*options); });
}

}  // namespace daybook
