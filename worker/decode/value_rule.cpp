#include "worker/decode/value_rule.h"

#include <sodium.h>

#include <cstring>
#include <limits>

#include "core/decimal.h"
#include "core/sketch.h"

namespace daybook {

std::optional<std::int64_t> number_of(const ValueRule& rule, JsonEvent& event, const MemberValue& value) {
  if (rule.type == ColumnType::decimal) {
    if (const std::optional<std::string_view> text = value.as_string()) return parse_decimal(*text, rule.scale);
    if (value.is_fraction()) return parse_decimal(event.raw(rule.path).value_or(std::string_view()), rule.scale);
    const std::optional<std::int64_t> integer = value.as_integer();
    return integer ? scale_integer(*integer, rule.scale) : std::nullopt;
  }
  const std::optional<std::int64_t> integer = value.as_integer();
  if (!integer) return std::nullopt;
  if (rule.type == ColumnType::int4 && *integer != static_cast<std::int32_t>(*integer)) return std::nullopt;
  // The smallest has no opposite, which a bucket of a sketch needs.
  if (rule.aggregate == Aggregate::quantile && *integer == std::numeric_limits<std::int64_t>::min())
    return std::nullopt;
  return integer;
}

std::string number_expected(const ValueRule& rule) {
  if (rule.type == ColumnType::decimal) {
    return "a number, or a string with one, of at most 18 digits, at most " + std::to_string(rule.scale) +
           " of them behind the point";
  }
  return rule.type == ColumnType::int4 ? "an integer of 32 bits" : "an integer of at most 64 bits";
}

std::optional<std::int64_t> distinct_entry(const MemberValue& value) {
  std::string text;
  if (const std::optional<std::string_view> string = value.as_string()) {
    text.append("s").append(*string);
  } else if (const std::optional<std::int64_t> integer = value.as_integer()) {
    text = "i" + std::to_string(*integer);
  } else {
    return std::nullopt;
  }
  unsigned char hash[crypto_shorthash_BYTES];
  static_assert(sizeof hash == sizeof(std::uint64_t) && sizeof sketch::distinct_key == crypto_shorthash_KEYBYTES);
  crypto_shorthash(hash, reinterpret_cast<const unsigned char*>(text.data()), text.size(), sketch::distinct_key);
  std::uint64_t number = 0;
  std::memcpy(&number, hash, sizeof number);
  return sketch::register_entry(number);
}

}  // namespace daybook
