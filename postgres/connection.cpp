#include "postgres/connection.h"

#include <cctype>

#include "core/error.h"
#include "postgres/conninfo.h"

namespace daybook::postgres {
namespace {

// Adds libpq settings to a URI or to key=value words, unless they are there already.
std::string with_settings(const std::string& uri, const std::vector<std::pair<std::string, std::string>>& settings) {
  const bool is_uri = uri.rfind("postgres://", 0) == 0 || uri.rfind("postgresql://", 0) == 0;
  std::string full = uri;
  bool has_query = uri.find('?') != std::string::npos;
  for (const auto& [name, value] : settings) {
    if (uri.find(name + "=") != std::string::npos) continue;
    if (is_uri) {
      full += (has_query ? "&" : "?") + name + "=" + value;
      has_query = true;
    } else {
      full += (full.empty() ? "" : " ") + name + "='" + value + "'";
    }
  }
  return full;
}

// "FATAL:  the database system is starting up\n" -> one line.
std::string one_line(const char* text) {
  std::string line;
  for (const char* c = text; *c != '\0'; ++c) {
    const bool space = std::isspace(static_cast<unsigned char>(*c)) != 0;
    if (!space) {
      line.push_back(*c);
    } else if (!line.empty() && line.back() != ' ') {
      line.push_back(' ');
    }
  }
  while (!line.empty() && line.back() == ' ') line.pop_back();
  return line;
}

bool heals_by_itself(const std::string& state) {
  static const char* const classes[] = {"08", "25", "40", "53", "55", "57", "58"};
  if (state.empty()) return true;  // the connection broke
  for (const char* c : classes) {
    if (state.compare(0, 2, c) == 0) return true;
  }
  return false;
}

}  // namespace

Connection connect(const std::string& uri, const std::string& name, std::chrono::milliseconds silent_max) {
  const std::string full = with_settings(uri, {{"application_name", name},
                                               {"connect_timeout", "5"},
                                               {"keepalives_idle", "10"},
                                               {"keepalives_interval", "5"},
                                               {"keepalives_count", "3"},
                                               {"tcp_user_timeout", std::to_string(silent_max.count())},
                                               // Text goes both ways as UTF-8, whatever PGCLIENTENCODING says; quoting
                                               // would not be safe in an encoding with '\\' as a second byte.
                                               {"client_encoding", "UTF8"}});
  try {
    Connection connection = std::make_unique<pqxx::connection>(full);
#if PQXX_VERSION_MAJOR < 7
    // Version 6 reconnects silently unless it is told not to; deprecated because version 7 never does.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
    connection->inhibit_reactivation(true);
#pragma GCC diagnostic pop
#endif
    return connection;
  } catch (const std::exception& error) {
    const std::string what = without_secrets(one_line(error.what()), full);
    for (const char* final :
         {"password authentication failed", "no password supplied", "invalid URI", "invalid connection option",
          "invalid percent-encoded", "invalid port number", "missing \"", "unexpected character", "unexpected spaces",
          "unterminated quoted string", "does not exist", "invalid integer value", "invalid sslmode value",
          "no pg_hba.conf entry", "certificate verify failed", "does not match host name",
          "server does not support SSL"}) {
      if (what.find(final) != std::string::npos) {
        throw StopError("database: " + what + " (check --database or the PG* variables)");
      }
    }
    // A name server that is away heals; a piece of a password taken for a host does not.
    if (what.find("translate host name \"...\"") != std::string::npos) throw StopError("database: " + what);
    throw RetryError("database: can't connect: " + what);
  }
}

void bound_statements(pqxx::connection& connection, std::chrono::milliseconds timeout) {
  try {
    pqxx::nontransaction transaction(connection);
    transaction.exec("SET statement_timeout = " + std::to_string(timeout.count()));
  } catch (...) {
    rethrow("database: setting up a session");
  }
}

std::string sqlstate(const pqxx::sql_error& error) {
  if (!error.sqlstate().empty()) return error.sqlstate();
  // Version 6.4 throws these without their code. A table or a function that is not there is a syntax_error, too.
  if (dynamic_cast<const pqxx::insufficient_privilege*>(&error) != nullptr) return "42501";
  if (dynamic_cast<const pqxx::undefined_function*>(&error) != nullptr) return "42883";
  if (dynamic_cast<const pqxx::undefined_table*>(&error) != nullptr) return "42P01";
  if (dynamic_cast<const pqxx::syntax_error*>(&error) != nullptr) return "42601";
  return "";
}

void rethrow(const std::string& doing) {
  try {
    throw;
  } catch (const RetryError&) {
    throw;
  } catch (const StopError&) {
    throw;
  } catch (const pqxx::broken_connection& error) {
    throw RetryError(doing + ": connection lost: " + one_line(error.what()));
  } catch (const pqxx::sql_error& error) {
    const std::string state = sqlstate(error);
    const std::string text = doing + ": " + one_line(error.what()) + (state.empty() ? "" : " (SQLSTATE " + state + ")");
    if (heals_by_itself(state)) throw RetryError(text);
    const bool refused = state == "42501";
    throw StopError(text + (refused ? ": this user lacks a right of daybook's roles (docs/security.md; for copies of "
                                      "dead letters also docs/dead-letters.md)"
                                    : ""));
  } catch (const std::exception& error) {
    // pqxx::in_doubt_error, usage_error after a lost connection, and the like: the session is not usable.
    throw RetryError(doing + ": " + one_line(error.what()));
  }
}

pqxx::result exec_binary(pqxx::transaction_base& transaction, const std::string& statement,
                         const std::vector<std::string>& parameters) {
#if PQXX_VERSION_MAJOR < 7
  std::vector<pqxx::binarystring> binary;
  binary.reserve(parameters.size());
  for (const std::string& bytes : parameters) binary.emplace_back(bytes.data(), bytes.size());
  return transaction.exec_prepared(statement, pqxx::prepare::make_dynamic_params(binary));
#else
  pqxx::params binary;
  for (const std::string& bytes : parameters) binary.append(pqxx::binary_cast(bytes));
  return exec_prepared(transaction, statement, binary);
#endif
}

std::string bytes_of(const pqxx::field& field) {
  // Text format: "\x" and two hexadecimal digits a byte.
  const std::string_view text(field.c_str(), field.size());
  if (text.size() < 2 || text.substr(0, 2) != "\\x")
    throw StopError("database: a BYTEA not in hex format; set bytea_output to hex");
  const auto digit = [](char c) { return c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10; };
  std::string bytes((text.size() - 2) / 2, '\0');
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    bytes[i] = static_cast<char>(digit(text[2 + 2 * i]) << 4 | digit(text[3 + 2 * i]));
  }
  return bytes;
}

}  // namespace daybook::postgres
