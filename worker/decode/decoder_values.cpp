// The decoder's way off the hot path: hours and minutes, decimals, and the values of columns that are no sums.
#include <algorithm>
#include <limits>

#include "core/row_key.h"
#include "core/sketch.h"
#include "worker/decode/decoder.h"

namespace daybook {
namespace {

constexpr std::size_t taken_text_bytes_max = 1000;

}  // namespace

void Decoder::compile_values(const SourceRule& source, Rule& rule) {
  const auto add = [&](std::size_t column, const JsonPointer& member, int sign) {
    const ValueColumn& of = view_.columns[column];
    rule.values.push_back({MemberPath(member), member.text, of.aggregate, of.type, of.scale, sign,
                           static_cast<std::uint32_t>(column), sums_[column]});
  };
  for (const Amount& amount : source.amounts) {
    const auto* pointer = std::get_if<JsonPointer>(&amount.value);
    if (pointer != nullptr && view_.columns[amount.column].type == ColumnType::decimal)
      add(amount.column, *pointer, amount.sign);
  }
  for (const Take& take : source.takes) add(take.column, take.member, 1);
}

bool Decoder::apply_values(const Rule& rule, std::uint32_t key_begin, const Record& record, DecodedEvent& event) {
  const auto key_size = static_cast<std::uint32_t>(event.keys.size()) - key_begin;
  for (const ValueRule& value_rule : rule.values) {
    if (!is_added(value_rule.aggregate) && value_rule.aggregate != Aggregate::avg) {
      if (value_rule.aggregate == Aggregate::last && !set_order(rule, record, event)) return false;
      if (!take(value_rule, key_begin, key_size, event)) return false;
      continue;
    }
    const MemberValue value = json_.find(value_rule.path);
    const std::optional<std::int64_t> number = number_of(value_rule, json_, value);
    if (!number) {
      return reject(
          event, "member",
          "member " + value_rule.pointer + " is " + value.describe() + "; expected " + number_expected(value_rule));
    }
    event.contributions.push_back({key_begin, key_size, value_rule.sum, value_rule.sign * *number});
    if (value_rule.aggregate == Aggregate::avg)
      event.contributions.push_back({key_begin, key_size, value_rule.sum + 1, 1});
  }
  return true;
}

bool Decoder::take(const ValueRule& rule, std::uint32_t key_begin, std::uint32_t key_size, DecodedEvent& event) {
  const MemberValue value = json_.find(rule.path);
  const auto wrong = [&](const std::string& expected) {
    return reject(event, "member", "member " + rule.pointer + " is " + value.describe() + "; expected " + expected);
  };
  Taken taken{key_begin, key_size, rule.column, 0, 0};
  if (rule.aggregate == Aggregate::distinct) {
    const std::optional<std::int64_t> entry = distinct_entry(value);
    if (!entry) return wrong("a string or an integer of at most 64 bits");
    taken.value = *entry;
  } else if (rule.type == ColumnType::text) {
    const std::optional<std::string_view> text = value.as_string();
    if (!text || text->size() > taken_text_bytes_max || text->find('\0') != std::string_view::npos)
      return wrong("a string of at most 1000 bytes without U+0000");
    taken.value = static_cast<std::int64_t>(event.texts.size());
    taken.text_size = static_cast<std::uint32_t>(text->size());
    event.texts.append(*text);
  } else if (rule.type == ColumnType::timestamp) {
    const std::optional<std::string_view> text = value.as_string();
    const std::optional<std::int64_t> micros = text ? parse_microseconds(*text) : std::nullopt;
    if (!micros) return wrong("an RFC 3339 date-time with an offset, years 1 to 9999");
    taken.value = *micros;
  } else {
    const std::optional<std::int64_t> number = number_of(rule, json_, value);
    if (!number) return wrong(number_expected(rule));
    taken.value = rule.aggregate == Aggregate::quantile ? sketch::bucket_of(*number) : *number;
  }
  event.taken.push_back(taken);
  return true;
}

// Event time, topic by name, partition, offset; big-endian, so that bytes compare as the numbers do.
bool Decoder::set_order(const Rule& rule, const Record& record, DecodedEvent& event) {
  if (!event.order.empty()) return true;             // by another rule
  const Place& place = *rule.source->envelope.time;  // the definition's reader saw to it
  const MemberValue time = json_.find(envelopes_[record.topic].time.front());
  const std::optional<std::int64_t> micros = time.as_instant(place.unit);
  const std::optional<std::int64_t> seconds = time.as_seconds(place.unit);
  if (!micros || !seconds) {
    return reject(event, "member",
                  place.shown() + " is " + time.describe() + "; expected " + expected_time(place.unit) +
                      ", since a column holds the value of the newest event");
  }
  if (is_in_future(*seconds, record)) return reject_future(place, time, *seconds, record, event);
  row_key::append_integer(event.order, *micros);
  row_key::append_big_endian(event.order, static_cast<std::uint32_t>(topic_ranks_[record.topic]));
  row_key::append_big_endian(event.order, static_cast<std::uint32_t>(record.partition));
  row_key::append_big_endian(event.order, static_cast<std::uint64_t>(record.offset));
  return true;
}

bool Decoder::append_begin(const Place& place, KeyType type, const MemberValue& value, const Record& record,
                           DecodedEvent& event) {
  const std::optional<std::int64_t> instant = value.as_seconds(place.unit);
  std::optional<std::int64_t> begin;
  if (instant) begin = type == KeyType::hour ? hour_zones_.front().begin_of_hour(*instant) : begin_of_minute(*instant);
  if (!begin) {
    return reject(event, "member",
                  place.shown() + " is " + value.describe() + "; expected " + expected_time(place.unit));
  }
  if (is_in_future(*instant, record)) return reject_future(place, value, *instant, record, event);
  row_key::append_begin(event.keys, *begin);
  return true;
}

}  // namespace daybook
