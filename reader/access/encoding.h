// Bytes as tokens write them: base64url and hex, read strictly so that each value has one spelling only; and SHA-256.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>

namespace daybook::reader {

std::string encode_base64url(std::string_view bytes);  // without padding
// Nothing for padding, white space, other alphabets, an impossible length, or bits behind the last byte that aren't 0.
std::optional<std::string> decode_base64url(std::string_view text);

using Sha256 = std::array<std::uint8_t, 32>;
Sha256 sha256(std::string_view bytes);
std::string to_hex(const Sha256& hash);                        // lower case
std::optional<Sha256> sha256_from_hex(std::string_view text);  // 64 digits of lower case

// For tables whose keys are SHA-256 already. What others choose enters none of them before it was found authentic.
struct Sha256Hash {
  std::size_t operator()(const Sha256& hash) const {
    std::size_t first;
    std::memcpy(&first, hash.data(), sizeof first);
    return first;
  }
};

}  // namespace daybook::reader
