// What errors may show of the text that names a database.
#include "postgres/conninfo.h"

#include <doctest/doctest.h>

using daybook::postgres::without_secrets;

namespace {

struct Case {
  const char* conninfo;
  const char* text;  // as libpq says it
  bool shown;
};

}  // namespace

TEST_CASE("a piece of a password that libpq took for something else is not shown") {
  const Case cases[] = {
      {"postgresql://u:secret@db/x", "could not translate host name \"db\" to address", true},
      {"postgresql://db:5432/x?user=me%40srv", "could not translate host name \"db\" to address", true},
      {"postgresql://u@[::1]:5432/x", "connection to server at \"::1\" failed", true},
      {"postgresql:///x", "role \"u\" does not exist", true},
      {"host=db password='se cret'", "could not translate host name \"db\" to address", true},
      {"", "role \"u\" does not exist", true},
      {"postgresql://u:se@cret@db/x", "could not translate host name \"cret@db\" to address", false},
      {"postgresql://u:se/cret@db/x", "invalid integer value \"se\" for connection option \"port\"", false},
      {"postgresql://u:se?cret@db/x", "invalid URI query parameter: \"cret@db\"", false},
      {"postgresql://u:se%zz@db/x", "invalid percent-encoded token: \"se%zz\"", false},
      {"postgresql://u:se\"cret[@db/x", "unexpected: \"postgresql://u:se\"cret[@db/x\"", false},
      {"host=db password=se cret", "missing \"=\" after \"cret\" in connection info string", false},
      {"host=db pasword=secret", "invalid connection option \"pasword\"", false},
  };
  for (const Case& c : cases) {
    CAPTURE(c.conninfo);
    const std::string shown = without_secrets(c.text, c.conninfo);
    if (c.shown) {
      CHECK(shown == c.text);
    } else {
      CHECK(shown.find("\"...\"") != std::string::npos);
      CHECK(shown.find("cret") == std::string::npos);
      CHECK(shown.find("\"se") == std::string::npos);
      CHECK(shown.size() > shown.find("\"...\"") + 10);  // and says why
    }
  }
}
