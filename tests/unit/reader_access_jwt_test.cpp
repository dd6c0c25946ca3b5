// JWTs: good ones, RFC 7515's own examples, and every way in which one may be wrong, each refused for its own reason.
#include <doctest/doctest.h>

#include "reader/access/files.h"
#include "reader/access/jwt.h"
#include "tests/support/jwt_maker.h"

using namespace daybook::reader;
using namespace daybook::test;

namespace {

using std::chrono::seconds;

const std::string secret = "0123456789abcdef0123456789abcdef";
const Key& rsa_pair() {
  static const Key key = rsa(2048);
  return key;
}
const Key& ec_pair() {
  static const Key key = p256();
  return key;
}

const std::vector<Jwk>& keys() {
  static const std::vector<Jwk> all = [] {
    auto read = read_jwks(R"({"keys":[)" + secret_jwk("h", secret) + "," + rsa_jwk("r", rsa_pair()) + "," +
                          ec_jwk("e", ec_pair()) + "]}");
    REQUIRE(std::holds_alternative<std::vector<Jwk>>(read));
    return std::get<std::vector<Jwk>>(std::move(read));
  }();
  return all;
}

constexpr Time now{seconds{1'800'000'000}};

JwtSettings settings() { return {"https://issuer.example", {"daybook", "other"}}; }

std::string claims(const std::string& more = "", const std::string& exp = "1800000600") {
  return R"({"iss":"https://issuer.example","aud":"daybook","sub":"u-1","exp":)" + exp + more + "}";
}

// The reason, or "good".
std::string outcome_of(const std::string& token, const JwtSettings& with = settings(), Time at = now) {
  static constexpr const char* names[reason_count] = {"missing",  "malformed", "rejected", "expired", "too_early",
                                                      "audience", "issuer",    "claims",   "disabled"};
  const auto outcome = verify_jwt(token, keys(), with, at);
  if (const auto* refusal = std::get_if<Refusal>(&outcome)) {
    CHECK_FALSE(refusal->detail.empty());
    return names[static_cast<std::size_t>(refusal->reason)];
  }
  CHECK(std::get<Known>(outcome).who != nullptr);
  return "good";
}

std::string hs(const std::string& body) { return hs256(secret, R"({"alg":"HS256","kid":"h"})", body); }

std::string jwks_mistakes(const std::string& text) {
  const auto read = read_jwks(text);
  if (!std::holds_alternative<Mistakes>(read)) return "none";
  std::string all;
  for (const auto& mistake : std::get<Mistakes>(read)) all += to_string(mistake) + "\n";
  return all;
}

// RFC 7515, appendix A.1 to A.3: the payload is the same.
constexpr Time rfc_time{seconds{1'300'819'000}};
const std::string rfc_payload =
    ".eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.";

std::variant<Known, Refusal> verify_rfc(const std::string& key, const std::string& token) {
  auto read = read_jwks(R"({"keys":[)" + key + "]}");
  REQUIRE(std::holds_alternative<std::vector<Jwk>>(read));
  return verify_jwt(token, std::get<std::vector<Jwk>>(read), JwtSettings{"joe", {}}, rfc_time);
}

}  // namespace

TEST_CASE("base64url has one spelling for each value") {
  for (const std::string& bytes :
       {std::string(), std::string("f"), std::string("fo"), std::string("foo"), std::string("\xff\xfe\0\x01", 4)}) {
    CHECK(decode_base64url(encode_base64url(bytes)) == bytes);
  }
  CHECK(encode_base64url("\xff\xff\xfe") == "___-");
  for (const char* wrong :
       {"Zg==", "Zg=", "Z", "Zh", "Zm9=", "Zm 9v", "Zm9v\n", "Zm+v", "Zm/v", "Zm9vZ", "Zm9vA", "A", "Zm8\x80"}) {
    CAPTURE(wrong);
    CHECK_FALSE(decode_base64url(wrong).has_value());
  }
  CHECK(decode_base64url(std::string_view("Zm9\0", 4)) == std::nullopt);
  CHECK(to_hex(sha256("abc")) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  CHECK(sha256_from_hex(to_hex(sha256("abc"))) == sha256("abc"));
  CHECK_FALSE(sha256_from_hex("BA7816BF8F01CFEA414140DE5DAE2223B00361A396177A9CB410FF61F20015AD").has_value());
}

TEST_CASE("the examples of RFC 7515") {
  const std::string hs_token =
      "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9" + rfc_payload + "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
  const std::string hs_key =
      R"({"kty":"oct","alg":"HS256","kid":"1","k":)"
      R"("AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow"})";
  CHECK(std::holds_alternative<Known>(verify_rfc(hs_key, hs_token)));

  const std::string rs_token =
      "eyJhbGciOiJSUzI1NiJ9" + rfc_payload +
      "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CU"
      "Ar7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_d"
      "O--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0ig"
      "cN_IoypGlUPQGe77Rw";
  const std::string rs_key =
      R"({"kty":"RSA","alg":"RS256","kid":"1","e":"AQAB","n":")"
      "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZ"
      "S-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2"
      "R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcD"
      R"(TW9gb54h4FRWyuXpoQ"})";
  CHECK(std::holds_alternative<Known>(verify_rfc(rs_key, rs_token)));

  const std::string es_token = "eyJhbGciOiJFUzI1NiJ9" + rfc_payload +
                               "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
  const std::string es_key =
      R"({"kty":"EC","crv":"P-256","alg":"ES256","kid":"1","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",)"
      R"("y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"})";
  CHECK(std::holds_alternative<Known>(verify_rfc(es_key, es_token)));

  // Each with another's key, and A.5 (alg none).
  for (const std::string& key : {hs_key, rs_key, es_key}) {
    int good = 0;
    for (const std::string& token : {hs_token, rs_token, es_token})
      good += std::holds_alternative<Known>(verify_rfc(key, token)) ? 1 : 0;
    CHECK(good == 1);
    const auto none = verify_rfc(key, "eyJhbGciOiJub25lIn0" + rfc_payload);
    REQUIRE(std::holds_alternative<Refusal>(none));
    CHECK(std::get<Refusal>(none).reason == Reason::rejected);
  }
}

TEST_CASE("a good token of each algorithm, and who it is") {
  const std::string body =
      claims(R"(,"scope":"views:read rows:all","facility_id":"f-1","ward":[1,"b"],"n":2.50,"big":18446744073709551615,
                                     "flag":true,"nested":{"a":1},"mixed":[1,{}])");
  for (const std::string& token : {hs(body), rs256(rsa_pair(), R"({"alg":"RS256","kid":"r","typ":"JWT"})", body),
                                   es256(ec_pair(), R"({"alg":"ES256","kid":"e"})", body)}) {
    const auto outcome = verify_jwt(token, keys(), settings(), now);
    REQUIRE(std::holds_alternative<Known>(outcome));
    const Known& known = std::get<Known>(outcome);
    CHECK(known.who->subject == "u-1");
    CHECK(known.who->scopes == std::vector<std::string>{"views:read", "rows:all"});
    CHECK(known.who->claims.at("facility_id") == std::vector<std::string>{"f-1"});
    CHECK(known.who->claims.at("ward") == std::vector<std::string>{"1", "b"});
    CHECK(known.who->claims.at("n") == std::vector<std::string>{"2.50"});
    CHECK(known.who->claims.at("big") == std::vector<std::string>{"18446744073709551615"});
    for (const char* no_text : {"flag", "nested", "mixed"}) CHECK(known.who->claims.count(no_text) == 0);
    CHECK(known.until == 1'800'000'630);
    CHECK(known.client == client_of_name("jwt-subject:u-1"));
  }
}

TEST_CASE("scopes come from scope, scp and permissions") {
  const auto scopes = [](const std::string& more) {
    const auto outcome = verify_jwt(hs(claims(more)), keys(), settings(), now);
    REQUIRE(std::holds_alternative<Known>(outcome));
    return std::get<Known>(outcome).who->scopes;
  };
  using List = std::vector<std::string>;
  CHECK(scopes("") == List{});
  CHECK(scopes(R"(,"scope":" a  b a ")") == List{"a", "b"});
  CHECK(scopes(R"(,"scp":["views:read","x y"],"permissions":["admin",7,"views:read"])") ==
        List{"views:read", "x y", "admin"});
  CHECK(scopes(R"(,"scp":"a b")") == List{"a", "b"});
  CHECK(scopes(R"(,"scope":{"a":1},"permissions":null)") == List{});
}

TEST_CASE("times, with leeway") {
  const auto at = [](std::int64_t s) { return Time{seconds{s}}; };
  const std::string token = hs(claims(R"(,"nbf":1800000000,"iat":1799999000)", "1800000600"));
  CHECK(outcome_of(token, settings(), at(1'799'999'969)) == "too_early");
  CHECK(outcome_of(token, settings(), at(1'799'999'970)) == "good");
  CHECK(outcome_of(token, settings(), at(1'800'000'629)) == "good");
  CHECK(outcome_of(token, settings(), at(1'800'000'630)) == "expired");
  CHECK(outcome_of(hs(claims(R"(,"iat":1800000031)"))) == "too_early");
  CHECK(outcome_of(hs(claims(R"(,"iat":1800000030)"))) == "good");
  CHECK(outcome_of(hs(claims("", "1800000600.5"))) == "good");
}

TEST_CASE("what is wrong with a token decides the answer") {
  const std::string good = hs(claims());
  REQUIRE(outcome_of(good) == "good");
  const std::string public_pem_like = number(rsa_pair(), OSSL_PKEY_PARAM_RSA_N);
  const std::string header = R"({"alg":"HS256","kid":"h"})";
  const std::string body_of_64k(70'000, 'a');
  std::string flipped = good;
  flipped[good.rfind('.') + 5] = flipped[good.rfind('.') + 5] == 'A' ? 'B' : 'A';
  const std::string es_content = content(R"({"alg":"ES256","kid":"e"})", claims());
  const std::string es_signature = sign_es256(ec_pair(), es_content);
  const auto with_signature = [&](const std::string& signature) {
    return es_content + "." + encode_base64url(signature);
  };
  const Key other_rsa = rsa(2048);

  const struct {
    const char* what;
    std::string token;
    const char* outcome;
  } cases[] = {
      {"nothing", "", "malformed"},
      {"one part", "abc", "malformed"},
      {"two parts", content(header, claims()), "malformed"},
      {"four parts", good + ".x", "malformed"},
      {"trailing garbage", good + "AAAA", "rejected"},
      {"trailing space", good + " ", "malformed"},
      {"trailing newline", good + "\n", "malformed"},
      {"padding", good + "=", "malformed"},
      {"a bit behind the last byte", good.substr(0, good.size() - 1) + static_cast<char>(good.back() + 1), "malformed"},
      {"no signature", content(header, claims()) + ".", "rejected"},
      {"a changed signature", flipped, "rejected"},
      {"claims of another token",
       good.substr(0, good.find('.')) + "." + encode_base64url(claims(R"(,"scope":"admin")")) +
           good.substr(good.rfind('.')),
       "rejected"},
      {"alg none", content(R"({"alg":"none","kid":"h"})", claims()) + ".", "rejected"},
      {"alg None", content(R"({"alg":"None"})", claims()) + ".", "rejected"},
      {"alg in lower case", hs256(secret, R"({"alg":"hs256","kid":"h"})", claims()), "rejected"},
      {"alg missing", hs256(secret, R"({"kid":"h"})", claims()), "malformed"},
      {"alg a number", hs256(secret, R"({"alg":256,"kid":"h"})", claims()), "malformed"},
      {"the public RSA key as HMAC's secret",
       hs256(*decode_base64url(public_pem_like), R"({"alg":"HS256","kid":"r"})", claims()), "rejected"},
      {"an empty secret", hs256("", R"({"alg":"HS256","kid":"r"})", claims()), "rejected"},
      {"a stronger alg than the key's", rs256(rsa_pair(), R"({"alg":"RS512","kid":"r"})", claims()), "rejected"},
      {"another RSA key", rs256(other_rsa, R"({"alg":"RS256","kid":"r"})", claims()), "rejected"},
      {"kid unknown", hs256(secret, R"({"alg":"HS256","kid":"x"})", claims()), "rejected"},
      {"kid a number", hs256(secret, R"({"alg":"HS256","kid":1})", claims()), "rejected"},
      {"no kid among several keys", hs256(secret, R"({"alg":"HS256"})", claims()), "rejected"},
      {"a key of its own", hs256(secret, R"({"alg":"HS256","kid":"x","jwk":{"kty":"oct","k":"AA"}})", claims()),
       "rejected"},
      {"crit", hs256(secret, R"({"alg":"HS256","kid":"h","crit":["b64"],"b64":false})", claims()), "malformed"},
      {"alg twice", hs256(secret, R"({"alg":"none","alg":"HS256","kid":"h"})", claims()), "malformed"},
      {"the header an array", hs256(secret, R"(["alg"])", claims()), "malformed"},
      {"the header deep", hs256(secret, std::string(40, '[') + std::string(40, ']'), claims()), "malformed"},
      {"the header not UTF-8", hs256(secret, "{\"alg\":\"HS256\",\"kid\":\"h\",\"x\":\"\xff\"}", claims()),
       "malformed"},
      {"garbage behind the header", hs256(secret, header + "x", claims()), "malformed"},
      {"ES256 as DER", with_signature(sign_plainly(ec_pair(), es_content)), "rejected"},
      {"ES256 all zeros", with_signature(std::string(64, '\0')), "rejected"},
      {"ES256 r zero", with_signature(std::string(32, '\0') + es_signature.substr(32)), "rejected"},
      {"ES256 one byte more", with_signature(es_signature + '\0'), "rejected"},
      {"ES256 one byte less", with_signature(es_signature.substr(0, 63)), "rejected"},
      {"ES256 good", with_signature(es_signature), "good"},
      {"too large", hs(claims(",\"x\":\"" + body_of_64k + "\"")), "malformed"},
      {"claims an array", hs("[]"), "claims"},
      {"claims not JSON", hs("{"), "claims"},
      {"a claim twice", hs(R"({"exp":1,"exp":1800000600})"), "claims"},
      {"a nested member twice", hs(claims(R"(,"a":{"b":1,"b":2})")), "claims"},
      {"exp missing", hs(R"({"iss":"https://issuer.example","aud":"daybook"})"), "claims"},
      {"exp a string", hs(claims("", "\"1800000600\"")), "claims"},
      {"exp null", hs(claims("", "null")), "claims"},
      {"exp beyond all", hs(claims("", "1e300")), "claims"},
      {"nbf a string", hs(claims(R"(,"nbf":"0")")), "claims"},
      {"sub a number", hs(R"({"iss":"https://issuer.example","aud":"daybook","exp":1800000600,"sub":7})"), "claims"},
      {"sub with a line's end", hs(R"({"iss":"https://issuer.example","aud":"daybook","exp":1800000600,"sub":"a\nb"})"),
       "claims"},
      {"sub too long",
       hs(R"({"iss":"https://issuer.example","aud":"daybook","exp":1800000600,"sub":")" + std::string(256, 's') +
          "\"}"),
       "claims"},
      {"expired long ago", hs(claims("", "1")), "expired"},
      {"expired before all times", hs(claims("", "-5")), "expired"},
      {"not yet valid", hs(claims(R"(,"nbf":1900000000)")), "too_early"},
      {"iss missing", hs(R"({"aud":"daybook","exp":1800000600})"), "issuer"},
      {"iss another", hs(R"({"iss":"https://issuer.example/","aud":"daybook","exp":1800000600})"), "issuer"},
      {"aud missing", hs(R"({"iss":"https://issuer.example","exp":1800000600})"), "audience"},
      {"aud another", hs(R"({"iss":"https://issuer.example","aud":"day","exp":1800000600})"), "audience"},
      {"aud others", hs(R"({"iss":"https://issuer.example","aud":["a",7],"exp":1800000600})"), "audience"},
      {"aud among others", hs(R"({"iss":"https://issuer.example","aud":["a","other"],"exp":1800000600})"), "good"},
  };
  for (const auto& one : cases) {
    CAPTURE(one.what);
    CHECK(outcome_of(one.token) == one.outcome);
  }
}

TEST_CASE("an expired token that is not authentic is not called expired") {
  CHECK(outcome_of(hs256("another secret of thirty-two bytes", R"({"alg":"HS256","kid":"h"})", claims("", "1"))) ==
        "rejected");
}

TEST_CASE("without a subject each token is a client of its own") {
  const std::string body = R"({"iss":"https://issuer.example","aud":"daybook","exp":1800000600,"jti":")";
  const auto one = verify_jwt(hs(body + "1\"}"), keys(), settings(), now);
  const auto other = verify_jwt(hs(body + "2\"}"), keys(), settings(), now);
  CHECK(std::get<Known>(one).client != std::get<Known>(other).client);
}

TEST_CASE("the file of keys: every mistake at once, and no secret in a message") {
  const Key weak = rsa(1024);
  const std::string text =
      R"({"keys":[)"
      R"({"kty":"oct","kid":"a","alg":"HS256","k":"c2VjcmV0LXNlY3JldA"},)"  // 13 bytes
      R"({"kty":"oct","kid":"a","alg":"HS512","k":"c2VjcmV0LXNlY3JldA"},)"
      R"({"kty":"RSA","kid":"b","n":"AQ","e":"AQAB"},)"
      R"({"kty":"oct","kid":"c","alg":"RS256","k":"c2VjcmV0LXNlY3JldA"},)" +
      rsa_jwk("d", weak) +
      R"(,{"kty":"EC","kid":"f","alg":"ES256","crv":"P-384","x":"AA","y":"AA"},)"
      R"({"kty":"EC","kid":"g","alg":"ES256","crv":"P-256","x":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA","y":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"},)"
      R"({"kty":"RSA","kid":"i","alg":"RS256","n":"AQ","e":"AQAB","d":"AQ"},)"
      R"({"kty":"oct","alg":"HS256","use":"enc","k":"c2VjcmV0LXNlY3JldA=="}]})";
  const std::string found = jwks_mistakes(text);
  for (const char* part :
       {"/keys/0/k: found a secret of 13 bytes", "/keys/1/kid: found \"a\" a second time",
        "/keys/1/alg: found \"HS512\"", "/keys/2/alg: found nothing", "/keys/3/kty: found \"oct\", expected \"RSA\"",
        "/keys/4: found an RSA key of 1024 bits", "/keys/5/crv: found \"P-384\"", "/keys/6: found no point",
        "/keys/7/d: found a private key", "/keys/8/kid: found nothing", "/keys/8/use: found \"enc\"",
        "/keys/8/k: found something else"}) {
    INFO(part, " in ", found);
    CHECK(found.find(part) != std::string::npos);
  }
  CHECK(found.find("c2Vj") == std::string::npos);
  CHECK(jwks_mistakes(R"({"keys":[]})") != "none");
  CHECK(jwks_mistakes("[]") != "none");
  CHECK(jwks_mistakes(R"({"keys":[)" + rsa_jwk("d", rsa_pair()) + "],\"more\":1}") == "none");
  CHECK(jwks_mistakes(R"({"keys":[{"kty":"oct","kid":"x","alg":"HS256","x5t":"other programs'","k":")" +
                      encode_base64url(secret) + "\"}]}") == "none");
}
