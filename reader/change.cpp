#include "reader/change.h"

#include <simdjson.h>

#include <nlohmann/json.hpp>

#include "core/error.h"
#include "core/row_key.h"

namespace daybook::reader {
namespace {

using simdjson::ondemand::array;
using simdjson::ondemand::object;
using simdjson::ondemand::value;

void append_column(const KeyColumn& column, value member, std::string& key) {
  if (column.type == KeyType::integer) {
    // In a row it is a number, in a list of keys it may be the text of one.
    row_key::append_integer(key, member.type() == simdjson::ondemand::json_type::string ? member.get_int64_in_string()
                                                                                        : member.get_int64());
    return;
  }
  const std::string_view text = member.get_string();
  switch (column.type) {
    case KeyType::uuid:
      if (!row_key::append_uuid(key, text)) throw StopError("feed: " + column.name + " is not a UUID");
      return;
    case KeyType::date: {
      const std::optional<CivilDay> day = parse_date(text);
      if (!day) throw StopError("feed: " + column.name + " is not a date: " + std::string(text));
      row_key::append_date(key, *day);
      return;
    }
    case KeyType::timestamp: {
      const std::optional<std::int64_t> instant = parse_microseconds(text);
      if (!instant) throw StopError("feed: " + column.name + " is not a date-time: " + std::string(text));
      row_key::append_integer(key, *instant);
      return;
    }
    case KeyType::hour:
    case KeyType::minute: {
      const std::optional<std::int64_t> begin = parse_instant(text);
      if (!begin) throw StopError("feed: " + column.name + " is not a time: " + std::string(text));
      row_key::append_begin(key, *begin);
      return;
    }
    case KeyType::text:
    case KeyType::integer:
      row_key::append_text(key, text);
      return;
  }
}

std::string key_of(const ViewDefinition& view, object row) {
  std::string key;
  for (const KeyColumn& column : view.key) append_column(column, row.find_field_unordered(column.name), key);
  return key;
}

std::int32_t day_of(value member) {
  const std::string_view text = member.get_string();
  const std::optional<CivilDay> day = parse_date(text);
  if (!day) throw StopError("feed: not a date: " + std::string(text));
  return *day - postgres_epoch;
}

// ["key column", …] without the last `but`, and what is left of the array in `rest`.
std::string key_of_list(const ViewDefinition& view, array list, bool range, Change::Range* bounds) {
  std::string key;
  std::size_t at = 0;
  const std::size_t columns = view.key.size() - (range ? 1 : 0);
  for (auto element : list) {
    value member = element.value();
    if (at < columns) {
      append_column(view.key[at], member, key);
    } else if (at == columns && bounds != nullptr) {
      bounds->from = day_of(member);
    } else if (at == columns + 1 && bounds != nullptr) {
      if (!member.is_null()) bounds->until = day_of(member);
    } else {
      throw StopError("feed: a key with too many members");
    }
    ++at;
  }
  if (at != columns + (range ? 2 : 0)) throw StopError("feed: a key with too few members");
  return key;
}

// The key of a row that is gone, from its array.
ChangedRow gone_row(const ViewDefinition& view, array list) {
  ChangedRow row;
  row.gone = true;
  row.key = key_of_list(view, list, false, nullptr);
  const std::vector<std::string> texts = key_texts(view, row.key);
  for (std::size_t i = 0; i < texts.size(); ++i) {
    row.json += (i == 0 ? "{" : ",") + nlohmann::json(view.key[i].name).dump() + ":";
    row.json += view.key[i].type == KeyType::integer ? texts[i] : nlohmann::json(texts[i]).dump();
  }
  row.json += "}";
  return row;
}

simdjson::ondemand::parser& parser() {
  static thread_local simdjson::ondemand::parser parser;
  return parser;
}

}  // namespace

void read_change(const ViewDefinition& view, std::string_view kind, const std::string& body, Change& change) {
  if (kind == "none" || kind == "reset") {
    change.kind = kind == "none" ? Change::Kind::none : Change::Kind::reset;
    return;
  }
  if (kind != "rows" && kind != "keys") {
    throw StopError("feed: an entry of the unknown kind '" + std::string(kind) +
                    "': this reader is older than the database");
  }
  try {
    const simdjson::padded_string padded(body);
    simdjson::ondemand::document document = parser().iterate(padded);
    if (kind == "rows") {
      change.kind = Change::Kind::rows;
      for (auto element : document.get_array()) {
        value member = element.value();
        if (member.type() == simdjson::ondemand::json_type::array) {
          change.rows.push_back(gone_row(view, member.get_array()));
          continue;
        }
        object row = member.get_object();
        std::string key = key_of(view, row);
        row.reset();
        const std::string_view raw = row.raw_json();
        change.rows.push_back({std::move(key), std::string(raw)});
      }
    } else {
      change.kind = Change::Kind::keys;
      for (auto element : document.find_field_unordered("keys").get_array())
        change.keys.push_back(key_of_list(view, element.get_array(), false, nullptr));
      for (auto element : document.find_field_unordered("ranges").get_array()) {
        Change::Range range;
        range.entity = key_of_list(view, element.get_array(), true, &range);
        change.ranges.push_back(std::move(range));
      }
    }
  } catch (const simdjson::simdjson_error& error) {
    throw StopError("feed: the body of an entry of view " + view.name + " is not what was expected: " + error.what());
  }
}

std::string key_of_row(const ViewDefinition& view, const std::string& json) {
  try {
    const simdjson::padded_string padded(json);
    simdjson::ondemand::document document = parser().iterate(padded);
    return key_of(view, document.get_object());
  } catch (const simdjson::simdjson_error& error) {
    throw StopError("view " + view.name + ": a row's JSON is not what was expected: " + error.what());
  }
}

SplitKey split_key(bool has_date, std::string_view key) {
  if (!has_date || key.size() < date_key_size) return {key, 0};
  const std::size_t at = key.size() - date_key_size;
  return {key.substr(0, at), row_key::postgres_date_at(key.data() + at)};
}

std::vector<std::string> key_texts(const ViewDefinition& view, std::string_view key) {
  static constexpr char digits[] = "0123456789abcdef";
  std::vector<std::string> texts;
  std::size_t at = 0;
  const auto need = [&](std::size_t size) {
    if (key.size() - at < size) throw StopError("view " + view.name + ": a key that is too short");
  };
  for (const KeyColumn& column : view.key) {
    std::string text;
    switch (column.type) {
      case KeyType::uuid:
        need(16);
        for (std::size_t i = 0; i < 16; ++i) {
          if (i == 4 || i == 6 || i == 8 || i == 10) text.push_back('-');
          const auto byte = static_cast<unsigned char>(key[at + i]);
          text.push_back(digits[byte >> 4]);
          text.push_back(digits[byte & 15]);
        }
        at += 16;
        break;
      case KeyType::text: {
        const std::size_t end = key.find('\0', at);
        if (end == std::string_view::npos) throw StopError("view " + view.name + ": a key without its end");
        text = key.substr(at, end - at);
        at = end + 1;
        break;
      }
      case KeyType::integer:
        need(8);
        text = std::to_string(row_key::integer_at(key.data() + at));
        at += 8;
        break;
      case KeyType::timestamp:
        need(8);
        text = microseconds_text(row_key::integer_at(key.data() + at));
        at += 8;
        break;
      case KeyType::date:
        need(date_key_size);
        text = to_string(row_key::postgres_date_at(key.data() + at) + postgres_epoch);
        at += date_key_size;
        break;
      case KeyType::hour:
      case KeyType::minute:
        need(8);
        text = utc_text(row_key::begin_at(key.data() + at));
        at += 8;
        break;
    }
    texts.push_back(std::move(text));
  }
  if (at != key.size()) throw StopError("view " + view.name + ": a key that is too long");
  return texts;
}

}  // namespace daybook::reader
