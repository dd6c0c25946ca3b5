#include "reader/api/key.h"

#include <charconv>

#include "core/decimal.h"
#include "core/row_key.h"
#include "reader/api/text.h"

namespace daybook::reader {
namespace {

constexpr std::size_t max_text_key = 1000;  // as the worker has it
constexpr std::size_t max_text = 4000;      // more than an index can hold
constexpr std::string_view a_moment = "a date-time such as 2026-11-23T18:29:00.5Z";

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
    case KeyType::timestamp:
      return a_moment;
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
    case KeyType::timestamp: {
      const std::optional<std::int64_t> instant = parse_microseconds(text);
      if (instant) row_key::append_integer(key, *instant);
      return instant.has_value();
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
    case KeyType::timestamp:
      return microseconds_text(row_key::integer_at(bytes.data()));
    case KeyType::hour:
    case KeyType::minute:
      return utc_text(row_key::begin_at(bytes.data()));
    case KeyType::text:
    case KeyType::date:
      break;
  }
  return std::string(text);
}

std::string expected_value(const ValueColumn& column) {
  switch (column.type) {
    case ColumnType::int4:
      return "an integer of 32 bits";
    case ColumnType::int8:
      return std::string(expected_value(KeyType::integer));
    case ColumnType::decimal:
      return "a number of at most " + std::to_string(column.scale) + " digits behind the point and 18 in all";
    case ColumnType::text:
      return "a text of at most 4000 bytes in UTF-8";
    case ColumnType::boolean:
      return "true or false";
    case ColumnType::timestamp:
      return std::string(a_moment);
    case ColumnType::date:
      return std::string(expected_value(KeyType::date));
    case ColumnType::uuid:
      return std::string(expected_value(KeyType::uuid));
    case ColumnType::json:
      break;
  }
  return "nothing";
}

std::optional<std::string> canonical_value(const ValueColumn& column, std::string_view text) {
  switch (column.type) {
    case ColumnType::int4: {
      const std::optional<std::int64_t> value = read_integer(text);
      if (!value || *value != static_cast<std::int32_t>(*value)) return std::nullopt;
      return std::to_string(*value);
    }
    case ColumnType::int8:
      return canonical_value(KeyType::integer, text);
    case ColumnType::decimal: {
      const std::optional<std::int64_t> value = parse_decimal(text, column.scale);
      if (!value) return std::nullopt;
      return decimal_text(*value, column.scale);
    }
    case ColumnType::text:
      if (text.size() > max_text || !is_plain_utf8(text)) return std::nullopt;
      return std::string(text);
    case ColumnType::boolean:
      if (text != "true" && text != "false") return std::nullopt;
      return std::string(text);
    case ColumnType::timestamp:
      return canonical_value(KeyType::timestamp, text);
    case ColumnType::date:
      return canonical_value(KeyType::date, text);
    case ColumnType::uuid:
      return canonical_value(KeyType::uuid, text);
    case ColumnType::json:
      break;
  }
  return std::nullopt;
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
      case KeyType::timestamp:
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
