// The keys of JWT issuers: a JWK set (RFC 7517), of which only keys with one fixed algorithm are taken.
#include <set>

#include "core/definition_shape.h"
#include "reader/access/files.h"

namespace daybook::reader {
namespace {

using Kind = JsonNode::Kind;

constexpr DefinitionShape::Member key_members[] = {
    {"kid", true, "the key's name: a string, not empty"},
    {"kty", true, "\"oct\", \"RSA\" or \"EC\""},
    {"alg", true, "the one algorithm of this key: \"HS256\", \"RS256\" or \"ES256\""},
    {"use", false, "\"sig\""},
    {"key_ops", false, "an array with \"verify\""},
};

class Reader : private DefinitionShape {
 public:
  using DefinitionShape::mistakes;
  std::vector<Jwk> keys;

  void read(const JsonTree& tree) {
    find_duplicate_members(tree);
    const JsonNode& root = tree.nodes.front();
    constexpr std::string_view expected = "a JWK set: an object with \"keys\", an array that is not empty";
    if (!root.is(Kind::object)) return wrong(root, expected);
    if (root.member("keys") == nullptr) return missing(root, "keys", expected);
    for (const JsonNode* node : elements(root.member("keys"), expected, 100)) read_key(*node);
  }

 private:
  // Members that we don't know are other programs' (x5c, x5t, ...): RFC 7517 has them ignored.
  void read_key(const JsonNode& node) {
    if (!node.is(Kind::object)) return wrong(node, "an object: a key");
    for (const Member& member : key_members) {
      if (member.required && node.member(member.name) == nullptr) missing(node, member.name, member.expected);
    }
    Jwk key;
    if (const JsonNode* kid = node.member("kid")) {
      if (!kid->is(Kind::string) || kid->text.empty()) {
        wrong(*kid, expectation(key_members, "kid"));
      } else if (!kids_.insert(kid->text).second) {
        mistake(*kid, kid->shown() + " a second time", "a kid that no other key has");
      }
      key.kid = kid->text;
    }
    if (const JsonNode* use = node.member("use")) choice<bool>(*use, key_members, {{"sig", true}});
    if (const JsonNode* operations = node.member("key_ops")) {
      bool verifies = false;
      for (const JsonNode* one : operations->children) verifies = verifies || one->text == "verify";
      if (!operations->is(Kind::array) || !verifies) wrong(*operations, expectation(key_members, "key_ops"));
    }
    const JsonNode* alg = node.member("alg");
    if (alg == nullptr) return;
    const auto algorithm = choice<Algorithm>(
        *alg, key_members, {{"HS256", Algorithm::hs256}, {"RS256", Algorithm::rs256}, {"ES256", Algorithm::es256}});
    if (!algorithm) return;
    key.algorithm = *algorithm;
    const std::string_view type = key.algorithm == Algorithm::hs256   ? "oct"
                                  : key.algorithm == Algorithm::rs256 ? "RSA"
                                                                      : "EC";
    if (const JsonNode* kty = node.member("kty"); kty == nullptr || !kty->is(Kind::string) || kty->text != type) {
      if (kty != nullptr) wrong(*kty, "\"" + std::string(type) + "\", as " + alg->text + " needs it");
      return;
    }
    if (key.algorithm != Algorithm::hs256 && node.member("d") != nullptr) {
      return mistake(*node.member("d"), "a private key", "its public members alone: a reader must not be able to sign");
    }
    switch (key.algorithm) {
      case Algorithm::hs256: {
        const auto secret = number(node, "k");
        if (!secret) return;
        if (secret->size() < 32) {
          return mistake(*node.member("k"), "a secret of " + std::to_string(secret->size()) + " bytes",
                         "at least 32 bytes");
        }
        key.secret = *secret;
        break;
      }
      case Algorithm::rs256: {
        const auto n = number(node, "n"), e = number(node, "e");
        if (!n || !e) return;
        key.public_key = rsa_key(*n, *e);
        if (key.public_key == nullptr) {
          return mistake(node, "an RSA key of " + std::to_string(n->size() * 8) + " bits or with an unfit exponent",
                         "2048 to 8192 bits, and an odd exponent from 3");
        }
        break;
      }
      case Algorithm::es256: {
        const JsonNode* curve = node.member("crv");
        if (curve == nullptr) return missing(node, "crv", "\"P-256\"");
        if (!curve->is(Kind::string) || curve->text != "P-256") return wrong(*curve, "\"P-256\"");
        const auto x = number(node, "x"), y = number(node, "y");
        if (!x || !y) return;
        key.public_key = p256_key(*x, *y);
        if (key.public_key == nullptr) return mistake(node, "no point of the curve P-256", "x and y of 32 bytes each");
        break;
      }
    }
    keys.push_back(std::move(key));
  }

  // Never shown: it may be a secret.
  std::optional<std::string> number(const JsonNode& key, std::string_view name) {
    constexpr std::string_view expected = "base64url without padding";
    const JsonNode* node = key.member(name);
    if (node == nullptr) {
      missing(key, name, expected);
      return std::nullopt;
    }
    auto value = node->is(Kind::string) ? decode_base64url(node->text) : std::nullopt;
    if (!value) mistake(*node, "something else", expected);
    return value;
  }

  std::set<std::string> kids_;
};

}  // namespace

std::variant<std::vector<Jwk>, Mistakes> read_jwks(std::string_view text) {
  const auto tree = parse_json_tree(text, 8);
  if (const auto* problem = std::get_if<JsonProblem>(&tree)) return Mistakes{{"", problem->found, problem->expected}};
  Reader reader;
  reader.read(std::get<JsonTree>(tree));
  if (Mistakes mistakes = reader.mistakes(); !mistakes.empty()) return mistakes;
  return std::move(reader.keys);
}

}  // namespace daybook::reader
