// A row's key as bytes whose order under memcmp is PostgreSQL's order of the key columns (text columns have
// collation "C"), so that sorted keys are written in index order.
//
//   uuid     16 bytes
//   integer  8 bytes, big-endian, sign bit flipped
//   timestamp 8 bytes, microseconds since 1970-01-01 UTC, as an integer
//   date     4 bytes, days since 2000-01-01 (PostgreSQL's own count), big-endian, sign bit flipped
//   hour, minute  8 bytes: the begin in microseconds since 2000-01-01 00:00 UTC (PostgreSQL's count), like an integer
//   text     its UTF-8 bytes and a terminating 0 (text never contains one)
//
// The date, when there is one, is the last column: two rows of one balance differ in the last 4 bytes only.
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/civil_time.h"
#include "core/definition.h"

namespace daybook {

inline constexpr CivilDay postgres_epoch = 10957;  // 2000-01-01 in days since 1970-01-01
inline constexpr std::int64_t postgres_epoch_microseconds = std::int64_t{postgres_epoch} * 86'400'000'000;
inline constexpr std::size_t date_key_size = 4;

namespace row_key {

template <typename Unsigned>
void append_big_endian(std::string& out, Unsigned value) {
  char bytes[sizeof value];
  for (std::size_t i = 0; i < sizeof value; ++i) bytes[i] = static_cast<char>(value >> (8 * (sizeof value - 1 - i)));
  out.append(bytes, sizeof value);
}

template <typename Unsigned>
Unsigned load_big_endian(const char* bytes) {
  Unsigned value = 0;
  for (std::size_t i = 0; i < sizeof value; ++i)
    value = static_cast<Unsigned>(value << 8 | static_cast<unsigned char>(bytes[i]));
  return value;
}

inline void append_integer(std::string& out, std::int64_t value) {
  append_big_endian(out, static_cast<std::uint64_t>(value) ^ (std::uint64_t{1} << 63));
}

inline void append_date(std::string& out, CivilDay day) {
  append_big_endian(out, static_cast<std::uint32_t>(day - postgres_epoch) ^ (std::uint32_t{1} << 31));
}

// The begin of an hour or a minute, in seconds since 1970 UTC.
inline void append_begin(std::string& out, std::int64_t unix_seconds) {
  append_integer(out, (unix_seconds - std::int64_t{postgres_epoch} * 86400) * 1'000'000);
}

inline void append_text(std::string& out, std::string_view text) {
  out.append(text);
  out.push_back('\0');
}

// "01234567-89ab-cdef-0123-456789abcdef", any case. False, with nothing appended, for anything else.
inline bool append_uuid(std::string& out, std::string_view text) {
  static constexpr auto nibbles = [] {
    std::array<std::int8_t, 256> table{};
    for (auto& n : table) n = -1;
    for (int i = 0; i < 10; ++i) table[static_cast<std::size_t>('0' + i)] = static_cast<std::int8_t>(i);
    for (int i = 0; i < 6; ++i) {
      table[static_cast<std::size_t>('a' + i)] = static_cast<std::int8_t>(10 + i);
      table[static_cast<std::size_t>('A' + i)] = static_cast<std::int8_t>(10 + i);
    }
    return table;
  }();
  if (text.size() != 36 || text[8] != '-' || text[13] != '-' || text[18] != '-' || text[23] != '-') return false;
  char bytes[16];
  int bad = 0;
  std::size_t at = 0;
  for (char& byte : bytes) {
    if (text[at] == '-') ++at;
    const int high = nibbles[static_cast<unsigned char>(text[at])];
    const int low = nibbles[static_cast<unsigned char>(text[at + 1])];
    bad |= high | low;  // negative when either is no hexadecimal digit
    byte = static_cast<char>(high << 4 | low);
    at += 2;
  }
  if (bad < 0) return false;
  out.append(bytes, sizeof bytes);
  return true;
}

inline std::int64_t integer_at(const char* bytes) {
  return static_cast<std::int64_t>(load_big_endian<std::uint64_t>(bytes) ^ (std::uint64_t{1} << 63));
}

// append_begin(), back.
inline std::int64_t begin_at(const char* bytes) {
  return integer_at(bytes) / 1'000'000 + std::int64_t{postgres_epoch} * 86400;
}

// The size of every key of these columns in bytes; 0 when there is text among them.
inline std::size_t fixed_size(const std::vector<KeyColumn>& columns) {
  std::size_t size = 0;
  for (const KeyColumn& column : columns) {
    switch (column.type) {
      case KeyType::uuid:
        size += 16;
        break;
      case KeyType::integer:
      case KeyType::timestamp:
      case KeyType::hour:
      case KeyType::minute:
        size += 8;
        break;
      case KeyType::date:
        size += date_key_size;
        break;
      case KeyType::text:
        return 0;
    }
  }
  return size;
}

// Days since 2000-01-01.
inline std::int32_t postgres_date_at(const char* bytes) {
  return static_cast<std::int32_t>(load_big_endian<std::uint32_t>(bytes) ^ (std::uint32_t{1} << 31));
}

}  // namespace row_key
}  // namespace daybook
