// Records in other envelopes than CloudEvents, by verify's own plain code: plain JSON and Debezium's change events
// (docs/envelopes.md).
#include <charconv>

#include "verify/event.h"
#include "verify/values.h"

namespace daybook::verify {
namespace {

using nlohmann::json;

bool is_utf8(const std::string& text) {
  try {
    (void)json(text).dump();  // throws for what is no UTF-8
    return true;
  } catch (const json::type_error&) {
    return false;
  }
}

// The last header of that name, as a string; null when there is none or it is no UTF-8.
json header_of(const LogRecord& record, const std::string& name) {
  json found;
  for (const auto& [other, value] : record.headers) {
    if (other != name) continue;
    found = is_utf8(std::string(value)) ? json(std::string(value)) : json();
  }
  return found;
}

std::string text_of(const json& value) {
  if (value.is_string()) return value.get<std::string>();
  if (value.is_binary()) return text_of(json::parse(value.get_binary(), nullptr, false));  // of an exact event
  const std::optional<std::int64_t> integer = integer_of(value);
  return integer ? std::to_string(*integer) : "";
}

std::string position_of(const LogRecord& record, const Event& event) {
  const std::string original = event.redrive.empty() ? "" : text_of(header_of(record, "daybookposition"));
  return std::string(record.topic) + "/" +
         (original.empty() ? std::to_string(record.partition) + "/" + std::to_string(record.offset) : original);
}

// The payload of a record or key that a converter with schemas wrote; else all of it.
json unwrapped(json document) {
  const bool wrapped =
      document.is_object() && document.size() == 2 && document.contains("schema") && document.contains("payload");
  return wrapped ? json(std::move(document["payload"])) : document;
}

std::variant<Event, Rejection> open_plain(const LogRecord& record, const Envelope& envelope, Event event) {
  if (!event.body.is_object()) return Rejection{"envelope", "the record is no JSON object"};
  std::string missing;
  const auto part = [&](const Envelope::Part& from, const char* name) {
    if (!from.place) return from.constant;
    std::string text = text_of(value_at(event, record, *from.place));
    if (text.empty()) missing = name;
    return text;
  };
  event.id = envelope.id.place ? part(envelope.id, "id") : position_of(record, event);
  event.type = part(envelope.type, "type");
  if (envelope.source.place || !envelope.source.constant.empty()) event.source = part(envelope.source, "source");
  if (!missing.empty())
    return Rejection{"envelope", "the event's " + missing + " is missing, empty or neither string nor integer"};
  return event;
}

// `exact`: the numbers of the body are, and those of the key shall be; `id` is of no use then.
std::variant<Event, Rejection> open_change(const LogRecord& record, Event event, bool exact) {
  event.body = unwrapped(std::move(event.body));
  if (event.body.is_null()) {
    event.tombstone = true;
    return event;
  }
  if (!event.body.is_object()) return Rejection{"envelope", "the record is no JSON object"};
  const auto op = event.body.find("op");
  if (op == event.body.end() || !op->is_string() || op->get_ref<const std::string&>().empty())
    return Rejection{"envelope", "/op is missing, empty or no string"};
  event.type = op->get<std::string>();
  const auto block = event.body.find("source");
  if (block == event.body.end() || !block->is_object()) return Rejection{"envelope", "/source is missing or no object"};
  json which = *block;
  for (const char* of_reading : {"version", "sequence", "xmin", "ts_us", "ts_ns"}) which.erase(of_reading);

  std::string key(record.key.value_or(""));
  if (!key.empty()) {
    std::variant<json, Rejection> parsed = parse_json(key);
    if (exact && std::holds_alternative<json>(parsed)) parsed = parse_json(key, true);
    if (auto* found = std::get_if<json>(&parsed)) {
      json payload = unwrapped(std::move(*found));
      key = payload.is_null() ? "" : payload.dump();
      if (!payload.is_null()) event.body["key"] = std::move(payload);
    }
  }
  event.id = key.empty() ? position_of(record, event) : key + " " + event.type + " " + which.dump();
  return event;
}

}  // namespace

json value_at(const Event& event, const LogRecord& record, const Place& place) {
  if (place.header.empty()) {
    const json* member = find_member(event.body, place);
    return member == nullptr ? json() : *member;
  }
  json found = header_of(record, place.header);
  if (place.unit == TimeUnit::text || !found.is_string()) return found;
  const auto& text = found.get_ref<const std::string&>();
  std::int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size() ? json(number) : found;
}

std::variant<Event, Rejection> open_record(const LogRecord& record, const Envelope& envelope,
                                           const std::function<bool(const std::string&)>& reads_type, bool exact) {
  Event event;
  if (envelope.kind == Envelope::Kind::cloudevents) {
    std::variant<json, Rejection> read = read_event(record, reads_type, exact);
    if (auto* rejection = std::get_if<Rejection>(&read)) return std::move(*rejection);
    event.body = std::move(std::get<json>(read));
    event.source = event.body["source"].get<std::string>();
    event.id = event.body["id"].get<std::string>();
    event.type = event.body["type"].get<std::string>();
    const auto redrive = event.body.find("daybookredrive");
    if (redrive != event.body.end() && redrive->is_string()) event.redrive = redrive->get<std::string>();
    return event;
  }
  std::variant<json, Rejection> parsed = parse_json(*record.value, exact);
  if (auto* rejection = std::get_if<Rejection>(&parsed)) return std::move(*rejection);
  event.body = std::move(std::get<json>(parsed));
  event.source = std::string(record.topic);
  event.redrive = text_of(header_of(record, "daybookredrive"));
  return envelope.kind == Envelope::Kind::plain ? open_plain(record, envelope, std::move(event))
                                                : open_change(record, std::move(event), exact);
}

}  // namespace daybook::verify
