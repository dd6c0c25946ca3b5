// Values of key columns as clients write them: to the bytes of core/row_key.h, and to the text that PostgreSQL would
// write. Pure.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "core/definition.h"

namespace daybook::reader {

// What a value has to be, for a message.
std::string_view expected_value(KeyType type);

// Appends the value's bytes; false, with nothing appended, when it is none of this type.
bool append_value(std::string& key, KeyType type, std::string_view text);

// The one spelling of a value ("007" is 7, a uuid in small letters); nothing when it is none of this type.
std::optional<std::string> canonical_value(KeyType type, std::string_view text);

// The same of value columns; none has a value of type json.
std::string expected_value(const ValueColumn& column);
std::optional<std::string> canonical_value(const ValueColumn& column, std::string_view text);

// Where each column of a key begins; one more than there are columns.
using KeyParts = std::array<std::uint16_t, 17>;
// False when these bytes are no key of those columns.
bool find_parts(const std::vector<KeyColumn>& columns, std::string_view key, KeyParts& parts);
inline std::string_view part(std::string_view key, const KeyParts& parts, std::size_t column) {
  return key.substr(parts[column], parts[column + 1] - parts[column]);
}

}  // namespace daybook::reader
