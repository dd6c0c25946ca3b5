#include "core/definition_reader_envelope.h"

#include <algorithm>

#include "core/definition_members.h"

namespace daybook {
namespace {

using Kind = JsonNode::Kind;

Place pointer_to(std::string_view text, TimeUnit unit = TimeUnit::text) {
  Place place(*parse_json_pointer(text));
  place.unit = unit;
  return place;
}

}  // namespace

EnvelopeMember::EnvelopeMember(const JsonNode* node) {
  envelope_.time = pointer_to("/time");
  if (node == nullptr) return;
  if (node->is(Kind::object)) {
    envelope_.time.reset();
    read_plain(*node);
    return;
  }
  const auto kind = choice<Envelope::Kind>(
      *node, source_members, {{"cloudevents", Envelope::Kind::cloudevents}, {"debezium", Envelope::Kind::debezium}});
  is_known_ = kind.has_value();
  envelope_.kind = kind.value_or(Envelope::Kind::cloudevents);
  if (envelope_.kind == Envelope::Kind::debezium) envelope_.time = pointer_to("/source/ts_ms", TimeUnit::milliseconds);
}

void EnvelopeMember::read_plain(const JsonNode& node) {
  envelope_.kind = Envelope::Kind::plain;
  members(node, envelope_members, expectation(source_members, "envelope"));
  if (const JsonNode* id = node.member("id")) envelope_.id = part(*id, false);
  if (const JsonNode* type = node.member("type")) envelope_.type = part(*type, true);
  if (const JsonNode* source = node.member("source")) envelope_.source = part(*source, true);
  if (const JsonNode* time = node.member("time")) {
    envelope_.time = place(*time, true, false, expectation(envelope_members, "time"));
    is_known_ = is_known_ && envelope_.time.has_value();
  }
}

Envelope::Part EnvelopeMember::part(const JsonNode& node, bool constant) {
  Envelope::Part read;
  const std::string_view expected = expectation(envelope_members, node.name);
  const JsonNode* is = constant && node.is(Kind::object) ? node.member("is") : nullptr;
  if (is != nullptr) {
    members(node, constant_members, expected);
    const std::string* text = string(*is, expected);
    if (text != nullptr && text->empty()) wrong(*is, "a text, not empty");
    if (text != nullptr) read.constant = *text;
    return read;
  }
  read.place = place(node, false, false, expected);
  return read;
}

std::vector<std::string> EnvelopeMember::event_types(const JsonNode& node) {
  std::vector<std::string> types;
  const std::string_view expected = expectation(source_members, "event");
  const auto read = [&](const JsonNode& one) {
    const std::string* type = string(one, expected);
    if (type == nullptr) return;
    if (type->empty()) {
      wrong(one, expected);
    } else if (std::find(types.begin(), types.end(), *type) != types.end()) {
      mistake(one, one.shown() + " a second time", "each type once");
    } else if (envelope_.kind == Envelope::Kind::debezium && *type != "c" && *type != "u" && *type != "d" &&
               *type != "r") {
      wrong(one, "an op of Debezium: \"c\" (created), \"u\" (updated), \"d\" (deleted) or \"r\" (read by a snapshot)");
    }
    types.push_back(*type);
  };
  if (!node.is(Kind::array)) {
    read(node);
  } else {
    for (const JsonNode* one : elements(&node, expected, max_event_types)) read(*one);
  }
  return types;
}

std::optional<Place> EnvelopeMember::key_place(const JsonNode& node, std::optional<KeyType> type) {
  return column_place(node, !type || (*type != KeyType::uuid && *type != KeyType::text && *type != KeyType::integer));
}

std::optional<Place> EnvelopeMember::value_place(const JsonNode& node, std::optional<ColumnType> type) {
  const bool is_date = type == ColumnType::date;
  std::optional<Place> read = column_place(node, !type || *type == ColumnType::timestamp || is_date);
  const bool is_instant = read && ((read->unit != TimeUnit::text && read->unit != TimeUnit::days) ||
                                   (node.is(Kind::object) && node.member("envelope") != nullptr));
  if (is_date && is_instant)
    mistake(node, "an instant for a date, which depends on a time zone", "a member with a date, or the unit \"days\"");
  return read;
}

std::optional<Place> EnvelopeMember::column_place(const JsonNode& node, bool is_time) {
  if (!node.is(Kind::object)) {
    std::optional<JsonPointer> read = pointer(node, pointer_expected);
    return read ? std::optional<Place>(*std::move(read)) : std::nullopt;
  }
  return place(node, is_time, true, place_expected);
}

// A string is a pointer; an object has exactly one of `member`, `header` and (where that is allowed) `envelope`.
std::optional<Place> EnvelopeMember::place(const JsonNode& node, bool with_unit, bool with_envelope,
                                           std::string_view expected) {
  if (!node.is(Kind::object)) {
    std::optional<JsonPointer> read = pointer(node, expected);
    return read ? std::optional<Place>(*std::move(read)) : std::nullopt;
  }
  if (!members(node, place_members, expected)) return std::nullopt;
  const JsonNode* member = node.member("member");
  const JsonNode* header = node.member("header");
  const JsonNode* envelope = node.member("envelope");
  if ((member != nullptr) + (header != nullptr) + (envelope != nullptr) != 1 ||
      (envelope != nullptr && !with_envelope)) {
    wrong(node, expected);
    return std::nullopt;
  }
  if (envelope != nullptr) {
    if (!choice<bool>(*envelope, place_members, {{"time", true}})) return std::nullopt;
    if (!with_unit) mistake(*envelope, "a time for a column that is none", "the place of the column's value");
    if (const JsonNode* unit = node.member("unit"))
      mistake(*unit, "a unit", "none: the envelope says how its time is written");
    if (!envelope_.time && is_known_)
      mistake(*envelope, "an envelope without a time", "a \"time\" in the source's \"envelope\"");
    return envelope_.time;
  }
  Place read;
  if (member != nullptr) {
    std::optional<JsonPointer> found = pointer(*member, pointer_expected);
    if (!found) return std::nullopt;
    read = *std::move(found);
  } else {
    const std::string_view header_expected = expectation(place_members, "header");
    const std::string* name = string(*header, header_expected);
    if (name == nullptr) return std::nullopt;
    if (name->empty() || name->size() > max_header_name) wrong(*header, header_expected);
    if (envelope_.kind != Envelope::Kind::plain && is_known_) {
      mistake(*header, "a header", "a member, since only a plain envelope's values are in headers");
    }
    read.header = *name;
  }
  read_unit(node, with_unit, read);
  return read;
}

void EnvelopeMember::read_unit(const JsonNode& node, bool allowed, Place& place) {
  const JsonNode* unit = node.member("unit");
  if (unit == nullptr) return;
  if (!allowed) {
    mistake(*unit, "a unit for a value that is no time", "none");
    return;
  }
  place.unit = choice<TimeUnit>(*unit, place_members,
                                {{"s", TimeUnit::seconds},
                                 {"ms", TimeUnit::milliseconds},
                                 {"us", TimeUnit::microseconds},
                                 {"ns", TimeUnit::nanoseconds},
                                 {"days", TimeUnit::days}})
                   .value_or(TimeUnit::text);
}

}  // namespace daybook
