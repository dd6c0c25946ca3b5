// Who asks, and what they may see. Pure.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace daybook::reader {

// Scopes: "views:read" (all views), "views:read:NAME" (one), "rows:all" (rows are not limited by claims), "admin".
struct Identity {
  std::string subject;  // of the log; empty: nobody had to say who they are
  std::vector<std::string> scopes;
  std::map<std::string, std::vector<std::string>> claims;  // name -> values, as text

  bool operator==(const Identity&) const = default;

  bool has_scope(std::string_view scope) const {
    for (const std::string& own : scopes)
      if (own == scope) return true;
    return false;
  }
  bool may_read(std::string_view view) const {
    return has_scope("views:read") || has_scope("views:read:" + std::string(view));
  }
};
using IdentityPtr = std::shared_ptr<const Identity>;

// What the gate says to a request before anything else looks at it.
struct Admission {
  unsigned status = 0;  // 0: go on; 401, 429: the answer's status
  std::string detail;   // of the problem
  std::string headers;  // lines for the answer, whatever it becomes (RateLimit, WWW-Authenticate, Retry-After)
  IdentityPtr who;      // never null when status is 0
};

}  // namespace daybook::reader
