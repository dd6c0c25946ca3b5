#include "sql/archive.h"

#include <chrono>
#include <thread>

#include "core/error.h"
#include "sql/fill.h"
#include "sql/render.h"

namespace daybook::sql {

bool lock_for_archiving(pqxx::connection& connection, int generation) {
  try {
    pqxx::nontransaction transaction(connection);
    return transaction.exec("SELECT pg_try_advisory_lock(1684108397, " + std::to_string(generation) + ")")
        .at(0)[0]
        .as<bool>();
  } catch (...) {
    postgres::rethrow("database: locking a log for archiving");
  }
}

std::vector<LogPartition> log_partitions(pqxx::connection& connection, int generation) {
  try {
    pqxx::nontransaction transaction(connection);
    std::vector<LogPartition> partitions;
    for (const auto& row :
         transaction.exec(fill("templates/log_partitions.sql", {{"generation", std::to_string(generation)}}))) {
      partitions.push_back({row[0].as<std::string>(), row[1].as<std::string>(), row[2].as<std::int64_t>(),
                            row[3].as<std::string>(), row[4].as<bool>(), row[5].as<std::int64_t>()});
    }
    return partitions;
  } catch (...) {
    postgres::rethrow("database: reading the partitions of a log");
  }
}

void detach_partition(pqxx::connection& connection, int generation, const LogPartition& partition) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  for (;;) {
    try {
      pqxx::nontransaction transaction(connection);
      transaction.exec("SELECT daybook.detach_partition(" + std::to_string(generation) + ", " +
                       quote_literal(partition.begins) + ")");
      transaction.exec("NOTIFY daybook_change_" + std::to_string(generation));
      return;
    } catch (const pqxx::sql_error& error) {
      // Somebody reads the view. Each try lets those behind it pass first.
      const bool is_busy = postgres::sqlstate(error) == "55P03";
      if (!is_busy || std::chrono::steady_clock::now() > deadline)
        postgres::rethrow("database: detaching " + partition.table);
      std::this_thread::sleep_for(std::chrono::milliseconds(300));
    } catch (...) {
      postgres::rethrow("database: detaching " + partition.table);
    }
  }
}

std::string render_copy_partition(const ViewDefinition& view, const LogPartition& partition) {
  std::vector<std::string> columns, key;
  for (const KeyColumn& column : view.key) key.push_back(quote_identifier(column.name));
  columns = key;
  for (const ValueColumn& column : view.columns) columns.push_back(quote_identifier(column.name));
  columns.emplace_back("updated_at");
  return fill("templates/copy_partition.sql",
              {{"columns", join(columns, ", ")}, {"table", partition.table}, {"key", join(key, ", ")}});
}

void drop_partition(pqxx::connection& connection, int generation, const LogPartition& partition) {
  try {
    pqxx::work transaction(connection);
    transaction.exec(fill("templates/drop_partition.sql", {{"generation", std::to_string(generation)},
                                                           {"table", partition.table},
                                                           {"begins", quote_literal(partition.begins)}}));
    transaction.commit();
  } catch (...) {
    postgres::rethrow("database: dropping " + partition.table);
  }
}

}  // namespace daybook::sql
