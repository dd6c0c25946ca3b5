#include "worker/decode/state.h"

#include <cstring>

#include "core/decimal.h"
#include "core/row_key.h"

namespace daybook::state_values {
namespace {

constexpr std::uint32_t null_size = ~std::uint32_t{0};

void put(std::string& out, std::string_view bytes) {
  row_key::append_big_endian(out, static_cast<std::uint32_t>(bytes.size()));
  out.append(bytes);
}

template <typename Unsigned>
void put_number(std::string& out, Unsigned value) {
  row_key::append_big_endian(out, static_cast<std::uint32_t>(sizeof value));
  row_key::append_big_endian(out, value);
}

bool append_integer(ColumnType type, const MemberValue& value, std::string& out) {
  const std::optional<std::int64_t> integer = value.as_integer();
  if (!integer) return false;
  if (type == ColumnType::int8) {
    put_number(out, static_cast<std::uint64_t>(*integer));
    return true;
  }
  if (*integer < INT32_MIN || *integer > INT32_MAX) return false;
  put_number(out, static_cast<std::uint32_t>(*integer));
  return true;
}

bool append_decimal(int scale, const MemberValue& value, JsonEvent& event, const MemberPath& path, std::string& out) {
  std::optional<std::string_view> text = value.as_string();
  if (!text && value.as_number()) text = event.raw(path);
  const std::optional<std::int64_t> scaled = text ? parse_decimal(*text, scale) : std::nullopt;
  if (scaled) put_number(out, static_cast<std::uint64_t>(*scaled));
  return scaled.has_value();
}

bool append_json(const MemberValue& value, JsonEvent& event, const MemberPath& path, std::string& out) {
  if (value.has_nul()) return false;
  std::string attribute;
  std::optional<std::string_view> text = event.raw(path);
  if (!text) {
    attribute = value.as_json();  // an attribute in a header
    text = attribute;
  }
  put(out, *text);
  return true;
}

}  // namespace

bool append(const ValueColumn& column, const MemberValue& value, JsonEvent& event, const MemberPath& path,
            std::string& out) {
  if (value.is_null()) {
    row_key::append_big_endian(out, null_size);
    return true;
  }
  const std::optional<std::string_view> text = value.as_string();
  switch (column.type) {
    case ColumnType::int4:
    case ColumnType::int8:
      return append_integer(column.type, value, out);
    case ColumnType::decimal:
      return append_decimal(column.scale, value, event, path, out);
    case ColumnType::text:
      if (!text || text->find('\0') != std::string_view::npos) return false;
      put(out, *text);
      return true;
    case ColumnType::boolean: {
      const std::optional<bool> truth = value.as_bool();
      if (truth) put(out, *truth ? std::string_view("\1", 1) : std::string_view("\0", 1));
      return truth.has_value();
    }
    case ColumnType::timestamp: {
      const std::optional<std::int64_t> instant = value.as_instant(path.unit);
      if (instant) put_number(out, static_cast<std::uint64_t>(*instant - postgres_epoch_microseconds));
      return instant.has_value();
    }
    case ColumnType::date: {
      const std::optional<CivilDay> day = path.unit == TimeUnit::days           ? value.as_days()
                                          : path.unit == TimeUnit::text && text ? parse_date(*text)
                                                                                : std::nullopt;
      if (day) put_number(out, static_cast<std::uint32_t>(*day - postgres_epoch));
      return day.has_value();
    }
    case ColumnType::uuid: {
      std::string bytes;
      if (!text || !row_key::append_uuid(bytes, *text)) return false;
      put(out, bytes);
      return true;
    }
    case ColumnType::json:
      return append_json(value, event, path, out);
  }
  return false;
}

std::string expected(const ValueColumn& column, TimeUnit unit) {
  switch (column.type) {
    case ColumnType::int4:
      return "an integer of at most 32 bits";
    case ColumnType::int8:
      return "an integer of at most 64 bits";
    case ColumnType::decimal:
      return "a number, or a string with one, of at most " + std::to_string(column.scale) +
             " digits behind the point and 18 in all";
    case ColumnType::text:
      return "a string without U+0000";
    case ColumnType::boolean:
      return "true or false";
    case ColumnType::timestamp:
      return expected_time(unit);
    case ColumnType::date:
      return unit == TimeUnit::text ? "a date \"YYYY-MM-DD\"" : expected_time(unit);
    case ColumnType::uuid:
      return "a UUID such as \"6f1c7ab0-3d0c-4f5e-9d2b-1f0e5a7c9b42\"";
    case ColumnType::json:
      return "JSON without U+0000 in its strings and names";
  }
  return {};
}

std::optional<std::string_view> next(std::string_view& values) {
  const auto size = row_key::load_big_endian<std::uint32_t>(values.data());
  values.remove_prefix(sizeof size);
  if (size == null_size) return std::nullopt;
  const std::string_view value = values.substr(0, size);
  values.remove_prefix(size);
  return value;
}

}  // namespace daybook::state_values
