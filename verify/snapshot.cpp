#include "verify/snapshot.h"

#include <algorithm>
#include <map>

#include "core/definition_reader.h"
#include "core/error.h"

namespace daybook::verify {
namespace {

using Transaction = pqxx::transaction<pqxx::isolation_level::repeatable_read>;

std::string list_of(const pqxx::result& names) {
  std::string text;
  for (const auto& row : names) text += (text.empty() ? "" : ", ") + row[0].as<std::string>();
  return text.empty() ? "none" : text;
}

ViewDefinition definition_of(const std::string& view, const std::string& text) {
  DefinitionOrMistakes read = read_definition(text);
  if (auto* definition = std::get_if<ViewDefinition>(&read)) return std::move(*definition);
  std::string mistakes;
  for (const DefinitionMistake& mistake : std::get<std::vector<DefinitionMistake>>(read)) {
    mistakes += (mistakes.empty() ? "" : "; ") + mistake.pointer + ": found " + mistake.found + ", expected " +
                mistake.expected;
  }
  throw StopError("the definition of " + view + " stored in the database can't be read by this program (" + mistakes +
                  "): use the program that applied it");
}

void read_rows(Transaction& transaction, const std::string& table, Snapshot& snapshot) {
  const ViewDefinition& definition = snapshot.definition;
  std::string columns;
  const auto add = [&](const std::string& name) {
    columns += (columns.empty() ? "" : ", ") + transaction.quote_name(name) + "::text";
  };
  for (const KeyColumn& column : definition.key) add(column.name);
  for (const ValueColumn& column : definition.columns) add(column.name);
  const std::size_t keys = definition.key.size();
  for (const auto& row : transaction.exec("SELECT " + columns + " FROM " + table)) {
    Key key;
    for (std::size_t i = 0; i < keys; ++i) key.emplace_back(row[static_cast<int>(i)].c_str());
    std::vector<std::optional<std::string>>& values = snapshot.rows[std::move(key)];
    for (std::size_t i = keys; i < keys + definition.columns.size(); ++i) {
      const auto field = row[static_cast<int>(i)];
      values.push_back(field.is_null() ? std::nullopt : std::optional<std::string>(field.c_str()));
    }
  }
}

Snapshot read_all(pqxx::connection& connection, const std::string& view) {
  Snapshot snapshot;
  Transaction transaction(connection);
  transaction.exec("SET TRANSACTION READ ONLY");
  transaction.exec("SET LOCAL datestyle = 'ISO, YMD'; SET LOCAL timezone = 'UTC'");
  if (transaction.exec("SELECT to_regclass('daybook.generation')")[0][0].is_null()) {
    throw StopError(
        "this database has no daybook schema: run `daybook migrate` and `daybook views apply FILE`, or correct "
        "--database");
  }
  const pqxx::result generations = transaction.exec(
      "SELECT g.id, g.definition_text, c.oid::regclass::text, g.table_name FROM daybook.generation g "
      "LEFT JOIN pg_class c ON c.oid = g.table_oid WHERE g.state = 'live' AND g.view = " +
      transaction.quote(view));
  if (generations.empty()) {
    throw StopError(
        "there is no view " + view + " in this database (found: " +
        list_of(transaction.exec("SELECT view FROM daybook.generation WHERE state = 'live' ORDER BY view")) +
        "): run `daybook views apply FILE`, or correct the name");
  }
  const auto generation = generations[0];
  if (generation[2].is_null()) {
    throw StopError("the table " + generation[3].as<std::string>() + " of view " + view +
                    " was dropped or replaced: restore it, or apply the view anew");
  }
  snapshot.generation = generation[0].as<std::int64_t>();
  snapshot.definition = definition_of(view, generation[1].as<std::string>());

  const std::string id = std::to_string(snapshot.generation);
  for (const auto& row : transaction.exec("SELECT topic, partition, start_offset, next_offset FROM daybook.position "
                                          "WHERE generation = " +
                                          id + " ORDER BY topic, partition")) {
    snapshot.spans.push_back({{row[0].as<std::string>(), row[1].as<std::int32_t>()},
                              row[2].as<std::int64_t>(),
                              row[3].as<std::int64_t>(),
                              {}});
  }
  std::map<TopicPartition, std::vector<Move>> moves;
  for (const auto& row :
       transaction.exec("SELECT topic, partition, start_offset, from_offset, to_offset FROM daybook.position_move "
                        "WHERE generation = " +
                        id + " ORDER BY id")) {
    moves[{row[0].as<std::string>(), row[1].as<std::int32_t>()}].push_back(
        {row[2].as<std::int64_t>(), row[3].as<std::int64_t>(), row[4].as<std::int64_t>()});
  }
  for (Span& span : snapshot.spans) span.skipped = skipped_by(span.start, span.next, moves[span.partition]);
  // A generation that took over from another one has that one's discarded dead letters too, from below its start.
  for (const auto& row :
       transaction.exec("SELECT d.topic, d.partition, d.record_offset, d.code FROM daybook.dead_letter d "
                        "LEFT JOIN daybook.position p USING (generation, topic, partition) "
                        "WHERE d.generation = " +
                        id + " AND d.superseded_by = 0 AND d.record_offset >= coalesce(p.start_offset, 0)")) {
    snapshot.dead_letters.push_back(
        {{row[0].as<std::string>(), row[1].as<std::int32_t>()}, row[2].as<std::int64_t>(), row[3].as<std::string>()});
  }
  read_rows(transaction, generation[2].as<std::string>(), snapshot);
  transaction.commit();
  return snapshot;
}

}  // namespace

std::vector<std::pair<std::int64_t, std::int64_t>> skipped_by(std::int64_t start, std::int64_t next,
                                                              const std::vector<Move>& moves) {
  std::vector<std::pair<std::int64_t, std::int64_t>> read;
  std::int64_t begin = moves.empty() ? start : moves.front().start;
  for (const Move& move : moves) {
    read.emplace_back(begin, move.from);
    begin = move.to;
  }
  read.emplace_back(begin, next);
  std::sort(read.begin(), read.end());
  std::vector<std::pair<std::int64_t, std::int64_t>> skipped;
  std::int64_t at = start;
  for (const auto& [first, last] : read) {
    if (first > at) skipped.emplace_back(at, first);
    at = std::max(at, last);
  }
  return skipped;
}

Snapshot take_snapshot(pqxx::connection& connection, const std::string& view) {
  try {
    return read_all(connection, view);
  } catch (...) {
    postgres::rethrow("verify: reading view " + view);
  }
}

}  // namespace daybook::verify
