// JSON Web Tokens (RFC 7519), signed (RFC 7515) with HS256, RS256 or ES256. One algorithm a key: what the token's own
// header says of it has to agree and decides nothing. Pure; OpenSSL does the arithmetic.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "reader/access/known.h"

struct evp_pkey_st;  // OpenSSL's EVP_PKEY

namespace daybook::reader {

enum class Algorithm { hs256, rs256, es256 };
std::string_view name_of(Algorithm algorithm);

struct Jwk {
  std::string kid;
  Algorithm algorithm = Algorithm::rs256;
  std::string secret;                       // HS256
  std::shared_ptr<evp_pkey_st> public_key;  // RS256, ES256
};

// Public keys from what a JWKS file has, as bytes. Null for numbers that are no such key: RSA with 2048 to 8192 bits
// and an odd exponent of 3 to 64 bits, a point of P-256.
std::shared_ptr<evp_pkey_st> rsa_key(std::string_view modulus, std::string_view exponent);
std::shared_ptr<evp_pkey_st> p256_key(std::string_view x, std::string_view y);

struct JwtSettings {
  std::string issuer;                  // empty: any
  std::vector<std::string> audiences;  // one of them has to be among the token's; empty: any
};

inline constexpr std::chrono::seconds jwt_leeway{30};  // between the clocks of issuer and reader
inline constexpr std::size_t max_jwt_bytes = 8 * 1024;

std::variant<Known, Refusal> verify_jwt(std::string_view token, const std::vector<Jwk>& keys,
                                        const JwtSettings& settings, Time now);

}  // namespace daybook::reader
