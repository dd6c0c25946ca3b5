#include "reader/api/key.h"

#include <charconv>

#include "core/row_key.h"
#include "reader/api/text.h"

namespace daybook::reader {
namespace {

constexpr std::size_t max_text_key = 1000;  // as the worker has it

std::optional<std::int64_t> read_integer(std::string_view text) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// Any date-time; one that no hour or minute begins with is in no row.
std::optional<std::int64_t> parse_begin(std::string_view text) {
  const std::optional<std::int64_t> micros = parse_microseconds(text);
  if (!micros || *micros % 1'000'000 != 0) return std::nullopt;
  return *micros / 1'000'000;
}

}  // namespace

std::string_view expected_value(KeyType type) {
  switch (type) {
    case KeyType::uuid:
      return "a uuid such as 6f1c7ab0-3d0c-4f5e-9d2b-1f0e5a7c9b42";
    case KeyType::text:
      return "a text of at most 1000 bytes in UTF-8";
    case KeyType::integer:
      return "an integer of 64 bits";
    case KeyType::date:
      return "a date such as 2026-11-23";
    case KeyType::hour:
    case KeyType::minute:
      return "a time such as 2026-11-23T18:00:00Z";
  }
  return "";
}

bool append_value(std::string& key, KeyType type, std::string_view text) {
  switch (type) {
    case KeyType::uuid:
      return row_key::append_uuid(key, text);
    case KeyType::text:
      if (text.size() > max_text_key || !is_plain_utf8(text)) return false;
      row_key::append_text(key, text);
      return true;
    case KeyType::integer: {
      const std::optional<std::int64_t> value = read_integer(text);
      if (value) row_key::append_integer(key, *value);
      return value.has_value();
    }
    case KeyType::date: {
      const std::optional<CivilDay> day = parse_date(text);
      if (day) row_key::append_date(key, *day);
      return day.has_value();
    }
    case KeyType::hour:
    case KeyType::minute: {
      const std::optional<std::int64_t> instant = parse_begin(text);
      if (instant) row_key::append_begin(key, *instant);
      return instant.has_value();
    }
  }
  return false;
}

std::optional<std::string> canonical_value(KeyType type, std::string_view text) {
  std::string bytes;
  if (!append_value(bytes, type, text)) return std::nullopt;
  switch (type) {
    case KeyType::uuid: {
      std::string lower(text);
      for (char& c : lower) c = c >= 'A' && c <= 'F' ? static_cast<char>(c - 'A' + 'a') : c;
      return lower;
    }
    case KeyType::integer:
      return std::to_string(row_key::integer_at(bytes.data()));
    case KeyType::hour:
    case KeyType::minute:
      return utc_text(row_key::begin_at(bytes.data()));
    case KeyType::text:
    case KeyType::date:
      break;
  }
  return std::string(text);
}

bool find_parts(const std::vector<KeyColumn>& columns, std::string_view key, KeyParts& parts) {
  std::size_t at = 0;
  for (std::size_t i = 0; i < columns.size(); ++i) {
    parts[i] = static_cast<std::uint16_t>(at);
    switch (columns[i].type) {
      case KeyType::uuid:
        at += 16;
        break;
      case KeyType::integer:
      case KeyType::hour:
      case KeyType::minute:
        at += 8;
        break;
      case KeyType::date:
        at += date_key_size;
        break;
      case KeyType::text: {
        const std::size_t end = key.find('\0', std::min(at, key.size()));
        if (end == std::string_view::npos) return false;
        at = end + 1;
      }
    }
  }
  parts[columns.size()] = static_cast<std::uint16_t>(at);
  return at == key.size();
}

}  // namespace daybook::reader
