// libFuzzer target: any bytes as a JWT, as the claims of one that is signed well, and as each file of the reader's
// access. An input fails when it crashes, leaks, hangs, or when a token is found good outside its time.
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include "reader/access/files.h"
#include "reader/access/jwt.h"

using namespace daybook::reader;

namespace {

const std::string secret = "0123456789abcdef0123456789abcdef";
constexpr Time now{std::chrono::seconds{1'800'000'000}};

void check(const std::string& token, const std::vector<Jwk>& keys) {
  const auto outcome = verify_jwt(token, keys, JwtSettings{}, now);
  const Known* known = std::get_if<Known>(&outcome);
  if (known == nullptr) return;
  if (known->who == nullptr || known->until <= unix_seconds(now) || known->from > unix_seconds(now)) {
    std::fprintf(stderr, "a token outside its time was found good\n");
    std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const std::vector<Jwk> keys = [] {
    Jwk key;
    key.kid = "h";
    key.algorithm = Algorithm::hs256;
    key.secret = secret;
    return std::vector<Jwk>{key};
  }();
  const std::string text(reinterpret_cast<const char*>(data), size);
  check(text, keys);
  static_cast<void>(read_tokens(text));
  static_cast<void>(read_jwks(text));
  static_cast<void>(read_limits(text));

  const std::string content = encode_base64url(R"({"alg":"HS256"})") + "." + encode_base64url(text);
  unsigned char mac[EVP_MAX_MD_SIZE];
  unsigned length = 0;
  HMAC(EVP_sha256(), secret.data(), static_cast<int>(secret.size()),
       reinterpret_cast<const unsigned char*>(content.data()), content.size(), mac, &length);
  check(content + "." + encode_base64url({reinterpret_cast<const char*>(mac), length}), keys);
  return 0;
}
