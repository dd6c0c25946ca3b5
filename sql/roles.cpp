#include "sql/roles.h"

#include "sql/embedded.h"

namespace daybook::sql {
namespace {

std::vector<std::string> ask(pqxx::transaction_base& transaction, const std::string& query) {
  std::vector<std::string> statements;
  for (const auto& row : transaction.exec(embedded().at(query))) statements.push_back(row[0].as<std::string>());
  return statements;
}

// Runs them one by one; one that is refused changes nothing and does not keep the next from running.
void try_each(pqxx::dbtransaction& transaction, const std::vector<std::string>& statements) {
  for (const std::string& statement : statements) {
    pqxx::subtransaction attempt(transaction, "grant_roles");
    try {
      attempt.exec(statement);
      attempt.commit();
    } catch (const pqxx::sql_error& error) {
      const std::string state = postgres::sqlstate(error);
      // Roles belong to the server: another database's migration may just have made the same one.
      const bool made_meanwhile = state == "42710" || state == "23505";
      if (state != "42501" && !made_meanwhile) throw;
      attempt.abort();
    }
  }
}

}  // namespace

std::vector<std::string> grant_roles(pqxx::dbtransaction& transaction) {
  // A GRANT that one may not give can be a mere warning: what counts is what is missing afterwards. Changing an owner
  // locks the table, and must not queue all its readers behind a long query.
  transaction.exec("SET LOCAL client_min_messages = error; SET LOCAL lock_timeout = '5s'");
  const char* const queries[] = {"queries/missing_roles.sql", "queries/missing_grants.sql"};
  // Twice: a role that was just made, or an owner that changed, makes the next statements known.
  for (const char* query : {queries[0], queries[0], queries[1]}) try_each(transaction, ask(transaction, query));
  std::vector<std::string> refused;
  for (const char* query : queries) {
    for (std::string& statement : ask(transaction, query)) refused.push_back(std::move(statement));
  }
  return refused;
}

}  // namespace daybook::sql
