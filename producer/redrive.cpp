#include "producer/redrive.h"

#include <algorithm>
#include <functional>
#include <set>
#include <string_view>

#include "core/error.h"
#include "producer/strict_json.h"

namespace daybook::publishing {
namespace {

using nlohmann::ordered_json;

constexpr const char* mark = "daybookredrive";
constexpr const char* position_mark = "daybookposition";
const std::string header_prefix = "ce_";

bool equal_ignoring_case(std::string_view a, std::string_view b) {
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; };
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [&](char x, char y) { return lower(x) == lower(y); });
}

bool begins_with(std::string_view text, std::string_view prefix) {
  return equal_ignoring_case(text.substr(0, prefix.size()), prefix);
}

enum class Mode { structured, binary, batch };

// As the CloudEvents binding for Kafka says.
Mode mode_of(const OwnedRecord& record) {
  bool binary = false;
  bool structured = false;
  for (const auto& [name, value] : record.headers) {
    if (name.rfind(header_prefix, 0) == 0) binary = true;
    if (!equal_ignoring_case(name, "content-type")) continue;
    if (begins_with(value, "application/cloudevents-batch")) return Mode::batch;
    structured |= begins_with(value, "application/cloudevents");
  }
  return binary && !structured ? Mode::binary : Mode::structured;
}

// nullptr when there is none; the last one of a name counts, as for the worker.
std::string* header(OwnedRecord& record, const std::string& name) {
  const auto found =
      std::find_if(record.headers.rbegin(), record.headers.rend(), [&](const auto& one) { return one.first == name; });
  return found == record.headers.rend() ? nullptr : &found->second;
}

void set_header(OwnedRecord& record, const std::string& name, const std::string& value) {
  if (std::string* const there = header(record, name)) {
    *there = value;
  } else {
    record.headers.emplace_back(name, value);
  }
}

// The value of a string member; "" when it is missing, empty or none.
std::string text_member(const ordered_json& object, const char* name) {
  const auto found = object.is_object() ? object.find(name) : object.end();
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

std::string missing_attribute(const std::function<std::string(const char*)>& attribute) {
  if (attribute("specversion") != "1.0") return "its attribute specversion is not \"1.0\"";
  for (const char* name : {"id", "source", "type"}) {
    if (attribute(name).empty()) return std::string("its attribute ") + name + " is missing, empty or no string";
  }
  return "";
}

// Why a correction does not fit this event; "" when it was made.
std::string correct(ordered_json& target, const std::string& pointer, const ordered_json& value) {
  try {
    target[ordered_json::json_pointer(pointer)] = value;
    return "";
  } catch (const ordered_json::exception&) {
    return "--set " + pointer + " names no place in it";
  }
}

// "/data/quantity" -> "/quantity" in the body; nullopt for what is not inside /data.
std::optional<std::string> inside_data(const std::string& pointer) {
  const std::string data = "/data";
  if (pointer.rfind(data, 0) != 0 || (pointer.size() > data.size() && pointer[data.size()] != '/')) return std::nullopt;
  return pointer.substr(data.size());
}

std::variant<OwnedRecord, NotRedrivable> redriven_binary(OwnedRecord record, ordered_json body, const std::string& view,
                                                         const std::vector<Correction>& corrections) {
  bool body_changed = false;
  for (const Correction& correction : corrections) {
    if (const std::optional<std::string> pointer = inside_data(correction.pointer)) {
      const std::string problem = correct(body, *pointer, correction.value);
      if (!problem.empty()) return NotRedrivable{problem};
      body_changed = true;
    } else if (correction.pointer.find('/', 1) != std::string::npos) {
      return NotRedrivable{"--set " + correction.pointer + " names no attribute: it is in binary mode"};
    } else {
      const ordered_json& value = correction.value;
      set_header(record, header_prefix + correction.pointer.substr(1),
                 value.is_string() ? value.get<std::string>() : value.dump());
    }
  }
  const std::string missing = missing_attribute([&record](const char* name) {
    const std::string* const value = header(record, header_prefix + name);
    return value == nullptr ? std::string() : *value;
  });
  if (!missing.empty()) return NotRedrivable{missing};
  set_header(record, header_prefix + mark, view);
  if (!text_member(body, "specversion").empty()) {
    // Data that is itself an event: a worker takes such a body for the event, whatever the headers say.
    body[mark] = view;
    body_changed = true;
  }
  if (body_changed) record.value = body.dump();
  return record;
}

// Why the event of a topic with another envelope than CloudEvents can't be identified; "" when it can.
std::string missing_identity(OwnedRecord& record, const ordered_json& event, const Envelope& envelope) {
  if (!event.is_object()) return "it is no event: the record is no JSON object";
  if (envelope.kind == Envelope::Kind::debezium) {
    if (text_member(event, "op").empty()) return "its member op is missing, empty or no string";
    const auto source = event.find("source");
    return source != event.end() && source->is_object() ? "" : "its member source is missing or no object";
  }
  for (const auto& [name, part] :
       {std::pair{"id", &envelope.id}, {"type", &envelope.type}, {"source", &envelope.source}}) {
    if (!part->place) continue;
    bool found = false;
    if (!part->place->header.empty()) {
      const std::string* const value = header(record, part->place->header);
      found = value != nullptr && !value->empty();
    } else {
      const ordered_json::json_pointer pointer(part->place->text);
      const ordered_json value = event.contains(pointer) ? event.at(pointer) : ordered_json();
      found = value.is_number() || (value.is_string() && value != "");
    }
    if (!found)
      return std::string("its ") + name + ", " + part->place->shown() + ", is missing, empty or of a wrong type";
  }
  return "";
}

std::variant<OwnedRecord, NotRedrivable> redriven_other(OwnedRecord record, ordered_json document,
                                                        const std::string& view,
                                                        const std::vector<Correction>& corrections,
                                                        const Envelope& envelope, const std::string& position) {
  const bool wrapped = envelope.kind == Envelope::Kind::debezium && document.is_object() && document.size() == 2 &&
                       document.contains("schema") && document.contains("payload");
  ordered_json& event = wrapped ? document["payload"] : document;
  for (const Correction& correction : corrections) {
    if (envelope.kind == Envelope::Kind::debezium && (correction.pointer + "/").rfind("/key/", 0) == 0)
      return NotRedrivable{"--set " + correction.pointer + " names the record's key, which can't be corrected"};
    const std::string problem = correct(event, correction.pointer, correction.value);
    if (!problem.empty()) return NotRedrivable{problem};
  }
  const std::string missing = missing_identity(record, event, envelope);
  if (!missing.empty()) return NotRedrivable{missing};
  set_header(record, mark, view);
  if (header(record, position_mark) == nullptr) record.headers.emplace_back(position_mark, position);
  if (!corrections.empty()) record.value = document.dump();
  return record;
}

std::variant<OwnedRecord, NotRedrivable> redriven_structured(OwnedRecord record, ordered_json event,
                                                             const std::string& view,
                                                             const std::vector<Correction>& corrections) {
  for (const Correction& correction : corrections) {
    const std::string problem = correct(event, correction.pointer, correction.value);
    if (!problem.empty()) return NotRedrivable{problem};
  }
  const std::string missing = missing_attribute([&event](const char* name) { return text_member(event, name); });
  if (!missing.empty()) return NotRedrivable{missing};
  if (!corrections.empty() || event.contains(mark)) {
    if (!corrections.empty() || event[mark] != view) {
      event[mark] = view;
      record.value = event.dump();
    }
    return record;
  }
  // The bytes stay as they are: the mark is the first member.
  record.value->insert(record.value->find('{') + 1, "\"" + std::string(mark) + "\":\"" + view + "\",");
  return record;
}

}  // namespace

std::vector<Correction> parse_corrections(const std::vector<std::string>& words) {
  std::vector<Correction> corrections;
  std::string mistakes;
  for (const std::string& word : words) {
    const std::size_t equals = word.find('=');
    Correction correction{word.substr(0, equals), {}};
    try {
      ordered_json::json_pointer checked(correction.pointer);
      if (equals == std::string::npos || checked.empty()) throw UsageError("");
      if (correction.pointer == std::string("/") + mark) throw UsageError("");
    } catch (const std::exception&) {
      mistakes +=
          (mistakes.empty() ? "" : "; ") + ("--set " + word + ": expected POINTER=VALUE such as /data/quantity=5");
      continue;
    }
    const std::string text = word.substr(equals + 1);
    correction.value = ordered_json::parse(text, nullptr, false);
    if (correction.value.is_discarded()) correction.value = text;
    corrections.push_back(std::move(correction));
  }
  if (!mistakes.empty()) throw UsageError(mistakes);
  return corrections;
}

std::variant<OwnedRecord, NotRedrivable> redriven(const OwnedRecord& original, const std::string& view,
                                                  const std::vector<Correction>& corrections) {
  return redriven(original, view, corrections, {}, "");
}

std::variant<OwnedRecord, NotRedrivable> redriven(const OwnedRecord& original, const std::string& view,
                                                  const std::vector<Correction>& corrections, const Envelope& envelope,
                                                  const std::string& position) {
  const bool is_cloudevent = envelope.kind == Envelope::Kind::cloudevents;
  const Mode mode = mode_of(original);
  if (is_cloudevent && mode == Mode::batch) return NotRedrivable{"it is a batch of events, which no worker reads"};
  if (!original.value) return NotRedrivable{"it has no value"};
  nlohmann::json checked;
  std::string reason;
  // nlohmann_json takes a zero byte for the end of the text.
  if (original.value->find('\0') != std::string::npos) return NotRedrivable{"it has a zero byte: it is not JSON"};
  if (!parse_strict_json(*original.value, checked, reason)) return NotRedrivable{"it is malformed: " + reason};
  ordered_json document = ordered_json::parse(*original.value);  // once more: members stay in their order
  if (!is_cloudevent) return redriven_other(original, std::move(document), view, corrections, envelope, position);
  if (mode == Mode::binary) return redriven_binary(original, std::move(document), view, corrections);
  if (!document.is_object()) return NotRedrivable{"it is no event: the record is no JSON object"};
  return redriven_structured(original, std::move(document), view, corrections);
}

std::optional<std::string> traceparent_of(const OwnedRecord& record) {
  OwnedRecord copy{std::nullopt, std::nullopt, record.headers};
  for (const char* name : {"traceparent", "ce_traceparent"}) {
    if (const std::string* const value = header(copy, name)) return *value;
  }
  if (!record.value) return std::nullopt;
  const ordered_json event = ordered_json::parse(*record.value, nullptr, false);
  const std::string found = text_member(event, "traceparent");
  return found.empty() ? std::nullopt : std::optional(found);
}

std::size_t in_flight_together(const std::vector<OwnedRecord>& records, std::size_t begin, std::size_t most) {
  std::set<std::string_view> keys;
  std::size_t end = begin;
  while (end < records.size() && end - begin < most) {
    if (records[end].key && !keys.insert(*records[end].key).second) break;
    ++end;
  }
  return end - begin;
}

}  // namespace daybook::publishing
