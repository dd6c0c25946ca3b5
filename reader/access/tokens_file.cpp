// The file of API tokens: {"tokens": [{"name", "sha256", "scopes", "claims", "expires", "disabled"}, ...]}.
#include <algorithm>
#include <set>

#include "core/civil_time.h"
#include "core/definition_shape.h"
#include "core/names.h"
#include "reader/access/files.h"

namespace daybook::reader {
namespace {

using Kind = JsonNode::Kind;

constexpr std::string_view claims_expected = "an object of claims, each a string or an array of strings";
constexpr DefinitionShape::Member root_members[] = {
    {"$schema", false, "a string"},
    {"description", false, "a string"},
    {"tokens", true, "an array of tokens"},
};
constexpr DefinitionShape::Member token_members[] = {
    {"name", true, token_name_expected},
    {"sha256", true, "the token's SHA-256 as 64 digits of hex, in lower case (`daybook tokens new` makes both)"},
    {"scopes", true, "an array of scopes, not empty"},
    {"claims", false, claims_expected},
    {"expires", false, expiry_expected},
    {"disabled", false, "true or false"},
};

class Reader : private DefinitionShape {
 public:
  using DefinitionShape::mistakes;
  std::vector<TokenEntry> tokens;

  void read(const JsonTree& tree) {
    find_duplicate_members(tree);
    const JsonNode& root = tree.nodes.front();
    if (!members(root, root_members, "an object with \"tokens\"")) return;
    const JsonNode* list = root.member("tokens");
    if (list == nullptr) return;
    if (!list->is(Kind::array)) return wrong(*list, expectation(root_members, "tokens"));
    for (const JsonNode* node : list->children) read_token(*node);
  }

 private:
  void read_token(const JsonNode& node) {
    if (!members(node, token_members, "an object: a token")) return;
    TokenEntry& token = tokens.emplace_back();
    if (const JsonNode* name = node.member("name")) {
      if (!name->is(Kind::string) || !is_token_name(name->text)) {
        wrong(*name, token_name_expected);
      } else if (!names_.insert(name->text).second) {
        mistake(*name, name->shown() + " a second time", "a name that no other token has");
      }
      token.name = name->text;
    }
    if (const JsonNode* hash = node.member("sha256")) {
      if (const auto read = hash->is(Kind::string) ? sha256_from_hex(hash->text) : std::nullopt) {
        token.hash = *read;
        if (!hashes_.insert(*read).second)
          mistake(*hash, "this hash a second time", "a token of its own for each name");
      } else {
        // Not shown: somebody may have put the token itself there.
        mistake(*hash, "something else", expectation(token_members, "sha256"));
      }
    }
    for (const JsonNode* scope : elements(node.member("scopes"), expectation(token_members, "scopes"), 100)) {
      if (scope->is(Kind::string) && is_scope(scope->text)) {
        token.scopes.push_back(scope->text);
      } else {
        wrong(*scope, scope_expected);
      }
    }
    if (const JsonNode* claims = node.member("claims")) read_claims(*claims, token);
    if (const JsonNode* expires = node.member("expires")) {
      token.expires = expires->is(Kind::string) ? parse_expiry(expires->text) : std::nullopt;
      if (!token.expires) wrong(*expires, expiry_expected);
    }
    if (const JsonNode* disabled = node.member("disabled")) {
      token.disabled = disabled->boolean;
      if (!disabled->is(Kind::boolean)) wrong(*disabled, "true or false");
    }
  }

  void read_claims(const JsonNode& node, TokenEntry& token) {
    if (!node.is(Kind::object)) return wrong(node, claims_expected);
    for (const JsonNode* claim : node.children) {
      std::vector<std::string>& values = token.claims[claim->name];
      if (const bool is_list = claim->is(Kind::array); !is_list && !claim->is(Kind::string)) {
        wrong(*claim, "a string or an array of strings");
      } else if (!is_list) {
        values.push_back(claim->text);
      }
      for (const JsonNode* value : claim->children) {
        if (value->is(Kind::string)) {
          values.push_back(value->text);
        } else if (claim->is(Kind::array)) {
          wrong(*value, "a string");
        }
      }
    }
  }

  std::set<std::string> names_;
  std::set<Sha256> hashes_;
};

}  // namespace

bool is_scope(std::string_view word) {
  constexpr std::string_view of_view = "views:read:";
  if (word == "views:read" || word == "rows:all" || word == "admin") return true;
  return word.starts_with(of_view) && is_plain_name(word.substr(of_view.size()));
}

bool is_token_name(std::string_view text) {
  return !text.empty() && text.size() <= 100 &&
         std::all_of(text.begin(), text.end(), [](char c) { return c > 0x20 && c < 0x7f; });
}

std::optional<std::int64_t> parse_expiry(std::string_view text) {
  if (const auto instant = parse_instant(text)) return instant;
  if (const auto day = parse_date(text)) return std::int64_t{*day} * 86'400;
  return std::nullopt;
}

std::variant<std::vector<TokenEntry>, Mistakes> read_tokens(std::string_view text) {
  const auto tree = parse_json_tree(text, 8);
  if (const auto* problem = std::get_if<JsonProblem>(&tree)) return Mistakes{{"", problem->found, problem->expected}};
  Reader reader;
  reader.read(std::get<JsonTree>(tree));
  if (Mistakes mistakes = reader.mistakes(); !mistakes.empty()) return mistakes;
  return std::move(reader.tokens);
}

TokenSet::TokenSet(const std::vector<TokenEntry>& tokens) {
  for (const TokenEntry& token : tokens) {
    Entry entry;
    entry.known.who = std::make_shared<Identity>(Identity{token.name, token.scopes, token.claims});
    entry.known.client = client_of_name("api-token:" + token.name);
    if (token.expires) entry.known.until = *token.expires;
    entry.disabled = token.disabled;
    entries_.emplace(token.hash, std::move(entry));
  }
}

std::variant<Known, Refusal> TokenSet::find(std::string_view token, Time now) const {
  const auto found = entries_.find(sha256(token));
  if (found == entries_.end()) return Refusal{Reason::rejected, "an API token that the file does not have"};
  const Entry& entry = found->second;
  if (entry.disabled) return Refusal{Reason::disabled, "API token " + entry.known.who->subject};
  if (unix_seconds(now) >= entry.known.until) return Refusal{Reason::expired, "API token " + entry.known.who->subject};
  return entry.known;
}

}  // namespace daybook::reader
