#include "sql/apply.h"

#include <map>

#include "core/definition_diff.h"
#include "core/error.h"
#include "sql/embedded.h"
#include "sql/render.h"
#include "sql/render_reader.h"
#include "sql/render_states.h"
#include "sql/roles.h"

namespace daybook::sql {
namespace {

// Serializes migrations and view creation; any number that nothing else of Daybook uses.
constexpr const char* lock_ddl = "SELECT pg_advisory_xact_lock(1684108395, 0)";

struct Migration {
  int version;
  std::string name;
  const std::string* text;
};

std::vector<Migration> known_migrations() {
  std::vector<Migration> list;
  for (const auto& [path, text] : embedded()) {
    const std::string folder = "migrations/";
    if (path.compare(0, folder.size(), folder) != 0) continue;
    const std::string name = path.substr(folder.size());
    list.push_back({std::stoi(name), name, &text});
  }
  return list;
}

// 0 when the database has none.
int stored_version(pqxx::transaction_base& transaction) {
  if (transaction.exec("SELECT to_regclass('daybook.migration')")[0][0].is_null()) return 0;
  return transaction.exec("SELECT coalesce(max(version), 0) FROM daybook.migration")[0][0].as<int>();
}

// Where a new view's table goes, schema and name quoted: the first schema of the search path, but never among the
// bookkeeping (which is where the path of a user named daybook begins).
std::string table_of_new(pqxx::transaction_base& transaction, const ViewDefinition& view) {
  const pqxx::result schema = transaction.exec(
      "SELECT c.name FROM unnest(current_schemas(false)) WITH ORDINALITY AS c (name, place) WHERE c.name <> 'daybook'"
      " ORDER BY c.place LIMIT 1");
  if (schema.empty()) {
    throw StopError("there is no schema for the table of view " + view.name +
                    ": search_path names none that exists and that this user may use");
  }
  return quote_identifier(schema[0][0].as<std::string>()) + "." + quote_identifier(view.name);
}

std::string table_of(pqxx::transaction_base& transaction, const Generation& generation) {
  return transaction
      .exec(
          "SELECT coalesce((SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n"
          " ON n.oid = c.relnamespace WHERE c.oid = g.table_oid), g.table_name) FROM daybook.generation g WHERE g.id "
          "= " +
          std::to_string(generation.id))[0][0]
      .as<std::string>();
}

// Makes the indexes of the reader's lists and drops those that no list needs any more.
void make_reader_indexes(pqxx::transaction_base& transaction, const ViewDefinition& view, int generation,
                         const std::string& table) {
  std::map<std::string, std::string> there;  // name -> schema and name, quoted
  for (const auto& row : transaction.exec(render_reader_indexes_query(generation, table)))
    there[row[1].as<std::string>()] = row[0].as<std::string>();
  for (const ReaderIndex& index : render_reader_indexes(view, generation, table)) {
    if (there.erase(index.name) == 0) transaction.exec(index.statement);
  }
  for (const auto& [name, quoted] : there) transaction.exec("DROP INDEX " + quoted);
}

// Events are UTF-8. A database that can't hold all of it would refuse dead letters, and accuse innocent events.
void require_utf8(pqxx::transaction_base& transaction) {
  const std::string encoding = transaction.exec("SHOW server_encoding")[0][0].as<std::string>();
  if (encoding == "UTF8") return;
  throw StopError("the database's encoding is " + encoding +
                  ", expected UTF8: create the database anew with ENCODING 'UTF8'");
}

[[noreturn]] void throw_newer(int stored, int known) {
  throw StopError("the database is at migration " + std::to_string(stored) + ", this daybook knows " +
                  std::to_string(known) + ": run a newer daybook");
}

}  // namespace

std::vector<std::string> migrate(pqxx::connection& connection) {
  std::vector<std::string> applied;
  const std::vector<Migration> known = known_migrations();
  try {
    for (const Migration& migration : known) {
      pqxx::work transaction(connection);
      transaction.exec(lock_ddl);
      require_utf8(transaction);
      const int stored = stored_version(transaction);
      if (stored > known.back().version) throw_newer(stored, known.back().version);
      if (migration.version <= stored) continue;
      transaction.exec(*migration.text);
      transaction.exec("INSERT INTO daybook.migration (version, name) VALUES (" + std::to_string(migration.version) +
                       ", " + quote_literal(migration.name) + ")");
      transaction.commit();
      applied.push_back(migration.name);
    }
  } catch (...) {
    postgres::rethrow("migrate");
  }
  return applied;
}

std::vector<std::string> ensure_roles(pqxx::connection& connection) {
  try {
    pqxx::work transaction(connection);
    transaction.exec(lock_ddl);
    std::vector<std::string> refused = grant_roles(transaction);
    transaction.commit();
    return refused;
  } catch (...) {
    postgres::rethrow("migrate: roles");
  }
}

void require_migrated(pqxx::connection& connection) {
  pqxx::nontransaction transaction(connection);
  require_utf8(transaction);
  const int known = known_migrations().back().version;
  const int stored = stored_version(transaction);
  if (stored > known) throw_newer(stored, known);
  if (stored < known) {
    throw StopError("the database is at migration " + std::to_string(stored) + ", this daybook needs " +
                    std::to_string(known) + ": run `daybook migrate`");
  }
}

std::optional<Generation> live_generation(pqxx::transaction_base& transaction, const std::string& view) {
  const pqxx::result rows = transaction.exec(
      "SELECT id, definition_text, fingerprint_key, paused FROM daybook.generation"
      " WHERE state = 'live' AND view = " +
      quote_literal(view));
  if (rows.empty()) return std::nullopt;
  Generation generation{rows[0][0].as<int>(), rows[0][1].as<std::string>(), postgres::bytes_of(rows[0][2]), {}};
  if (!rows[0][3].is_null()) generation.paused = rows[0][3].as<std::string>();
  return generation;
}

Generation require_generation(pqxx::connection& connection, const std::string& view) {
  try {
    require_migrated(connection);
    pqxx::nontransaction transaction(connection);
    const std::optional<Generation> generation = live_generation(transaction, view);
    if (!generation)
      throw StopError("view " + view + " is not in the database: run `daybook views apply` with its definition");
    return *generation;
  } catch (...) {
    postgres::rethrow("database: looking for view " + view);
  }
}

std::optional<StoredDefinition> stored_definition(pqxx::connection& connection, const std::string& view) {
  try {
    require_migrated(connection);
    pqxx::nontransaction transaction(connection);
    for (const auto& row : transaction.exec(reader_generations())) {
      if (row[1].as<std::string>() == view) return StoredDefinition{row[3].as<std::string>(), row[4].as<std::string>()};
    }
    return std::nullopt;
  } catch (...) {
    postgres::rethrow("database: looking for view " + view);
  }
}

Applied apply_view(pqxx::connection& connection, const ViewDefinition& view) {
  require_migrated(connection);
  try {
    pqxx::work transaction(connection);
    transaction.exec(lock_ddl);
    std::optional<Generation> generation = live_generation(transaction, view.name);
    const bool created = !generation;
    const bool changed = generation && generation->definition_text != view.canonical_json;
    if (changed) {
      const DefinitionDifference difference = compare_definitions(generation->definition_text, "{}", view);
      if (difference.meaning == DefinitionMeaning::needs_replay) throw StopError(refusal(view.name, difference));
      const std::string text = quote_literal(view.canonical_json);
      transaction.exec("UPDATE daybook.generation SET definition = " + text + ", definition_text = " + text +
                       " WHERE id = " + std::to_string(generation->id));
    }
    if (created) {
      const std::string table = table_of_new(transaction, view);
      if (!transaction.exec("SELECT to_regclass(" + quote_literal(table) + ")")[0][0].is_null()) {
        throw StopError("a table " + table + " exists already and is no view of daybook's: rename it, or the view");
      }
      transaction.exec(render_create_view(view, table));
      generation = live_generation(transaction, view.name);
    }
    const std::string table = table_of(transaction, *generation);
    if (const std::string beside = render_beside_table(view, generation->id); !beside.empty()) transaction.exec(beside);
    transaction.exec(render_commit(view, generation->id, table));
    const bool reader_changed = transaction.exec(render_reader_settings(view, generation->id)).affected_rows() > 0;
    make_reader_indexes(transaction, view, generation->id, table);
    grant_roles(transaction);  // what this user may not grant, `daybook migrate` names
    transaction.commit();
    if (created) return Applied::created;
    if (changed) return Applied::definition_changed;
    return reader_changed ? Applied::reader_changed : Applied::already_there;
  } catch (...) {
    postgres::rethrow("views apply " + view.name);
  }
}

}  // namespace daybook::sql
