#include "sql/dead_letters.h"

#include <sodium/utils.h>

#include <nlohmann/json.hpp>

#include "sql/render.h"

namespace daybook::sql {
namespace {

// Session locks of commands; the views' own lock (a namespace of its own) is never held for long.
constexpr const char* redrive_lock = "1684108396";
constexpr const char* copy_lock = "1684108397";

std::string joined(const std::vector<std::int64_t>& numbers) {
  std::string list;
  for (const std::int64_t number : numbers) list += (list.empty() ? "" : ", ") + std::to_string(number);
  return list;
}

std::string quoted(const std::vector<std::string>& words) {
  std::string list;
  for (const std::string& word : words) list += (list.empty() ? "" : ", ") + quote_literal(word);
  return list;
}

std::string where(int generation, const DeadLetterFilter& filter) {
  std::string text = " WHERE generation = " + std::to_string(generation);
  const auto equals = [&text](const char* column, const std::optional<std::string>& wanted) {
    if (wanted) text += std::string(" AND ") + column + " = " + quote_literal(*wanted);
  };
  const auto compare = [&text](const char* comparison, std::optional<std::int64_t> wanted, const char* end = "") {
    if (wanted) text += std::string(" AND ") + comparison + std::to_string(*wanted) + end;
  };
  if (!filter.states.empty()) text += " AND state IN (" + quoted(filter.states) + ")";
  if (!filter.codes.empty()) text += " AND code IN (" + quoted(filter.codes) + ")";
  if (!filter.ids.empty()) text += " AND id IN (" + joined(filter.ids) + ")";
  equals("topic", filter.topic);
  equals("event_source", filter.event_source);
  equals("event_id", filter.event_id);
  equals("event_type", filter.event_type);
  compare("partition = ", filter.partition);
  compare("record_offset >= ", filter.from_offset);
  compare("record_offset <= ", filter.to_offset);
  // A record without a time of its own: when it became a dead letter.
  compare("coalesce(record_time, created_at) >= to_timestamp(", filter.since, ")");
  compare("coalesce(record_time, created_at) < to_timestamp(", filter.until, ")");
  compare("id <= ", filter.newest_id);
  return text;
}

std::string as_rfc3339(const std::string& column) {
  return "to_char(" + column + " AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')";
}

std::string select(WithValues values) {
  return "SELECT id, topic, partition, record_offset, record_key, " +
         std::string(values == WithValues::yes ? "record_value" : "NULL::bytea") +
         ", coalesce(length(record_value), 0), headers, " + as_rfc3339("record_time") +
         ", code, detail, event_source, event_id, event_type, state, " + as_rfc3339("created_at") + ", " +
         as_rfc3339("settled_at") +
         ", settled_by, reason, redriven_partition, redriven_offset FROM daybook.dead_letter";
}

template <typename T>
std::optional<T> optional_of(const pqxx::field& field) {
  return field.is_null() ? std::nullopt : std::optional(field.as<T>());
}

std::string from_base64(const std::string& text) {
  std::string bytes(text.size(), '\0');
  std::size_t size = 0;
  sodium_base642bin(reinterpret_cast<unsigned char*>(bytes.data()), bytes.size(), text.data(), text.size(), nullptr,
                    &size, nullptr, sodium_base64_VARIANT_ORIGINAL);
  bytes.resize(size);
  return bytes;
}

// As worker/commit/commit_parameters.cpp writes them.
void read_headers(const std::string& json, OwnedRecord& record) {
  for (const nlohmann::json& header : nlohmann::json::parse(json)) {
    const bool is_text = header.contains("value");
    const std::string value = header.at(is_text ? "value" : "base64").get<std::string>();
    record.headers.emplace_back(header.at("name").get<std::string>(), is_text ? value : from_base64(value));
  }
}

std::vector<StoredDeadLetter> read(pqxx::connection& connection, const std::string& query, const char* doing) {
  try {
    pqxx::nontransaction transaction(connection);
    transaction.exec("SET bytea_output = 'hex'");
    std::vector<StoredDeadLetter> letters;
    for (const auto& row : transaction.exec(query)) {
      StoredDeadLetter& letter = letters.emplace_back();
      letter.id = row[0].as<std::int64_t>();
      letter.partition = {row[1].as<std::string>(), row[2].as<std::int32_t>()};
      letter.offset = row[3].as<std::int64_t>();
      if (!row[4].is_null()) letter.record.key = postgres::bytes_of(row[4]);
      if (!row[5].is_null()) letter.record.value = postgres::bytes_of(row[5]);
      letter.value_bytes = row[6].as<std::int64_t>();
      read_headers(row[7].as<std::string>(), letter.record);
      letter.record_time = optional_of<std::string>(row[8]);
      letter.code = row[9].as<std::string>();
      letter.detail = row[10].as<std::string>();
      letter.event_source = optional_of<std::string>(row[11]);
      letter.event_id = optional_of<std::string>(row[12]);
      letter.event_type = optional_of<std::string>(row[13]);
      letter.state = row[14].as<std::string>();
      letter.created_at = row[15].as<std::string>();
      letter.settled_at = optional_of<std::string>(row[16]);
      letter.settled_by = optional_of<std::string>(row[17]);
      letter.reason = optional_of<std::string>(row[18]);
      letter.redriven_partition = optional_of<std::int32_t>(row[19]);
      letter.redriven_offset = optional_of<std::int64_t>(row[20]);
    }
    return letters;
  } catch (...) {
    postgres::rethrow(doing);
  }
}

constexpr const char* in_order = " ORDER BY topic, partition, record_offset LIMIT ";

// What changes dead letters waits for the view's lock, as commits, take-overs and replays do: a generation that
// inherits them sees all of a change or nothing.
std::int64_t change(pqxx::connection& connection, int generation, const std::string& statement, const char* doing) {
  try {
    pqxx::work transaction(connection);
    transaction.exec("SELECT pg_advisory_xact_lock(1684108395, " + std::to_string(generation) + ")");
    const auto changed = static_cast<std::int64_t>(transaction.exec(statement).affected_rows());
    transaction.commit();
    return changed;
  } catch (...) {
    postgres::rethrow(doing);
  }
}

}  // namespace

std::vector<DeadLetterCount> count_dead_letters(pqxx::connection& connection, int generation,
                                                const DeadLetterFilter& filter) {
  try {
    pqxx::nontransaction transaction(connection);
    std::vector<DeadLetterCount> counts;
    for (const auto& row :
         transaction.exec("SELECT state, code, topic, count(*), max(id) FROM daybook.dead_letter" +
                          where(generation, filter) + " GROUP BY state, code, topic ORDER BY state, code, topic")) {
      counts.push_back({row[0].as<std::string>(), row[1].as<std::string>(), row[2].as<std::string>(),
                        row[3].as<std::int64_t>(), row[4].as<std::int64_t>()});
    }
    return counts;
  } catch (...) {
    postgres::rethrow("database: counting dead letters");
  }
}

std::vector<StoredDeadLetter> dead_letters(pqxx::connection& connection, int generation, const DeadLetterFilter& filter,
                                           std::size_t limit, WithValues values, const StoredDeadLetter* after) {
  std::string query = select(values) + where(generation, filter);
  if (after != nullptr) {
    query += " AND (topic, partition, record_offset) > (" + quote_literal(after->partition.topic) + ", " +
             std::to_string(after->partition.partition) + ", " + std::to_string(after->offset) + ")";
  }
  return read(connection, query + in_order + std::to_string(limit), "database: reading dead letters");
}

std::int64_t discard_dead_letters(pqxx::connection& connection, int generation, DeadLetterFilter filter,
                                  std::size_t limit, const std::string& reason) {
  filter.states = {"new"};
  return change(connection, generation,
                "UPDATE daybook.dead_letter SET state = 'discarded', reason = " + quote_literal(reason) +
                    ", settled_at = clock_timestamp(), settled_by = session_user WHERE id IN (SELECT id FROM"
                    " daybook.dead_letter" +
                    where(generation, filter) + in_order + std::to_string(limit) + ")",
                "database: discarding dead letters");
}

void mark_redriven(pqxx::connection& connection, int generation, const std::vector<Redriven>& letters) {
  std::string values;
  for (const Redriven& letter : letters) {
    values += (values.empty() ? "(" : ", (") + std::to_string(letter.id) + "::bigint, " +
              std::to_string(letter.partition) + ", " + std::to_string(letter.offset) + "::bigint)";
  }
  if (values.empty()) return;
  change(connection, generation,
         "UPDATE daybook.dead_letter d SET state = 'redriven', reason = NULL, redriven_partition = b.partition,"
         " redriven_offset = b.record_offset, settled_at = clock_timestamp(), settled_by = session_user FROM (VALUES " +
             values +
             ") AS b (id, partition, record_offset) WHERE d.id = b.id AND d.generation = " + std::to_string(generation),
         "database: recording redriven dead letters");
}

std::optional<std::string> cluster_of(pqxx::connection& connection, int generation) {
  try {
    pqxx::nontransaction transaction(connection);
    return optional_of<std::string>(
        transaction.exec("SELECT cluster_id FROM daybook.generation WHERE id = " + std::to_string(generation))
            .at(0)[0]);
  } catch (...) {
    postgres::rethrow("database: reading a view's cluster");
  }
}

bool try_begin(pqxx::connection& connection, int generation, DeadLetterTask task) {
  const std::string lock = task == DeadLetterTask::redrive ? redrive_lock : copy_lock;
  try {
    pqxx::nontransaction transaction(connection);
    return transaction.exec("SELECT pg_try_advisory_lock(" + lock + ", " + std::to_string(generation) + ")")
        .at(0)[0]
        .as<bool>();
  } catch (...) {
    postgres::rethrow("database: locking a view's dead letters");
  }
}

std::vector<StoredDeadLetter> not_copied(pqxx::connection& connection, int generation, std::size_t limit) {
  return read(connection,
              select(WithValues::yes) + " WHERE generation = " + std::to_string(generation) +
                  " AND copied_at IS NULL ORDER BY id LIMIT " + std::to_string(limit),
              "database: reading dead letters");
}

void mark_copied(pqxx::connection& connection, int generation, const std::vector<std::int64_t>& ids) {
  if (ids.empty()) return;
  try {
    pqxx::nontransaction transaction(connection);
    transaction.exec("UPDATE daybook.dead_letter SET copied_at = clock_timestamp() WHERE generation = " +
                     std::to_string(generation) + " AND id IN (" + joined(ids) + ")");
  } catch (...) {
    postgres::rethrow("database: recording copies of dead letters");
  }
}

}  // namespace daybook::sql
