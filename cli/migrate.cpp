// `daybook migrate`: brings the bookkeeping tables up to this program's version.
#include <cstdio>

#include "cli/command.h"
#include "sql/apply.h"

namespace daybook {

void add_migrate_command(CLI::App& app, int& code) {
  auto* command = app.add_subcommand("migrate", "Bring the database's bookkeeping up to this program's version");
  command->footer("Example:\n  daybook migrate --database postgresql://localhost/daybook");
  auto database = std::make_shared<DatabaseOptions>();
  add_database_options(*command, *database);
  command->callback([database, &code] {
    const postgres::Connection connection = postgres::connect(database->uri, "daybook-migrate");
    const std::vector<std::string> applied = sql::migrate(*connection);
    for (const std::string& name : applied) std::printf("applied %s\n", name.c_str());
    if (applied.empty()) std::printf("up to date\n");
    const std::vector<std::string> refused = sql::ensure_roles(*connection);
    if (!refused.empty()) {
      std::printf(
          "not allowed to this user: let an administrator run the following, then run `daybook migrate` again"
          " (docs/security.md)\n");
      for (const std::string& statement : refused) std::printf("  %s;\n", statement.c_str());
    }
    code = exit_code::ok;
  });
}

}  // namespace daybook
