#include "reader/access/jwt.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/param_build.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <set>

#include "core/json_tree.h"
#include "reader/access/encoding.h"

namespace daybook::reader {
namespace {

using Kind = JsonNode::Kind;

constexpr std::size_t max_depth = 16;
constexpr std::size_t max_subject_bytes = 255;
constexpr double max_seconds = 1e12;  // beyond any calendar, within int64

template <typename T, void (*release)(T*)>
struct Releases {
  void operator()(T* object) const { release(object); }
};
template <typename T, void (*release)(T*)>
using Owned = std::unique_ptr<T, Releases<T, release>>;

const std::uint8_t* bytes(std::string_view text) { return reinterpret_cast<const std::uint8_t*>(text.data()); }

std::shared_ptr<EVP_PKEY> key_from(const char* type, OSSL_PARAM_BLD* builder) {
  const Owned<OSSL_PARAM, OSSL_PARAM_free> parameters(OSSL_PARAM_BLD_to_param(builder));
  const Owned<EVP_PKEY_CTX, EVP_PKEY_CTX_free> context(EVP_PKEY_CTX_new_from_name(nullptr, type, nullptr));
  EVP_PKEY* key = nullptr;
  if (parameters == nullptr || context == nullptr || EVP_PKEY_fromdata_init(context.get()) != 1 ||
      EVP_PKEY_fromdata(context.get(), &key, EVP_PKEY_PUBLIC_KEY, parameters.get()) != 1) {
    ERR_clear_error();
    return nullptr;
  }
  return {key, EVP_PKEY_free};
}

// JWA's r||s as the DER that OpenSSL reads.
std::string der_signature(std::string_view raw) {
  const Owned<ECDSA_SIG, ECDSA_SIG_free> signature(ECDSA_SIG_new());
  Owned<BIGNUM, BN_free> r(BN_bin2bn(bytes(raw), 32, nullptr));
  Owned<BIGNUM, BN_free> s(BN_bin2bn(bytes(raw) + 32, 32, nullptr));
  if (signature == nullptr || r == nullptr || s == nullptr) return {};
  if (ECDSA_SIG_set0(signature.get(), r.get(), s.get()) != 1) return {};
  static_cast<void>(r.release());  // the signature's now
  static_cast<void>(s.release());
  std::uint8_t* der = nullptr;
  const int size = i2d_ECDSA_SIG(signature.get(), &der);
  if (size <= 0) return {};
  std::string text(reinterpret_cast<const char*>(der), static_cast<std::size_t>(size));
  OPENSSL_free(der);
  return text;
}

bool is_signed_by(const Jwk& key, std::string_view content, std::string_view signature) {
  if (key.algorithm == Algorithm::hs256) {
    std::uint8_t mac[EVP_MAX_MD_SIZE];
    unsigned size = 0;
    if (HMAC(EVP_sha256(), key.secret.data(), static_cast<int>(key.secret.size()), bytes(content), content.size(), mac,
             &size) == nullptr) {
      return false;
    }
    return signature.size() == size && CRYPTO_memcmp(mac, signature.data(), size) == 0;
  }
  std::string der;
  if (key.algorithm == Algorithm::es256) {
    if (signature.size() != 64) return false;
    der = der_signature(signature);
    signature = der;
  }
  const Owned<EVP_MD_CTX, EVP_MD_CTX_free> context(EVP_MD_CTX_new());
  const bool good =
      context != nullptr &&
      EVP_DigestVerifyInit(context.get(), nullptr, EVP_sha256(), nullptr, key.public_key.get()) == 1 &&
      EVP_DigestVerify(context.get(), bytes(signature), signature.size(), bytes(content), content.size()) == 1;
  if (!good) ERR_clear_error();
  return good;
}

bool has_duplicates(const JsonTree& tree) {
  for (const JsonNode& node : tree.nodes) {
    if (!node.is(Kind::object)) continue;
    std::set<std::string_view> names;
    for (const JsonNode* child : node.children) {
      if (!names.insert(child->name).second) return true;
    }
  }
  return false;
}

// A part of the token that is a JSON object.
std::optional<JsonTree> object_in(std::string_view part) {
  const std::optional<std::string> text = decode_base64url(part);
  if (!text) return std::nullopt;
  auto read = parse_json_tree(*text, max_depth);
  auto* tree = std::get_if<JsonTree>(&read);
  if (tree == nullptr || !tree->nodes.front().is(Kind::object) || has_duplicates(*tree)) return std::nullopt;
  return std::move(*tree);
}

// As text, where it is a string or a number, or an array of such.
std::optional<std::vector<std::string>> texts(const JsonNode& node) {
  const auto is_plain = [](const JsonNode& n) {
    return n.is(Kind::string) || n.is(Kind::integer) || n.is(Kind::number);
  };
  if (is_plain(node)) return std::vector<std::string>{node.text};
  if (!node.is(Kind::array)) return std::nullopt;
  std::vector<std::string> all;
  for (const JsonNode* element : node.children) {
    if (!is_plain(*element)) return std::nullopt;
    all.push_back(element->text);
  }
  return all;
}

void add_scopes(const JsonNode* node, std::vector<std::string>& scopes) {
  if (node == nullptr) return;
  const auto add = [&scopes](std::string_view scope) {
    if (!scope.empty() && std::find(scopes.begin(), scopes.end(), scope) == scopes.end()) scopes.emplace_back(scope);
  };
  if (node->is(Kind::string)) {
    std::string_view rest = node->text;
    while (!rest.empty()) {
      const std::size_t end = std::min(rest.find(' '), rest.size());
      add(rest.substr(0, end));
      rest.remove_prefix(std::min(end + 1, rest.size()));
    }
    return;
  }
  if (!node->is(Kind::array)) return;
  for (const JsonNode* element : node->children) {
    if (element->is(Kind::string)) add(element->text);
  }
}

// A NumericDate: whole seconds are the rule, fractions are allowed.
std::optional<double> date(const JsonNode& node) {
  double seconds = 0;
  if (node.is(Kind::integer)) {
    seconds = static_cast<double>(node.integer);
  } else if (node.is(Kind::number)) {
    seconds = node.number;
  } else {
    return std::nullopt;
  }
  if (!(std::abs(seconds) <= max_seconds)) return std::nullopt;
  return seconds;
}

Refusal refuse(Reason reason, std::string detail) { return {reason, std::move(detail)}; }

// What an authentic token says.
std::variant<Known, Refusal> judge(const JsonNode& claims, const JwtSettings& settings, Time now) {
  Known known;
  constexpr std::int64_t leeway = jwt_leeway.count();
  const JsonNode* exp = claims.member("exp");
  if (exp == nullptr) return refuse(Reason::claims, "no exp");
  if (const auto seconds = date(*exp)) {
    known.until = static_cast<std::int64_t>(std::ceil(*seconds)) + leeway;
  } else {
    return refuse(Reason::claims, "exp is " + exp->shown() + ", no date");
  }
  for (const char* name : {"nbf", "iat"}) {
    const JsonNode* node = claims.member(name);
    if (node == nullptr) continue;
    const auto seconds = date(*node);
    if (!seconds) return refuse(Reason::claims, std::string(name) + " is " + node->shown() + ", no date");
    known.from = std::max(known.from, static_cast<std::int64_t>(std::ceil(*seconds)) - leeway);
  }
  if (unix_seconds(now) >= known.until) return refuse(Reason::expired, "exp is " + exp->shown());
  if (unix_seconds(now) < known.from) return refuse(Reason::too_early, "nbf or iat lies ahead");

  if (!settings.issuer.empty()) {
    const JsonNode* iss = claims.member("iss");
    if (iss == nullptr || !iss->is(Kind::string) || iss->text != settings.issuer)
      return refuse(Reason::issuer, "iss is " + (iss == nullptr ? "missing" : iss->shown()));
  }
  if (!settings.audiences.empty()) {
    const JsonNode* aud = claims.member("aud");
    bool found = false;
    const auto is_ours = [&settings](const JsonNode& node) {
      return node.is(Kind::string) &&
             std::find(settings.audiences.begin(), settings.audiences.end(), node.text) != settings.audiences.end();
    };
    if (aud != nullptr && aud->is(Kind::array)) {
      found =
          std::any_of(aud->children.begin(), aud->children.end(), [&](const JsonNode* one) { return is_ours(*one); });
    } else if (aud != nullptr) {
      found = is_ours(*aud);
    }
    if (!found) return refuse(Reason::audience, "aud is " + (aud == nullptr ? "missing" : aud->shown()));
  }

  auto who = std::make_shared<Identity>();
  if (const JsonNode* sub = claims.member("sub")) {
    // It goes to logs, where a line's end would begin a line of somebody else's making.
    const auto is_control = [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; };
    if (!sub->is(Kind::string) || sub->text.size() > max_subject_bytes ||
        std::any_of(sub->text.begin(), sub->text.end(), is_control)) {
      return refuse(Reason::claims, "sub is no string of at most 255 bytes without control characters");
    }
    who->subject = sub->text;
  }
  for (const char* name : {"scope", "scp", "permissions"}) add_scopes(claims.member(name), who->scopes);
  for (const JsonNode* claim : claims.children) {
    if (auto values = texts(*claim)) who->claims.emplace(claim->name, std::move(*values));
  }
  known.who = std::move(who);
  return known;
}

}  // namespace

std::string_view name_of(Algorithm algorithm) {
  switch (algorithm) {
    case Algorithm::hs256:
      return "HS256";
    case Algorithm::rs256:
      return "RS256";
    case Algorithm::es256:
      break;
  }
  return "ES256";
}

std::shared_ptr<EVP_PKEY> rsa_key(std::string_view modulus, std::string_view exponent) {
  if (modulus.size() > 1024 || exponent.size() > 8) return nullptr;
  const Owned<BIGNUM, BN_free> n(BN_bin2bn(bytes(modulus), static_cast<int>(modulus.size()), nullptr));
  const Owned<BIGNUM, BN_free> e(BN_bin2bn(bytes(exponent), static_cast<int>(exponent.size()), nullptr));
  const Owned<OSSL_PARAM_BLD, OSSL_PARAM_BLD_free> builder(OSSL_PARAM_BLD_new());
  if (n == nullptr || e == nullptr || builder == nullptr || BN_num_bits(n.get()) < 2048 || BN_is_odd(n.get()) == 0 ||
      BN_is_odd(e.get()) == 0 || BN_is_one(e.get()) == 1 ||
      OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_N, n.get()) != 1 ||
      OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_E, e.get()) != 1) {
    return nullptr;
  }
  return key_from("RSA", builder.get());
}

std::shared_ptr<EVP_PKEY> p256_key(std::string_view x, std::string_view y) {
  if (x.size() != 32 || y.size() != 32) return nullptr;
  const std::string point = "\x04" + std::string(x) + std::string(y);  // uncompressed
  const Owned<OSSL_PARAM_BLD, OSSL_PARAM_BLD_free> builder(OSSL_PARAM_BLD_new());
  if (builder == nullptr ||
      OSSL_PARAM_BLD_push_utf8_string(builder.get(), OSSL_PKEY_PARAM_GROUP_NAME, "prime256v1", 0) != 1 ||
      OSSL_PARAM_BLD_push_octet_string(builder.get(), OSSL_PKEY_PARAM_PUB_KEY, point.data(), point.size()) != 1) {
    return nullptr;
  }
  return key_from("EC", builder.get());  // a point off the curve is refused there
}

std::variant<Known, Refusal> verify_jwt(std::string_view token, const std::vector<Jwk>& keys,
                                        const JwtSettings& settings, Time now) {
  if (token.size() > max_jwt_bytes)
    return refuse(Reason::malformed, std::to_string(token.size()) + " bytes, more than 8192");
  const std::size_t first = token.find('.');
  const std::size_t second = first == std::string_view::npos ? first : token.find('.', first + 1);
  if (second == std::string_view::npos || token.find('.', second + 1) != std::string_view::npos)
    return refuse(Reason::malformed, "not three parts with '.' between them");

  const std::optional<JsonTree> header = object_in(token.substr(0, first));
  if (!header) return refuse(Reason::malformed, "the header is no JSON object in base64url with each member once");
  const JsonNode& head = header->nodes.front();
  // What we don't know must not be passed over.
  if (head.member("crit") != nullptr) return refuse(Reason::malformed, "the header has crit, which we know nothing of");
  const JsonNode* alg = head.member("alg");
  if (alg == nullptr || !alg->is(Kind::string)) return refuse(Reason::malformed, "the header has no alg");

  const JsonNode* kid = head.member("kid");
  const Jwk* key = nullptr;
  if (kid == nullptr) {
    if (keys.size() != 1) return refuse(Reason::rejected, "no kid, and the JWKS file has not just one key");
    key = &keys.front();
  } else {
    const auto found = std::find_if(keys.begin(), keys.end(),
                                    [kid](const Jwk& one) { return kid->is(Kind::string) && one.kid == kid->text; });
    if (found == keys.end()) return refuse(Reason::rejected, "kid " + kid->shown() + " is not in the JWKS file");
    key = &*found;
  }
  if (alg->text != name_of(key->algorithm)) {
    return refuse(Reason::rejected, "alg is " + alg->shown() + ", key " + quoted_ascii(key->kid) + " is for " +
                                        std::string(name_of(key->algorithm)));
  }
  const std::optional<std::string> signature = decode_base64url(token.substr(second + 1));
  if (!signature) return refuse(Reason::malformed, "the signature is not base64url");
  if (!is_signed_by(*key, token.substr(0, second), *signature))
    return refuse(Reason::rejected, "not signed with key " + quoted_ascii(key->kid));

  const std::optional<JsonTree> claims = object_in(token.substr(first + 1, second - first - 1));
  if (!claims) return refuse(Reason::claims, "the claims are no JSON object in base64url with each member once");
  std::variant<Known, Refusal> outcome = judge(claims->nodes.front(), settings, now);
  if (Known* known = std::get_if<Known>(&outcome)) {
    // Without a subject each token is a client of its own.
    known->client = known->who->subject.empty() ? client_of_name("jwt-token:" + std::string(token))
                                                : client_of_name("jwt-subject:" + known->who->subject);
  }
  return outcome;
}

}  // namespace daybook::reader
