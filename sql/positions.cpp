#include "sql/positions.h"

#include "sql/render.h"

namespace daybook::sql {

std::vector<StoredPosition> stored_positions(pqxx::connection& connection, int generation) {
  try {
    pqxx::nontransaction transaction(connection);
    std::vector<StoredPosition> positions;
    for (const auto& row :
         transaction.exec("SELECT topic, partition, start_offset, next_offset, epoch, owner,"
                          " greatest(extract(epoch FROM clock_timestamp() - updated_at), 0) FROM daybook.position"
                          " WHERE generation = " +
                          std::to_string(generation) + " ORDER BY topic, partition")) {
      positions.push_back({{row[0].as<std::string>(), row[1].as<std::int32_t>()},
                           row[2].as<std::int64_t>(),
                           row[3].as<std::int64_t>(),
                           row[4].as<std::int64_t>(),
                           row[5].as<std::string>(),
                           row[6].as<double>()});
    }
    return positions;
  } catch (...) {
    postgres::rethrow("database: reading positions");
  }
}

void move_positions(pqxx::connection& connection, int generation, const Positions& positions) {
  std::string topics;
  std::string partitions;
  std::string offsets;
  for (const auto& [name, next] : positions) {
    const char* const comma = topics.empty() ? "" : ", ";
    topics += comma + quote_literal(name.topic);
    partitions += comma + std::to_string(name.partition);
    offsets += comma + std::to_string(next);
  }
  try {
    pqxx::nontransaction transaction(connection);
    transaction.exec("SELECT daybook.move_positions(" + std::to_string(generation) + ", ARRAY[" + topics +
                     "]::text[], ARRAY[" + partitions + "]::int[], ARRAY[" + offsets + "]::bigint[])");
    transaction.exec("NOTIFY daybook_change_" +
                     std::to_string(generation));  // readers need not wait for their next look
  } catch (...) {
    postgres::rethrow("database: moving positions");
  }
}

bool pause(pqxx::connection& connection, int generation, const std::string& why) {
  try {
    pqxx::nontransaction transaction(connection);
    return transaction
               .exec("UPDATE daybook.generation SET paused = " + quote_literal(why) +
                     ", paused_at = clock_timestamp() WHERE paused IS NULL AND id = " + std::to_string(generation))
               .affected_rows() > 0;
  } catch (...) {
    postgres::rethrow("database: pausing a view");
  }
}

bool resume(pqxx::connection& connection, int generation) {
  try {
    pqxx::nontransaction transaction(connection);
    return transaction
               .exec(
                   "UPDATE daybook.generation SET paused = NULL, paused_at = NULL WHERE paused IS NOT NULL AND id = " +
                   std::to_string(generation))
               .affected_rows() > 0;
  } catch (...) {
    postgres::rethrow("database: resuming a view");
  }
}

}  // namespace daybook::sql
