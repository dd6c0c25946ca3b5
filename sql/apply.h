// Brings a database up to what this program needs: numbered migrations, and views from their definitions.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/definition.h"
#include "postgres/connection.h"

namespace daybook::sql {

// Applies the migrations that the database doesn't have, each in a transaction of its own, one process at a
// time. Returns their names. Throws RetryError; StopError when the database is newer than this program.
std::vector<std::string> migrate(pqxx::connection& connection);

// Brings the group roles and their grants to what this program needs, after migrate(). Returns the statements that this
// user was not allowed to run: Daybook works without them, but only for users who have what they would give.
std::vector<std::string> ensure_roles(pqxx::connection& connection);

// Throws StopError, naming the command to run, when the database is not at this program's version.
void require_migrated(pqxx::connection& connection);

enum class Applied { created, definition_changed, reader_changed, already_there };

// Creates the view's table, commit function and live generation. A live generation keeps its rows and gets the commit
// function of this program, the definition's member `reader` and its indexes, and what else may change in place
// (core/definition_diff.h). A change that needs a replay, or a table of that name which isn't a view's, throws
// StopError: nothing is changed.
Applied apply_view(pqxx::connection& connection, const ViewDefinition& view);

// The live generation of a view.
struct Generation {
  int id = 0;
  std::string definition_text;
  std::string fingerprint_key;        // 16 bytes
  std::optional<std::string> paused;  // why
};
std::optional<Generation> live_generation(pqxx::transaction_base& transaction, const std::string& view);
// The same for a command that needs one. Throws StopError, naming the command to run, when there is none or the
// database is not at this program's version.
Generation require_generation(pqxx::connection& connection, const std::string& view);

// What a view's live generation was made with; nothing: there is none. Throws StopError when the database is not at
// this program's version.
struct StoredDefinition {
  std::string definition;  // canonical
  std::string served;      // an object of the members that `definition` leaves out
};
std::optional<StoredDefinition> stored_definition(pqxx::connection& connection, const std::string& view);

}  // namespace daybook::sql
