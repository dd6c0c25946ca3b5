// What a user gave to name a database, as far as errors may show it.
#pragma once

#include <string>

namespace daybook::postgres {

// The text of a failed connection attempt without pieces of the password. libpq never shows a password that it took for
// one, but it quotes what it could not read, and takes the part after an unescaped '@', '/' or ':' for a host, port or
// database. `conninfo` is a URI or words, as libpq reads them.
std::string without_secrets(const std::string& text, const std::string& conninfo);

}  // namespace daybook::postgres
