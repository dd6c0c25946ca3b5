// libpqxx, wrapped once: what differs between its versions 6 and 7 lives here and nowhere else.
#pragma once

#include <chrono>
#include <memory>
#include <pqxx/pqxx>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace daybook::postgres {

using Connection = std::unique_ptr<pqxx::connection>;

// Opens a session. `uri` as libpq reads it; empty means the PG* variables. `name`, without
// spaces, is shown in pg_stat_activity. TCP keep-alives and a user timeout are set unless `uri` sets them, so that a
// database that vanished is noticed within half a minute. Never reconnects by itself: a new session would have lost
// what the old one had. Throws RetryError when the server can't be reached or refuses for now, StopError for
// a wrong URI, password or database name.
// `silent_max`: for how long a server may not acknowledge what was sent.
Connection connect(const std::string& uri, const std::string& name,
                   std::chrono::milliseconds silent_max = std::chrono::seconds(30));

// No statement of this session takes longer than `timeout`. Throws RetryError.
void bound_statements(pqxx::connection& connection, std::chrono::milliseconds timeout);

// The SQLSTATE of a failed statement; "" when it has none (the connection broke).
std::string sqlstate(const pqxx::sql_error& error);

// Rethrows the exception being handled as what one does about it: RetryError for broken connections and
// SQLSTATE classes 08, 25 (read-only), 40, 53, 55, 57 and 58; StopError for all else. `doing` opens the message.
[[noreturn]] void rethrow(const std::string& doing);

// Version 7.10 has another call for prepared statements, and warns of the one before.
#define DAYBOOK_PQXX_HAS_PREPPED (PQXX_VERSION_MAJOR > 7 || (PQXX_VERSION_MAJOR == 7 && PQXX_VERSION_MINOR >= 10))

// Runs a prepared statement with its parameters in text format.
template <typename... Parameters>
pqxx::result exec_prepared(pqxx::transaction_base& transaction, const std::string& statement,
                           const Parameters&... parameters) {
#if DAYBOOK_PQXX_HAS_PREPPED
  return transaction.exec(pqxx::prepped{statement}, pqxx::params{parameters...});
#else
  return transaction.exec_prepared(statement, parameters...);
#endif
}

// Runs a prepared statement with all parameters in PostgreSQL's binary format (their types are those that the
// statement was prepared with).
pqxx::result exec_binary(pqxx::transaction_base& transaction, const std::string& statement,
                         const std::vector<std::string>& parameters);

// The bytes of a BYTEA field as delivered in text format.
std::string bytes_of(const pqxx::field& field);

}  // namespace daybook::postgres
