// Decimals as scaled 64-bit integers, exact: no floating point on the way from a JSON number's text to the database.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace daybook {

inline constexpr int decimal_digits = 18;  // of a decimal in all: numeric(18, scale)

// The number that `text` says, times 10^scale. `text` has the form of a JSON number ("7.25", "-3e2", "0.10"). nullopt
// when it is none, when it has digits behind the scale that are not 0, and when it has more than 18 digits in all.
inline std::optional<std::int64_t> parse_decimal(std::string_view text, int scale) {
  std::size_t at = 0;
  const auto digit = [&] { return at < text.size() && text[at] >= '0' && text[at] <= '9'; };
  const bool negative = !text.empty() && text[0] == '-';
  if (negative) ++at;
  if (!digit() || (text[at] == '0' && at + 1 < text.size() && text[at + 1] >= '0' && text[at + 1] <= '9'))
    return std::nullopt;
  std::int64_t digits = 0;  // all but leading zeros and zeros held back
  std::int64_t count = 0;   // how many those are
  std::int64_t held = 0;    // zeros behind them that may be the last ones
  std::int64_t behind = 0;  // digits read behind the point
  bool too_many = false;
  const auto take = [&](char c) {
    if (c == '0') {
      if (count > 0) ++held;
      return;
    }
    if (count + held + 1 > decimal_digits) {
      too_many = true;
      return;
    }
    for (; held > 0; --held, ++count) digits *= 10;
    digits = digits * 10 + (c - '0');
    ++count;
  };
  for (; digit(); ++at) take(text[at]);
  if (at < text.size() && text[at] == '.') {
    ++at;
    if (!digit()) return std::nullopt;
    for (; digit(); ++at, ++behind) take(text[at]);
  }
  std::int64_t exponent = 0;
  if (at < text.size() && (text[at] == 'e' || text[at] == 'E')) {
    ++at;
    const bool down = at < text.size() && text[at] == '-';
    if (at < text.size() && (text[at] == '-' || text[at] == '+')) ++at;
    if (!digit()) return std::nullopt;
    for (; digit(); ++at) {
      if (exponent < 1'000'000'000) exponent = exponent * 10 + (text[at] - '0');
    }
    if (down) exponent = -exponent;
  }
  if (at != text.size() || too_many) return std::nullopt;
  if (count == 0) return 0;
  const std::int64_t power = held - behind + exponent + scale;
  if (power < 0 || count + power > decimal_digits) return std::nullopt;
  for (std::int64_t i = 0; i < power; ++i) digits *= 10;
  return negative ? -digits : digits;
}

constexpr std::int64_t power_of_ten(int exponent) {
  std::int64_t power = 1;
  while (exponent-- > 0) power *= 10;
  return power;
}

// An integer, times 10^scale; nullopt: more than 18 digits.
inline std::optional<std::int64_t> scale_integer(std::int64_t value, int scale) {
  const std::int64_t power = power_of_ten(scale);
  const std::int64_t most = (power_of_ten(decimal_digits) - 1) / power;
  return value > most || value < -most ? std::nullopt : std::optional(value * power);
}

// As PostgreSQL prints numeric(18, scale): "7.25", "-0.10", "3".
inline std::string decimal_text(std::int64_t scaled, int scale) {
  const auto magnitude = scaled < 0 ? 0 - static_cast<std::uint64_t>(scaled) : static_cast<std::uint64_t>(scaled);
  std::string text = std::to_string(magnitude);
  const auto behind = static_cast<std::size_t>(scale);
  if (text.size() <= behind) text.insert(0, behind + 1 - text.size(), '0');
  if (behind > 0) text.insert(text.size() - behind, ".");
  return (scaled < 0 ? "-" : "") + text;
}

}  // namespace daybook
