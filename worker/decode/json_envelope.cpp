// Records in other envelopes than CloudEvents (docs/envelopes.md): plain JSON, and Debezium's change events.
#include <algorithm>
#include <charconv>
#include <cstring>
#include <utility>

#include "core/civil_time.h"
#include "worker/decode/json_event.h"

namespace daybook {
namespace {

using simdjson::dom::element;

constexpr std::string_view redrive_header = "daybookredrive";
constexpr std::string_view position_header = "daybookposition";

Rejection envelope(std::string detail) { return {"envelope", std::move(detail)}; }

simdjson::dom::object object_of(element value) { return value.get_object().take_value(); }

bool is_utf8(std::string_view text) { return simdjson::validate_utf8(text.data(), text.size()); }

// A converter with schemas writes {"schema": ..., "payload": ...}.
std::optional<element> payload_of(element document) {
  if (!document.is_object()) return std::nullopt;
  std::optional<element> payload;
  bool has_schema = false;
  std::size_t members = 0;
  for (const auto field : object_of(document)) {
    if (++members > 2) return std::nullopt;
    if (field.key == "schema") has_schema = true;
    if (field.key == "payload") payload = field.value;
  }
  return has_schema ? payload : std::nullopt;
}

// Members of a change event's `source` that can differ when the connector writes the same change again: they say how
// it was read (after an upgrade, with other options), not which change it is.
bool is_of_reading(std::string_view name) {
  return name == "version" || name == "sequence" || name == "xmin" || name == "ts_us" || name == "ts_ns";
}

// As JSON without white space, the shortest way: simdjson's own writer takes longer than parsing the event.
void append_json(std::string& text, element value) {
  using simdjson::dom::element_type;
  switch (value.type()) {
    case element_type::STRING: {
      const std::string_view string = value.get_string().value_unsafe();
      const bool plain =
          std::none_of(string.begin(), string.end(), [](unsigned char c) { return c == '"' || c == '\\' || c < ' '; });
      if (!plain) break;
      text.append(1, '"').append(string).append(1, '"');
      return;
    }
    case element_type::INT64: {
      char digits[24];
      const auto end = std::to_chars(digits, digits + sizeof digits, value.get_int64().value_unsafe()).ptr;
      text.append(digits, end);
      return;
    }
    case element_type::NULL_VALUE:
      text.append("null");
      return;
    default:
      break;
  }
  text.append(simdjson::minify(value));
}

EnvelopePaths::Part paths_of(const Envelope::Part& part) {
  EnvelopePaths::Part made;
  made.constant = part.constant;
  if (part.place) {
    made.path.emplace_back(*part.place);
    made.shown = part.place->shown();
  }
  return made;
}

}  // namespace

EnvelopePaths::EnvelopePaths(const Envelope& envelope, std::string of_topic)
    : kind(envelope.kind),
      topic(std::move(of_topic)),
      id(paths_of(envelope.id)),
      type(paths_of(envelope.type)),
      source(paths_of(envelope.source)) {
  if (envelope.time) time.emplace_back(*envelope.time);
}

std::string expected_time(TimeUnit unit) {
  if (unit == TimeUnit::text) return "an RFC 3339 date-time with an offset, years 1 to 9999";
  return std::string("an integer: ") + name_of(unit) + ", years 1 to 9999";
}

std::optional<std::int64_t> MemberValue::as_instant(TimeUnit unit) const {
  if (unit == TimeUnit::text) {
    const std::optional<std::string_view> text = as_string();
    return text ? parse_microseconds(*text) : std::nullopt;
  }
  std::optional<std::int64_t> count = as_integer();
  if (kind_ == Kind::attribute && is_header_) {
    std::int64_t digits = 0;
    const char* const end = attribute_.data() + attribute_.size();
    const auto [behind, error] = std::from_chars(attribute_.data(), end, digits);
    if (error == std::errc() && behind == end) count = digits;
  }
  return count ? instant_of(*count, unit) : std::nullopt;
}

std::optional<CivilDay> MemberValue::as_days() const {
  const std::optional<std::int64_t> instant = as_instant(TimeUnit::days);
  constexpr std::int64_t micros_a_day = 86'400'000'000;
  return instant ? std::optional(static_cast<CivilDay>(*instant / micros_a_day)) : std::nullopt;
}

std::optional<std::int64_t> MemberValue::as_seconds(TimeUnit unit) const {
  if (unit == TimeUnit::text) {
    const std::optional<std::string_view> text = as_string();
    return text ? parse_instant(*text) : std::nullopt;
  }
  const std::optional<std::int64_t> micros = as_instant(unit);
  if (!micros) return std::nullopt;
  return *micros / 1'000'000 - (*micros % 1'000'000 < 0 ? 1 : 0);
}

// The last one of a name counts. What is no UTF-8 is no value.
MemberValue JsonEvent::header(std::string_view name) const {
  MemberValue found;
  for (const Header& header : headers_) {
    if (header.name == name) found = is_utf8(header.value) ? MemberValue::of_header(header.value) : MemberValue();
  }
  return found;
}

// The headers of a redriven copy (producer/redrive.h).
void JsonEvent::read_marks(const Record& record) {
  record.headers(headers_);
  redrive_ = header(redrive_header).as_string().value_or(std::string_view());
  redriven_position_ = redrive_.empty() ? std::string_view() : header(position_header).as_string().value_or("");
}

// "topic/partition/offset": what identifies a record without an id, whatever its source says. A redriven copy has that
// of its original.
std::string_view JsonEvent::position_of(const Record& record, const std::string& topic) {
  id_text_ = topic + "/";
  if (redriven_position_.empty()) {
    id_text_ += std::to_string(record.partition) + "/" + std::to_string(record.offset);
  } else {
    id_text_ += redriven_position_;
  }
  return id_text_;
}

std::optional<Rejection> JsonEvent::read_part(const EnvelopePaths::Part& part, const char* name, std::string& text) {
  text.clear();
  if (part.path.empty()) {
    text = part.constant;
    return std::nullopt;
  }
  const MemberValue value = find(part.path.front());
  if (const std::optional<std::string_view> string = value.as_string()) {
    text = *string;
  } else if (const std::optional<std::int64_t> integer = value.as_integer()) {
    text = std::to_string(*integer);
  }
  if (!text.empty()) return std::nullopt;
  return envelope(std::string("the event's ") + name + ", " + part.shown + ", is " + value.describe() +
                  "; expected a string that is not empty, or an integer");
}

std::optional<Rejection> JsonEvent::read_plain(const Record& record, const EnvelopePaths& paths) {
  read_marks(record);
  source_ = paths.topic;
  if (!document_.is_object())
    return envelope("the record is " + MemberValue(document_).describe() + "; expected a JSON object");
  const bool says_source = !paths.source.path.empty() || !paths.source.constant.empty();
  std::optional<Rejection> no_source;
  if (says_source) no_source = read_part(paths.source, "source", source_text_);
  if (says_source) source_ = source_text_;
  if (paths.id.path.empty()) {
    id_ = position_of(record, paths.topic);
  } else {
    if (std::optional<Rejection> rejection = read_part(paths.id, "id", id_text_)) return rejection;
    id_ = id_text_;
  }
  if (std::optional<Rejection> rejection = read_part(paths.type, "type", type_text_)) return rejection;
  type_ = type_text_;
  return no_source;
}

// From here on the members are those of the payload.
void JsonEvent::unwrap(element payload) {
  static const Name data_name("data");
  document_ = payload;
  is_unwrapped_ = true;
  top_.clear();
  data_.clear();
  has_data_ = false;
  if (!payload.is_object()) return;
  for (const auto field : object_of(payload)) {
    top_.push_back({Name(field.key), field.value});
    if (!(top_.back().name == data_name)) continue;
    has_data_ = true;
    data_element_ = field.value;
    if (!field.value.is_object()) continue;
    for (const auto below : object_of(field.value)) data_.push_back({Name(below.key), below.value});
  }
}

// A key that is JSON becomes the member `key` of the event. `key_text_`: what tells it from other keys; empty: no key.
void JsonEvent::read_record_key(const Record& record) {
  key_text_.clear();
  if (!record.key || record.key->empty()) return;
  const std::string_view bytes = *record.key;
  if (padded_key_.size() < bytes.size() + simdjson::SIMDJSON_PADDING)
    padded_key_.resize(2 * bytes.size() + simdjson::SIMDJSON_PADDING);
  std::memcpy(padded_key_.data(), bytes.data(), bytes.size());
  element key;
  Members scratch;
  if (key_parser_.parse(padded_key_.data(), bytes.size(), false).get(key) != simdjson::SUCCESS ||
      check_nested(key, scratch, false)) {
    key_text_ = bytes;
    if (is_utf8(bytes)) return;
    key_text_.clear();
    for (const char byte : bytes) {
      static constexpr const char* digits = "0123456789abcdef";
      key_text_ += {digits[static_cast<unsigned char>(byte) >> 4], digits[byte & 15]};
    }
    return;
  }
  if (const std::optional<element> payload = payload_of(key)) key = *payload;
  if (key.is_null()) return;
  if (key.is_object()) {
    char before = '{';
    for (const auto field : object_of(key)) {
      key_text_.append(1, std::exchange(before, ',')).append(1, '"').append(field.key).append("\":");
      append_json(key_text_, field.value);
    }
    key_text_.append(before == '{' ? "{}" : "}");
  } else {
    append_json(key_text_, key);
  }
  top_.insert(top_.begin(), {Name("key"), key});
}

std::optional<Rejection> JsonEvent::read_debezium(const Record& record, const EnvelopePaths& paths) {
  read_marks(record);
  source_ = paths.topic;
  if (const std::optional<element> payload = payload_of(document_)) unwrap(*payload);
  if (document_.is_null()) {
    null_payload_ = true;
    return std::nullopt;
  }
  if (!document_.is_object()) {
    return envelope("the record is " + MemberValue(document_).describe() +
                    "; expected a change event of Debezium: a JSON object");
  }
  static const Name op_name("op"), source_name("source");
  MemberValue op, source;
  const Members* block = nullptr;
  for (const Member& member : top_) {
    if (member.name == op_name) op = MemberValue(member.value);
    if (!(member.name == source_name)) continue;
    source = MemberValue(member.value);
    if (!member.value.is_object()) continue;
    source_block_.clear();
    for (const auto field : object_of(member.value)) {
      if (!is_of_reading(field.key)) source_block_.push_back({Name(field.key), field.value});
    }
    block = &source_block_;
  }
  type_ = op.as_string().value_or(std::string_view());
  if (type_.empty()) {
    return envelope("member /op is " + op.describe() +
                    "; expected a change event of Debezium, which says \"c\", \"u\", \"d\" or \"r\" there (rows that a "
                    "transformation has unwrapped are for a plain envelope)");
  }
  if (block == nullptr)
    return envelope("member /source is " + source.describe() + "; expected a change event's object of that name");
  read_record_key(record);
  if (key_text_.empty()) {
    id_ = position_of(record, paths.topic);
    return std::nullopt;
  }
  std::sort(source_block_.begin(), source_block_.end(),
            [](const Member& a, const Member& b) { return a.name.text < b.name.text; });
  id_text_.assign(key_text_).append(" ").append(type_);
  for (const Member& member : source_block_) {
    id_text_.append(1, ' ').append(member.name.text).append(1, '=');
    append_json(id_text_, member.value);
  }
  id_ = id_text_;
  return std::nullopt;
}

}  // namespace daybook
