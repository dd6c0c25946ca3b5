#include "postgres/conninfo.h"

#include <libpq-fe.h>

#include <memory>

namespace daybook::postgres {
namespace {

bool is_readable(const std::string& conninfo) {
  char* mistake = nullptr;
  const std::unique_ptr<PQconninfoOption, void (*)(PQconninfoOption*)> options(
      PQconninfoParse(conninfo.c_str(), &mistake), PQconninfoFree);
  PQfreemem(mistake);
  return options != nullptr;
}

// Whether a character that has a meaning in a URI stands between "user:" and the last '@': part of the password, most
// likely, but libpq does not take it so.
bool has_ambiguous_password(const std::string& conninfo) {
  const std::size_t scheme = conninfo.find("://");
  if (conninfo.rfind("postgres", 0) != 0 || scheme == std::string::npos) return false;
  const std::size_t colon = conninfo.find(':', scheme + 3);
  const std::size_t at = conninfo.rfind('@');
  if (colon == std::string::npos || at == std::string::npos || at < colon) return false;
  return conninfo.substr(colon + 1, at - colon - 1).find_first_of(":/?#[]@ ") != std::string::npos;
}

}  // namespace

std::string without_secrets(const std::string& text, const std::string& conninfo) {
  const bool readable = is_readable(conninfo);
  if (readable && !has_ambiguous_password(conninfo)) return text;
  std::string shown = text;
  const std::size_t first = shown.find('"');
  const std::size_t last = shown.rfind('"');
  if (first != last) shown.replace(first + 1, last - first - 1, "...");
  return shown + (readable ? " (is there a character in the password that has to be written as %XX in a URI?)"
                           : " (what was found is not shown, since it can be a piece of a password)");
}

}  // namespace daybook::postgres
