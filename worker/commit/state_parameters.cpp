#include "worker/commit/state_parameters.h"

#include "worker/commit/binary_array.h"

namespace daybook {
namespace {

PgType array_type(ColumnType type) {
  switch (type) {
    case ColumnType::int4:
      return PgType::int4;
    case ColumnType::int8:
    case ColumnType::decimal:
      return PgType::int8;
    case ColumnType::text:
    case ColumnType::json:
      return PgType::text;
    case ColumnType::boolean:
      return PgType::boolean;
    case ColumnType::timestamp:
      return PgType::timestamptz;
    case ColumnType::date:
      return PgType::date;
    case ColumnType::uuid:
      return PgType::uuid;
  }
  return PgType::text;
}

}  // namespace

void add_states(std::vector<std::string>& out, const ViewDefinition& view, const std::vector<StateFold::Kept>& states) {
  const std::size_t size = states.size();
  std::vector<std::string_view> keys;
  keys.reserve(size);
  for (const StateFold::Kept& state : states) keys.push_back(state.key);
  add_keys(out, view, keys);

  BinaryArray topics(PgType::int4, size), partitions(PgType::int4, size), offsets(PgType::int8, size),
      parts(PgType::int4, size), versions(PgType::int8, size), gone(PgType::boolean, size);
  const std::vector<std::size_t> part_of = view.parts();
  std::vector<BinaryArray> columns;
  for (const ValueColumn& column : view.columns) columns.emplace_back(array_type(column.type), size);
  for (const StateFold::Kept& state : states) {
    topics.add_int4(state.order.topic);
    partitions.add_int4(state.order.partition);
    offsets.add_int8(state.order.offset);
    parts.add_int4(static_cast<std::int32_t>(state.part));
    versions.add_int8(state.order.version);
    gone.add_bytes(state.gone ? std::string_view("\1", 1) : std::string_view("\0", 1));
    std::string_view values = state.values;
    for (std::size_t column = 0; column < columns.size(); ++column) {
      std::optional<std::string_view> value;
      if (part_of[column] == state.part && !state.gone) value = state_values::next(values);
      if (value) {
        columns[column].add_bytes(*value);
      } else {
        columns[column].add_null();
      }
    }
  }
  for (BinaryArray* array : {&topics, &partitions, &offsets}) out.push_back(array->take());
  if (view.kind == ViewKind::latest) {
    for (BinaryArray* array : {&parts, &versions, &gone}) out.push_back(array->take());
  }
  for (BinaryArray& column : columns) out.push_back(column.take());
}

}  // namespace daybook
