// The files of the reader's access: who may read (tokens, keys of JWT issuers), how often (limits).
// docs/reader-access.md explains each member to those who write them.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <variant>
#include <vector>

#include "core/definition_reader.h"
#include "reader/access/encoding.h"
#include "reader/access/jwt.h"
#include "reader/access/known.h"
#include "reader/access/rate_limiter.h"

namespace daybook::reader {

// One API token as the file has it: not the token itself, which nobody can make from its hash.
struct TokenEntry {
  std::string name;
  Sha256 hash{};
  std::vector<std::string> scopes;
  std::map<std::string, std::vector<std::string>> claims;
  std::optional<std::int64_t> expires;  // seconds since 1970
  bool disabled = false;
};

using Mistakes = std::vector<DefinitionMistake>;
std::variant<std::vector<TokenEntry>, Mistakes> read_tokens(std::string_view text);
std::variant<std::vector<Jwk>, Mistakes> read_jwks(std::string_view text);
std::variant<std::vector<Policy>, Mistakes> read_limits(std::string_view text);

// "views:read", "views:read:VIEW", "rows:all" or "admin".
bool is_scope(std::string_view word);
inline constexpr std::string_view scope_expected = "\"views:read\", \"views:read:VIEW\", \"rows:all\" or \"admin\"";
// A date-time with an offset, or a date, which is its begin in UTC.
std::optional<std::int64_t> parse_expiry(std::string_view text);
inline constexpr std::string_view expiry_expected = "a date-time such as \"2027-01-31T18:00:00Z\", or a date";
inline constexpr std::string_view token_name_expected = "a name of 1 to 100 visible ASCII characters";
bool is_token_name(std::string_view text);

// The tokens of a file by the hash of each. The way to an entry is through the hash of what the client sent, so the
// time it takes says nothing of how near a guess was.
class TokenSet {
 public:
  TokenSet() = default;
  explicit TokenSet(const std::vector<TokenEntry>& entries);
  // `token` is what the client sent.
  std::variant<Known, Refusal> find(std::string_view token, Time now) const;

 private:
  struct Entry {
    Known known;
    bool disabled = false;
  };
  std::unordered_map<Sha256, Entry, Sha256Hash> entries_;
};

inline constexpr std::string_view token_prefix = "daybook_";

// A file's whole text. Throws UsageError when it can't be read or is larger than 16 MiB, and when everybody may write
// to it.
std::string read_access_file(const std::string& path);

// Throws UsageError that lists every mistake, one a line.
template <typename T>
T or_usage_error(const std::string& path, std::variant<T, Mistakes> read);
[[noreturn]] void throw_mistakes(const std::string& path, const Mistakes& mistakes);
template <typename T>
T or_usage_error(const std::string& path, std::variant<T, Mistakes> read) {
  if (const auto* mistakes = std::get_if<Mistakes>(&read)) throw_mistakes(path, *mistakes);
  return std::get<T>(std::move(read));
}

}  // namespace daybook::reader
