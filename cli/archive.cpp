// `daybook archive VIEW`: writes the old partitions of a `log` view to files and drops them. docs/views.md.
#include "sql/archive.h"

#include <absl/cleanup/cleanup.h>
#include <fcntl.h>
#include <unistd.h>
#include <zlib.h>

#include <chrono>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "cli/command.h"
#include "core/civil_time.h"
#include "core/definition_reader.h"
#include "core/error.h"
#include "postgres/copy_out.h"
#include "sql/apply.h"

namespace daybook {
namespace {

namespace fs = std::filesystem;

struct ArchiveOptions {
  std::string view;
  DatabaseOptions database;
  std::string folder;
  std::int64_t keep_days = 0;  // 0: the definition's
  std::string now;
  bool dry_run = false;
  bool json = false;
};

[[noreturn]] void fail(const std::string& what, const fs::path& path) {
  throw StopError("archive: " + what + " " + path.string() + ": " + std::strerror(errno));
}

void sync_to_disk(const fs::path& path, int flags) {
  const int descriptor = open(path.c_str(), flags);
  if (descriptor < 0) fail("can't open", path);
  const absl::Cleanup closing = [descriptor] { close(descriptor); };
  if (fsync(descriptor) != 0) fail("can't write to the disk", path);
}

// Under another name until all of it is on disk: a file with the final name is whole.
std::int64_t write_file(const std::string& uri, const std::string& statement, const fs::path& path) {
  const fs::path unfinished = path.string() + ".part";
  gzFile file = gzopen(unfinished.c_str(), "wb6");
  if (file == nullptr) fail("can't write", unfinished);
  absl::Cleanup closing = [file] { gzclose(file); };
  std::int64_t lines = 0;
  postgres::copy_out(uri, statement, [&](std::string_view text) {
    ++lines;
    if (gzwrite(file, text.data(), static_cast<unsigned>(text.size())) != static_cast<int>(text.size()))
      fail("can't write", unfinished);
  });
  std::move(closing).Cancel();
  if (gzclose(file) != Z_OK) fail("can't write", unfinished);
  sync_to_disk(unfinished, O_RDONLY);
  fs::rename(unfinished, path);
  sync_to_disk(path.parent_path(), O_RDONLY | O_DIRECTORY);
  return lines - 1;  // without the header: PostgreSQL sends a row at a time
}

std::int64_t microseconds_now(const ArchiveOptions& options) {
  if (options.now.empty()) {
    return std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::system_clock::now().time_since_epoch())
        .count();
  }
  const std::optional<std::int64_t> given = parse_microseconds(options.now);
  if (!given) throw UsageError("--now " + options.now + ": expected a date-time such as 2026-11-23T00:00:00Z");
  return *given;
}

ViewDefinition log_definition(const ArchiveOptions& options, const sql::Generation& generation) {
  DefinitionOrMistakes read = read_definition(generation.definition_text);
  if (std::holds_alternative<std::vector<DefinitionMistake>>(read))
    throw StopError("archive: the stored definition of " + options.view + " can't be read by this program");
  ViewDefinition view = std::get<ViewDefinition>(std::move(read));
  if (view.kind != ViewKind::log)
    throw UsageError("view " + options.view + " is no log: only logs have rows to archive");
  if (options.keep_days == 0 && !view.keep_days) {
    throw UsageError("view " + options.view +
                     " has no \"keep_days\" in its definition: say with --keep-days how many days stay");
  }
  return view;
}

int archive(const ArchiveOptions& options) {
  const postgres::Connection connection = postgres::connect(options.database.uri, "daybook-archive");
  const sql::Generation generation = sql::require_generation(*connection, options.view);
  const ViewDefinition view = log_definition(options, generation);
  const std::int64_t keep_days = options.keep_days > 0 ? options.keep_days : *view.keep_days;
  const std::int64_t before = microseconds_now(options) - keep_days * 86'400'000'000;
  if (!options.dry_run && !fs::is_directory(options.folder))
    throw UsageError("--to " + options.folder + ": there is no such folder");
  if (!options.dry_run && !sql::lock_for_archiving(*connection, generation.id))
    throw RetryError("archive: another run is at " + options.view + "; try again when it has ended");

  nlohmann::ordered_json report = {{"view", options.view},
                                   {"keep_days", keep_days},
                                   {"before", microseconds_text(before)},
                                   {"dry_run", options.dry_run},
                                   {"archived", nlohmann::ordered_json::array()}};
  // The oldest first: once one is out, no event makes rows of its time or of any before.
  for (const sql::LogPartition& partition : sql::log_partitions(*connection, generation.id)) {
    if (partition.ends_at > before && !partition.is_detached) break;
    const fs::path file = fs::path(options.folder) / (options.view + "_" + std::to_string(generation.id) + "_" +
                                                      partition.begins.substr(0, 10) + ".csv.gz");
    std::int64_t rows = partition.rows_estimated;
    if (!options.dry_run) {
      if (!partition.is_detached) sql::detach_partition(*connection, generation.id, partition);
      rows = write_file(options.database.uri, sql::render_copy_partition(view, partition), fs::absolute(file));
      sql::drop_partition(*connection, generation.id, partition);
    }
    report["archived"].push_back(
        {{"from", partition.begins}, {"until", partition.ends}, {"file", file.string()}, {"rows", rows}});
    if (options.json) continue;
    std::printf("%s %s to %s: %s%lld rows, %s\n", options.dry_run ? "would archive" : "archived",
                partition.begins.substr(0, 10).c_str(), partition.ends.substr(0, 10).c_str(),
                options.dry_run ? "about " : "", static_cast<long long>(rows), file.c_str());
  }
  if (options.json) {
    std::printf("%s\n", report.dump().c_str());
  } else if (report["archived"].empty()) {
    std::printf("nothing to archive: no partition of %s ends before %s\n", options.view.c_str(),
                microseconds_text(before).c_str());
  }
  return exit_code::ok;
}

}  // namespace

void add_archive_command(CLI::App& app, int& code) {
  auto options = std::make_shared<ArchiveOptions>();
  CLI::App* command = app.add_subcommand("archive", "Write the old rows of a log view to files and drop them");
  command->add_option("VIEW", options->view, "The view's name")->required();
  add_database_options(*command, options->database);
  command->add_option("--to", options->folder, "The folder for the files, one for each partition")->required();
  command->add_option("--keep-days", options->keep_days, "Days that stay; default: the definition's keep_days")
      ->check(CLI::Range(std::int64_t{1}, std::int64_t{36'500}));
  command->add_option("--now", options->now, "Count the days back from this date-time; default: this machine's clock");
  command->add_flag("--dry-run", options->dry_run, "Only say what would be archived");
  command->add_flag("--json", options->json, "Print one JSON object");
  command->footer(
      "A partition whose rows are all older is detached (readers see its rows no more, and events of its time or\n"
      "before are passed over), written to VIEW_GENERATION_DATE.csv.gz, and dropped once the file is on disk. A run\n"
      "that was interrupted is completed by the next one.\n"
      "Example:\n  daybook archive audit_log --to /var/lib/daybook/archive");
  command->callback([options, &code] { code = archive(*options); });
}

}  // namespace daybook
