// Signs tokens as issuers do, also wrong ones, with keys made for the test run.
#pragma once

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rsa.h>

#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>

#include "reader/access/encoding.h"

namespace daybook::test {

using Key = std::shared_ptr<EVP_PKEY>;

inline Key rsa(unsigned bits) { return {EVP_RSA_gen(bits), EVP_PKEY_free}; }
inline Key p256() { return {EVP_EC_gen("P-256"), EVP_PKEY_free}; }

// A number of a key in base64url, `size` bytes or as many as it has.
inline std::string number(const Key& key, const char* name, int size = 0) {
  BIGNUM* n = nullptr;
  if (EVP_PKEY_get_bn_param(key.get(), name, &n) != 1) throw std::runtime_error(name);
  const std::unique_ptr<BIGNUM, void (*)(BIGNUM*)> owned(n, BN_free);
  std::string bytes(static_cast<std::size_t>(size != 0 ? size : BN_num_bytes(n)), '\0');
  BN_bn2binpad(n, reinterpret_cast<unsigned char*>(bytes.data()), static_cast<int>(bytes.size()));
  return reader::encode_base64url(bytes);
}

inline std::string rsa_jwk(const std::string& kid, const Key& key) {
  return R"({"kty":"RSA","alg":"RS256","kid":")" + kid + R"(","n":")" + number(key, OSSL_PKEY_PARAM_RSA_N) +
         R"(","e":")" + number(key, OSSL_PKEY_PARAM_RSA_E) + R"("})";
}
inline std::string ec_jwk(const std::string& kid, const Key& key) {
  return R"({"kty":"EC","crv":"P-256","alg":"ES256","kid":")" + kid + R"(","x":")" +
         number(key, OSSL_PKEY_PARAM_EC_PUB_X, 32) + R"(","y":")" + number(key, OSSL_PKEY_PARAM_EC_PUB_Y, 32) + R"("})";
}
inline std::string secret_jwk(const std::string& kid, std::string_view secret) {
  return R"({"kty":"oct","alg":"HS256","kid":")" + kid + R"(","k":")" + reader::encode_base64url(secret) + R"("})";
}

inline std::string hmac(std::string_view secret, std::string_view content) {
  unsigned char mac[EVP_MAX_MD_SIZE];
  unsigned size = 0;
  HMAC(EVP_sha256(), secret.data(), static_cast<int>(secret.size()),
       reinterpret_cast<const unsigned char*>(content.data()), content.size(), mac, &size);
  return {reinterpret_cast<const char*>(mac), size};
}

// DER for EC keys, as OpenSSL makes it.
inline std::string sign_plainly(const Key& key, std::string_view content) {
  const std::unique_ptr<EVP_MD_CTX, void (*)(EVP_MD_CTX*)> context(EVP_MD_CTX_new(), EVP_MD_CTX_free);
  std::size_t size = 0;
  const auto* bytes = reinterpret_cast<const unsigned char*>(content.data());
  EVP_DigestSignInit(context.get(), nullptr, EVP_sha256(), nullptr, key.get());
  EVP_DigestSign(context.get(), nullptr, &size, bytes, content.size());
  std::string signature(size, '\0');
  if (EVP_DigestSign(context.get(), reinterpret_cast<unsigned char*>(signature.data()), &size, bytes, content.size()) !=
      1)
    throw std::runtime_error("no signature");
  signature.resize(size);
  return signature;
}

// r||s, as JWA wants it.
inline std::string sign_es256(const Key& key, std::string_view content) {
  const std::string der = sign_plainly(key, content);
  const auto* bytes = reinterpret_cast<const unsigned char*>(der.data());
  const std::unique_ptr<ECDSA_SIG, void (*)(ECDSA_SIG*)> signature(
      d2i_ECDSA_SIG(nullptr, &bytes, static_cast<long>(der.size())), ECDSA_SIG_free);
  std::string raw(64, '\0');
  auto* out = reinterpret_cast<unsigned char*>(raw.data());
  BN_bn2binpad(ECDSA_SIG_get0_r(signature.get()), out, 32);
  BN_bn2binpad(ECDSA_SIG_get0_s(signature.get()), out + 32, 32);
  return raw;
}

inline std::string content(std::string_view header, std::string_view claims) {
  return reader::encode_base64url(header) + "." + reader::encode_base64url(claims);
}
inline std::string hs256(std::string_view secret, std::string_view header, std::string_view claims) {
  const std::string signed_part = content(header, claims);
  return signed_part + "." + reader::encode_base64url(hmac(secret, signed_part));
}
inline std::string rs256(const Key& key, std::string_view header, std::string_view claims) {
  const std::string signed_part = content(header, claims);
  return signed_part + "." + reader::encode_base64url(sign_plainly(key, signed_part));
}
inline std::string es256(const Key& key, std::string_view header, std::string_view claims) {
  const std::string signed_part = content(header, claims);
  return signed_part + "." + reader::encode_base64url(sign_es256(key, signed_part));
}

}  // namespace daybook::test
