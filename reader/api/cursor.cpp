#include "reader/api/cursor.h"

#include <sodium.h>

#include <nlohmann/json.hpp>

namespace daybook::reader {
namespace {

using Json = nlohmann::json;

constexpr int version = 1;
constexpr std::size_t max_cursor = 16 * 1024;  // a key has two texts of 1,000 bytes at most

}  // namespace

std::string query_mark(std::string_view view, const ListQuery& query) {
  Json all = {view, query.order, query.descending};
  for (const Filter& filter : query.filters)
    all.push_back({filter.column, static_cast<int>(filter.test), filter.operands});
  const std::string text = all.dump();
  unsigned char hash[12];
  static_assert(sizeof hash < crypto_generichash_BYTES_MIN);
  unsigned char whole[crypto_generichash_BYTES_MIN];
  crypto_generichash(whole, sizeof whole, reinterpret_cast<const unsigned char*>(text.data()), text.size(), nullptr, 0);
  char hex[2 * sizeof hash + 1];
  return sodium_bin2hex(hex, sizeof hex, whole, sizeof hash);
}

std::string make_cursor(std::string_view mark, const Place& after) {
  Json values = Json::array();
  for (const std::optional<std::string>& value : after) values.push_back(value ? Json(*value) : Json(nullptr));
  const std::string text = Json{{"v", version}, {"q", mark}, {"a", values}}.dump();
  std::string encoded(sodium_base64_encoded_len(text.size(), sodium_base64_VARIANT_URLSAFE_NO_PADDING), '\0');
  sodium_bin2base64(encoded.data(), encoded.size(), reinterpret_cast<const unsigned char*>(text.data()), text.size(),
                    sodium_base64_VARIANT_URLSAFE_NO_PADDING);
  encoded.pop_back();  // its final 0
  return encoded;
}

std::optional<Place> read_cursor(std::string_view cursor, std::string_view mark) {
  if (cursor.empty() || cursor.size() > max_cursor) return std::nullopt;
  std::string text(cursor.size(), '\0');
  std::size_t size = 0;
  if (sodium_base642bin(reinterpret_cast<unsigned char*>(text.data()), text.size(), cursor.data(), cursor.size(),
                        nullptr, &size, nullptr, sodium_base64_VARIANT_URLSAFE_NO_PADDING) != 0) {
    return std::nullopt;
  }
  text.resize(size);
  const Json all = Json::parse(text, nullptr, false);
  if (!all.is_object() || all.value("v", Json()) != version || all.value("q", Json()) != mark) return std::nullopt;
  const Json after = all.value("a", Json());
  if (!after.is_array()) return std::nullopt;
  Place values;
  for (const Json& value : after) {
    if (!value.is_string() && !value.is_null()) return std::nullopt;
    values.push_back(value.is_null() ? std::nullopt : std::optional(value.get<std::string>()));
  }
  return values;
}

}  // namespace daybook::reader
