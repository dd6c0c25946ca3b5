// States as the decoder keeps them, in the words of verify: so that the two can be compared.
#pragma once

#include <string>

#include "core/civil_time.h"
#include "core/decimal.h"
#include "core/row_key.h"
#include "tests/support/memory_store.h"
#include "verify/event.h"
#include "verify/states.h"
#include "worker/decode/decoder.h"

namespace daybook::test {

// "2026-03-01T10:00:00.500000Z" -> "2026-03-01 10:00:00.5+00", as PostgreSQL prints it.
inline std::string sql_moment(std::string text) {
  text[10] = ' ';
  text.pop_back();
  while (text.back() == '0') text.pop_back();
  if (text.back() == '.') text.pop_back();
  return text + "+00";
}

inline std::string value_text(const ValueColumn& column, std::string_view bytes) {
  const auto integer = [&] {
    return bytes.size() == 4
               ? std::int64_t{static_cast<std::int32_t>(row_key::load_big_endian<std::uint32_t>(bytes.data()))}
               : static_cast<std::int64_t>(row_key::load_big_endian<std::uint64_t>(bytes.data()));
  };
  switch (column.type) {
    case ColumnType::int4:
    case ColumnType::int8:
      return std::to_string(integer());
    case ColumnType::decimal:
      return decimal_text(integer(), column.scale);
    case ColumnType::text:
      return std::string(bytes);
    case ColumnType::boolean:
      return bytes[0] != 0 ? "true" : "false";
    case ColumnType::timestamp:
      return sql_moment(microseconds_text(integer() + postgres_epoch_microseconds));
    case ColumnType::date:
      return to_string(static_cast<CivilDay>(integer() + postgres_epoch));
    case ColumnType::uuid: {
      static constexpr char digits[] = "0123456789abcdef";
      std::string text;
      for (std::size_t i = 0; i < bytes.size(); ++i) {
        if (i == 4 || i == 6 || i == 8 || i == 10) text += '-';
        text += digits[static_cast<unsigned char>(bytes[i]) >> 4];
        text += digits[static_cast<unsigned char>(bytes[i]) & 15];
      }
      return text;
    }
    case ColumnType::json: {
      const auto parsed = verify::parse_json(bytes, true);
      if (const auto* rejection = std::get_if<Rejection>(&parsed)) return "no JSON: " + rejection->detail;
      return verify::normal_json(std::get<nlohmann::json>(parsed));
    }
  }
  return {};
}

// Key columns as PostgreSQL prints them.
inline std::vector<std::string> sql_key(const ViewDefinition& view, std::string_view key) {
  std::vector<std::string> texts = key_text(view, key);
  for (std::size_t i = 0; i < texts.size(); ++i) {
    if (view.key[i].type == KeyType::timestamp) texts[i] = sql_moment(texts[i]);
  }
  return texts;
}

// The rows that these states make.
inline std::map<RowKeyText, std::vector<std::optional<std::string>>> rows_of(const ViewDefinition& view,
                                                                             const MemoryStore::StateTable& states) {
  const std::vector<std::size_t> parts = view.parts();
  std::map<RowKeyText, std::vector<std::optional<std::string>>> rows;
  for (const auto& [place, state] : states) {
    if (state.gone) continue;
    auto& row = rows[sql_key(view, place.first)];
    row.resize(view.columns.size());
    std::string_view values = state.values;
    for (std::size_t i = 0; i < parts.size(); ++i) {
      if (parts[i] != place.second) continue;
      if (const auto bytes = state_values::next(values)) row[i] = value_text(view.columns[i], *bytes);
    }
  }
  return rows;
}

inline std::string text_of(const std::vector<std::string>& key, std::int64_t version, const std::string& column,
                           bool gone, const std::optional<std::string>& value) {
  std::string text;
  for (const std::string& part : key) text += part + "|";
  return text + " " + std::to_string(version) + " " + column + (gone ? " gone" : " " + value.value_or("NULL")) + "\n";
}

// A line for each column of each state.
inline std::string states_text(const ViewDefinition& view, const DecodedEvent& event) {
  const std::vector<std::size_t> parts = view.parts();
  std::map<std::string, int> lines;
  for (const State& state : event.states) {
    const auto key = sql_key(view, std::string_view(event.keys).substr(state.key_begin, state.key_size));
    std::string_view values = std::string_view(event.values).substr(state.values_begin, state.values_size);
    for (std::size_t i = 0; i < view.columns.size(); ++i) {
      if (parts[i] != state.part) continue;
      std::optional<std::string> value;
      if (!state.gone) {
        if (const auto bytes = state_values::next(values)) value = value_text(view.columns[i], *bytes);
      }
      ++lines[text_of(key, state.order.version, view.columns[i].name, state.gone, value)];
    }
    if (!values.empty()) ++lines["bytes behind the values\n"];
  }
  std::string text;
  for (const auto& [line, count] : lines) text += std::to_string(count) + " x " + line;
  return text;
}

inline std::string states_text(const ViewDefinition& view, const std::vector<verify::StateChange>& states) {
  std::map<std::string, int> lines;
  for (const verify::StateChange& state : states) {
    for (const auto& [column, value] : state.values)
      ++lines[text_of(state.key, state.version, view.columns[column].name, state.gone, value)];
  }
  std::string text;
  for (const auto& [line, count] : lines) text += std::to_string(count) + " x " + line;
  return text;
}

}  // namespace daybook::test
