#include "verify/gathered.h"

#include <absl/time/time.h>
#include <sodium.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <sstream>

namespace daybook::verify {

void Gathered::take(Aggregate aggregate, std::int64_t value, const Order& order) {
  switch (aggregate) {
    case Aggregate::min:
      number = any ? std::min(number, value) : value;
      break;
    case Aggregate::max:
      number = any ? std::max(number, value) : value;
      break;
    case Aggregate::last: {
      const bool same_time = any && std::get<0>(order) == std::get<0>(newest);
      if (!any || std::get<0>(order) > std::get<0>(newest)) rivals = 0;
      if (!any || same_time || order > newest) ++rivals;
      if (any && order < newest) break;
      newest = order;
      number = value;
      break;
    }
    case Aggregate::quantile:
      ++parts[value];
      break;
    case Aggregate::distinct: {
      std::int64_t& rank = parts[value / 256];
      rank = std::max(rank, value % 256);
      break;
    }
    default:
      break;
  }
  any = true;
}

std::int64_t bucket_of(std::int64_t value) {
  absl::int128 rest = value < 0 ? -absl::int128(value) : absl::int128(value);
  std::int64_t halved = 0;
  for (; rest >= 128; ++halved) rest /= 2;
  const std::int64_t bucket = halved * 64 + static_cast<std::int64_t>(rest);
  return value < 0 ? -bucket : bucket;
}

std::int64_t register_of(const std::string& text) {
  static constexpr unsigned char key[] = "daybook distinct";
  static_assert(sizeof key == crypto_shorthash_KEYBYTES + 1);
  unsigned char hash[crypto_shorthash_BYTES];
  crypto_shorthash(hash, reinterpret_cast<const unsigned char*>(text.data()), text.size(), key);
  // The bits from the highest to the lowest of a little-endian number.
  const auto bit = [&hash](int from_top) {
    const int place = 63 - from_top;
    return hash[place / 8] >> (place % 8) & 1;
  };
  std::int64_t number = 0;
  for (int i = 0; i < 12; ++i) number = number * 2 + bit(i);
  std::int64_t rank = 1;
  for (int i = 12; i < 64 && bit(i) == 0; ++i) ++rank;
  return number * 256 + std::min<std::int64_t>(rank, 36);
}

std::int64_t quantile_of(const Gathered& gathered, int millionths) {
  absl::int128 events = 0;
  for (const auto& [bucket, count] : gathered.parts) events += count;
  absl::int128 before = absl::int128(millionths) * (events - 1) / 1'000'000;
  for (const auto& [bucket, count] : gathered.parts) {
    if (before >= count) {
      before -= count;
      continue;
    }
    const std::int64_t magnitude = bucket < 0 ? -bucket : bucket;
    if (magnitude < 128) return bucket;
    // The lowest and the highest value that are in it.
    absl::int128 lowest = 64 + magnitude % 64;
    absl::int128 width = 1;
    for (std::int64_t halved = magnitude / 64 - 1; halved > 0; --halved) {
      lowest *= 2;
      width *= 2;
    }
    const auto middle = static_cast<std::int64_t>((lowest + (lowest + width - 1)) / 2);
    return bucket < 0 ? -middle : middle;
  }
  return 0;
}

std::int64_t distinct_of(const Gathered& gathered) {
  if (gathered.parts.empty()) return 0;
  // In fixed point, as documented: shares of 2^30, the sum of 2^36.
  absl::int128 share = absl::int128(4096 - static_cast<std::int64_t>(gathered.parts.size())) * (1 << 18);
  absl::int128 sigma = share;
  for (absl::int128 weight = 1; share > 0; weight *= 2) {
    share = share * share / (1 << 30);
    sigma += share * weight;
  }
  absl::int128 sum = sigma * 4096 * 64;
  for (const auto& [number, rank] : gathered.parts) {
    absl::int128 part = absl::int128(1) << 36;
    for (std::int64_t i = 0; i < rank; ++i) part /= 2;
    sum += part;
  }
  return static_cast<std::int64_t>(((absl::int128(12102203) << 36) + sum / 2) / sum);
}

absl::int128 rounded(absl::int128 a, absl::int128 b) {
  const bool negative = (a < 0) != (b < 0);
  if (a < 0) a = -a;
  if (b < 0) b = -b;
  const absl::int128 quotient = (2 * a + b) / (2 * b);
  return negative ? -quotient : quotient;
}

std::string number_text(absl::int128 scaled, int scale) {
  std::ostringstream out;
  out << (scaled < 0 ? -scaled : scaled);
  std::string text = out.str();
  while (scale > 0 && text.size() < static_cast<std::size_t>(scale) + 1) text = "0" + text;
  if (scale > 0)
    text = text.substr(0, text.size() - static_cast<std::size_t>(scale)) + "." +
           text.substr(text.size() - static_cast<std::size_t>(scale));
  return scaled < 0 ? "-" + text : text;
}

std::string time_text(std::int64_t micros) {
  std::string text = absl::FormatTime("%E4Y-%m-%d %H:%M:%E6S", absl::FromUnixMicros(micros), absl::UTCTimeZone());
  while (text.back() == '0') text.pop_back();
  if (text.back() == '.') text.pop_back();
  return text + "+00";
}

std::optional<std::int64_t> scaled_of(std::string_view text, int scale) {
  const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
  // What is JSON, begins like a number and ends with a digit is a number, without white space. (A zero byte would be
  // nlohmann_json's end of the text.)
  if (text.empty() || !(is_digit(text.front()) || text.front() == '-') || !is_digit(text.back()) ||
      text.find('\0') != std::string_view::npos || !nlohmann::json::accept(text))
    return std::nullopt;
  const bool negative = text.front() == '-';
  if (negative) text.remove_prefix(1);
  std::int64_t places = scale;  // how far the digits move to the left
  if (const std::size_t e = text.find_first_of("eE"); e != std::string_view::npos) {
    std::string exponent(text.substr(e + 1));
    const bool down = exponent.front() == '-';
    exponent.erase(0, exponent.find_first_of("123456789"));
    const std::int64_t size = exponent.empty() ? 0 : exponent.size() > 9 ? 1'000'000'000 : std::stoll(exponent);
    places += down ? -size : size;
    text = text.substr(0, e);
  }
  std::string digits(text);
  if (const std::size_t point = digits.find('.'); point != std::string::npos) {
    places -= static_cast<std::int64_t>(digits.size() - point - 1);
    digits.erase(point, 1);
  }
  digits.erase(0, digits.find_first_not_of('0'));
  if (digits.empty()) return 0;
  for (; digits.back() == '0'; ++places) digits.pop_back();
  if (places < 0 || static_cast<std::int64_t>(digits.size()) + places > 18) return std::nullopt;
  digits.append(static_cast<std::size_t>(places), '0');
  return std::stoll((negative ? "-" : "") + digits);
}

}  // namespace daybook::verify
