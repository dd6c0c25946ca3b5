#include "postgres/copy_out.h"

#include <libpq-fe.h>

#include <memory>

#include "core/error.h"
#include "postgres/conninfo.h"

namespace daybook::postgres {
namespace {

using Session = std::unique_ptr<PGconn, decltype(&PQfinish)>;
using Result = std::unique_ptr<PGresult, decltype(&PQclear)>;

std::string line_of(const char* message) {
  std::string line(message);
  for (char& c : line) c = c == '\n' ? ' ' : c;
  while (!line.empty() && line.back() == ' ') line.pop_back();
  return line;
}

Result run(PGconn* session, const std::string& statement, ExecStatusType expected) {
  Result result(PQexec(session, statement.c_str()), PQclear);
  if (PQresultStatus(result.get()) == expected) return result;
  const std::string what = "database: " + line_of(PQerrorMessage(session));
  if (PQstatus(session) != CONNECTION_OK) throw RetryError(what);
  throw StopError(what);
}

}  // namespace

void copy_out(const std::string& uri, const std::string& statement, const std::function<void(std::string_view)>& each) {
  const Session session(PQconnectdb(uri.c_str()), PQfinish);
  if (PQstatus(session.get()) != CONNECTION_OK)
    throw RetryError("database: can't connect: " + without_secrets(line_of(PQerrorMessage(session.get())), uri));
  run(session.get(), "SET client_encoding = 'UTF8'; SET datestyle = 'ISO, YMD'; SET timezone = 'UTC'",
      PGRES_COMMAND_OK);
  run(session.get(), statement, PGRES_COPY_OUT);
  for (;;) {
    char* buffer = nullptr;
    const int size = PQgetCopyData(session.get(), &buffer, 0);
    const std::unique_ptr<char, decltype(&PQfreemem)> owned(buffer, PQfreemem);
    if (size == -1) break;
    if (size < 0) throw RetryError("database: reading a copy: " + line_of(PQerrorMessage(session.get())));
    each({buffer, static_cast<std::size_t>(size)});
  }
  // Only its end says that all of it came.
  const Result end(PQgetResult(session.get()), PQclear);
  if (PQresultStatus(end.get()) != PGRES_COMMAND_OK)
    throw RetryError("database: reading a copy: " + line_of(PQerrorMessage(session.get())));
}

}  // namespace daybook::postgres
