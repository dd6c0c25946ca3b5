#include "worker/commit/commit_parameters.h"

#include <sodium/utils.h>

#include <bit>
#include <cstring>
#include <nlohmann/json.hpp>

#include "core/aggregates.h"
#include "core/error.h"
#include "core/row_key.h"
#include "worker/commit/binary_array.h"
#include "worker/commit/state_parameters.h"

namespace daybook {
namespace {

static_assert(std::endian::native == std::endian::little,
              "fingerprints are stored in the memory order of little-endian machines");

// Text that PostgreSQL takes: valid UTF-8 without U+0000. What isn't becomes U+FFFD; the original bytes of a dead
// letter are kept in record_value.
std::string as_text(const std::string& bytes) {
  const std::string quoted = nlohmann::json(bytes).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  std::string text = nlohmann::json::parse(quoted).get<std::string>();
  for (std::size_t nul = text.find('\0'); nul != std::string::npos; nul = text.find('\0', nul))
    text.replace(nul, 1, "\xEF\xBF\xBD");
  return text;
}

std::string base64(const std::string& bytes) {
  std::string text(sodium_base64_ENCODED_LEN(bytes.size(), sodium_base64_VARIANT_ORIGINAL), '\0');
  sodium_bin2base64(text.data(), text.size(), reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size(),
                    sodium_base64_VARIANT_ORIGINAL);
  text.pop_back();  // the terminating zero
  return text;
}

// [{"name": N, "value": V}], or "base64" where the value is no text.
std::string headers_json(const DeadLetter& letter) {
  nlohmann::json list = nlohmann::json::array();
  for (const auto& [name, value] : letter.headers) {
    if (as_text(value) == value) {
      list.push_back({{"name", as_text(name)}, {"value", value}});
    } else {
      list.push_back({{"name", as_text(name)}, {"base64", base64(value)}});
    }
  }
  return list.dump();
}

std::string int8_parameter(std::int64_t value) {
  std::string bytes;
  row_key::append_big_endian(bytes, static_cast<std::uint64_t>(value));
  return bytes;
}

void add_positions(std::vector<std::string>& out, const Batch& batch, const OwnedPositions& owned) {
  const std::size_t size = batch.ranges().size();
  BinaryArray topics(PgType::text, size), partitions(PgType::int4, size), epochs(PgType::int8, size),
      from(PgType::int8, size), to(PgType::int8, size), anchor_offsets(PgType::int8, size),
      anchor_times(PgType::int8, size), anchor_hashes(PgType::int8, size);
  for (const auto& [name, range] : batch.ranges()) {
    topics.add_bytes(name.topic);
    partitions.add_int4(name.partition);
    epochs.add_int8(owned.at(name).epoch);
    from.add_int8(range.from);
    to.add_int8(range.to);
    if (range.anchor) {
      anchor_offsets.add_int8(range.anchor->offset);
      anchor_times.add_int8(range.anchor->timestamp_ms);
      anchor_hashes.add_int8(static_cast<std::int64_t>(range.anchor->hash));
    } else {
      for (BinaryArray* array : {&anchor_offsets, &anchor_times, &anchor_hashes}) array->add_null();
    }
  }
  for (BinaryArray* array :
       {&topics, &partitions, &epochs, &from, &to, &anchor_offsets, &anchor_times, &anchor_hashes}) {
    out.push_back(array->take());
  }
}

void add_dead_letters(std::vector<std::string>& out, const Batch& batch) {
  const std::size_t size = batch.dead_letters().size();
  BinaryArray topics(PgType::text, size), partitions(PgType::int4, size), offsets(PgType::int8, size),
      times(PgType::int8, size), keys(PgType::bytea, size), values(PgType::bytea, size), headers(PgType::text, size),
      codes(PgType::text, size), details(PgType::text, size), sources(PgType::text, size), ids(PgType::text, size),
      types(PgType::text, size);
  for (const DeadLetter& letter : batch.dead_letters()) {
    topics.add_bytes(letter.partition.topic);
    partitions.add_int4(letter.partition.partition);
    offsets.add_int8(letter.offset);
    // PostgreSQL's timestamps end in the year 294276; a producer may have written nanoseconds.
    if (letter.timestamp_ms >= 0 && letter.timestamp_ms < 9'000'000'000'000'000) {
      times.add_int8(letter.timestamp_ms);
    } else {
      times.add_null();
    }
    keys.add_optional(letter.key);
    values.add_optional(letter.value);
    headers.add_bytes(headers_json(letter));
    codes.add_bytes(letter.rejection.code);
    details.add_bytes(as_text(letter.rejection.detail));
    for (const auto& [array, text] :
         {std::pair{&sources, &letter.source}, {&ids, &letter.id}, {&types, &letter.type}}) {
      if (text->empty()) {
        array->add_null();
      } else {
        array->add_bytes(as_text(*text));
      }
    }
  }
  for (BinaryArray* array :
       {&topics, &partitions, &offsets, &times, &keys, &values, &headers, &codes, &details, &sources, &ids, &types}) {
    out.push_back(array->take());
  }
}

// A sketch in PostgreSQL's text form of an array.
std::string array_text(const std::vector<std::int64_t>& entries) {
  std::string text = "{";
  for (const std::int64_t entry : entries) text += (text.size() > 1 ? "," : "") + std::to_string(entry);
  return text + "}";
}

// The parameters of sql/render_values.cpp's merged_words().
void add_merged(std::vector<std::string>& out, const ViewDefinition& view, const MergedColumn& merged) {
  const ValueColumn& column = view.columns[merged.column];
  const auto add = [&out](PgType type, const auto& values, const auto& add_one) {
    BinaryArray array(type, values.size());
    for (const auto& value : values) add_one(array, value);
    out.push_back(array.take());
  };
  const auto add_text = [](BinaryArray& array, const std::optional<std::string>& text) { array.add_optional(text); };
  if (column.aggregate == Aggregate::quantile || column.aggregate == Aggregate::distinct) {
    add(PgType::text, merged.sketches, [](BinaryArray& array, const std::vector<std::int64_t>& entries) {
      if (entries.empty()) {
        array.add_null();
      } else {
        array.add_bytes(array_text(entries));
      }
    });
    return;
  }
  if (column.type == ColumnType::text) {
    add(PgType::text, merged.texts, add_text);
  } else {
    const bool is_time = column.type == ColumnType::timestamp;
    // PostgreSQL counts from 2000.
    const std::int64_t epoch = is_time ? postgres_epoch_microseconds : 0;
    add(is_time ? PgType::timestamptz : PgType::int8, merged.numbers,
        [epoch](BinaryArray& array, const std::optional<std::int64_t>& number) {
          if (number) {
            array.add_int8(*number - epoch);
          } else {
            array.add_null();
          }
        });
  }
  if (column.aggregate == Aggregate::last) add(PgType::bytea, merged.orders, add_text);
}

}  // namespace

void add_keys(std::vector<std::string>& out, const ViewDefinition& view, const std::vector<std::string_view>& keys) {
  const std::size_t size = keys.size();
  std::vector<BinaryArray> arrays;
  for (const KeyColumn& column : view.key) {
    switch (column.type) {
      case KeyType::uuid:
        arrays.emplace_back(PgType::uuid, size);
        break;
      case KeyType::text:
        arrays.emplace_back(PgType::text, size);
        break;
      case KeyType::integer:
        arrays.emplace_back(PgType::int8, size);
        break;
      case KeyType::date:
        arrays.emplace_back(PgType::date, size);
        break;
      case KeyType::timestamp:
      case KeyType::hour:
      case KeyType::minute:
        arrays.emplace_back(PgType::timestamptz, size);
        break;
    }
  }
  for (std::size_t i = 0; i < size; ++i) {
    const std::string_view key = keys[i];
    std::size_t at = 0;
    for (std::size_t column = 0; column < arrays.size(); ++column) {
      switch (view.key[column].type) {
        case KeyType::uuid:
          arrays[column].add_bytes(key.substr(at, 16));
          at += 16;
          break;
        case KeyType::text: {
          const std::string_view text = key.substr(at, key.find('\0', at) - at);
          arrays[column].add_bytes(text);
          at += text.size() + 1;
          break;
        }
        case KeyType::integer:
        case KeyType::hour:
        case KeyType::minute:
          arrays[column].add_int8(row_key::integer_at(key.data() + at));
          at += 8;
          break;
        case KeyType::date:
          arrays[column].add_int4(row_key::postgres_date_at(key.data() + at));
          at += date_key_size;
          break;
        case KeyType::timestamp:
          arrays[column].add_int8(row_key::integer_at(key.data() + at) - postgres_epoch_microseconds);
          at += 8;
          break;
      }
    }
  }
  for (BinaryArray& array : arrays) out.push_back(array.take());
}

std::string fingerprint_bytes(const std::vector<Fingerprint>& fingerprints) {
  std::string bytes(fingerprints.size() * sizeof(Fingerprint), '\0');
  if (!bytes.empty()) std::memcpy(bytes.data(), fingerprints.data(), bytes.size());
  return bytes;
}

std::vector<Fingerprint> fingerprints_from(std::string_view bytes, std::size_t stride) {
  if (bytes.size() % stride != 0) {
    throw StopError("daybook.seen: " + std::to_string(bytes.size()) +
                    " bytes of fingerprints; expected a multiple of " + std::to_string(stride));
  }
  std::vector<Fingerprint> fingerprints(bytes.size() / stride);
  for (std::size_t i = 0; i < fingerprints.size(); ++i)
    std::memcpy(&fingerprints[i], bytes.data() + i * stride, stride);
  return fingerprints;
}

std::vector<std::string> commit_parameters(const ViewDefinition& view, const Batch& batch, const OwnedPositions& owned,
                                           std::int64_t known_seq) {
  std::vector<std::string> parameters;
  parameters.push_back(int8_parameter(known_seq));
  add_positions(parameters, batch, owned);
  parameters.push_back(fingerprint_bytes(batch.fingerprints()));
  add_dead_letters(parameters, batch);
  if (view.has_states()) {
    add_states(parameters, view, batch.states());
    return parameters;
  }

  const RowChanges rows = batch.row_changes();
  add_keys(parameters, view, rows.keys);
  const auto add_numbers = [&parameters](const std::vector<std::int64_t>& numbers) {
    BinaryArray array(PgType::int8, numbers.size());
    for (const std::int64_t number : numbers) array.add_int8(number);
    parameters.push_back(array.take());
  };
  for (const std::vector<std::int64_t>& changes : rows.changes) add_numbers(changes);
  for (const MergedColumn& merged : rows.merged) add_merged(parameters, view, merged);
  if (!view.has_balance()) return parameters;

  const std::vector<Sum> sums = sums_of(view);
  const auto is_balance = [&](std::size_t sum) {
    return view.columns[sums[sum].column].aggregate == Aggregate::balance;
  };
  for (std::size_t sum = 0; sum < sums.size(); ++sum) {
    if (is_balance(sum)) add_numbers(rows.levels[sum]);
  }
  std::vector<std::string_view> rippled_keys;
  for (const RowChanges::Ripple& ripple : rows.ripples) rippled_keys.push_back(rows.keys[ripple.row]);
  add_keys(parameters, view, rippled_keys);
  BinaryArray until(PgType::date, rows.ripples.size());
  for (const RowChanges::Ripple& ripple : rows.ripples) until.add_int4(ripple.until);
  parameters.push_back(until.take());
  for (std::size_t sum = 0; sum < sums.size(); ++sum) {
    if (!is_balance(sum)) continue;
    BinaryArray levels(PgType::int8, rows.ripples.size());
    for (const RowChanges::Ripple& ripple : rows.ripples) levels.add_int8(rows.levels[sum][ripple.row]);
    parameters.push_back(levels.take());
  }
  return parameters;
}

}  // namespace daybook
