// One line of NDJSON becomes one message: envelope completed, validated, routed. No broker here.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "producer/event_schemas.h"

namespace daybook::publishing {

struct LineSettings {
  std::string topic = {};   // overrides the schemas' topics; required without schemas
  std::string source = {};  // for events without one
  std::string type = {};    // a line without specversion is the data of an event of this type
};

// What to publish for one line.
struct OutgoingEvent {
  std::string topic;
  std::optional<std::string> key;
  std::string_view value;  // good until the next call
};

// The rule: with `type` set, a line without the member specversion is taken as data. Every other line is an
// event; whichever of specversion, id, source and time it lacks is added. The rest of its text is published
// as it stands.
class EventLines {
 public:
  // `schemas` may be empty: then only the envelope is checked, and the key is the attribute `partitionkey`.
  EventLines(LineSettings settings, const EventSchemas* schemas) : settings_(std::move(settings)), schemas_(schemas) {}

  // Fills `out`, or returns why the line is refused: all reasons at once.
  std::vector<Refusal> convert(std::string_view line, OutgoingEvent& out);

 private:
  void complete(std::string_view line, nlohmann::json& event);

  LineSettings settings_;
  const EventSchemas* schemas_;
  std::string text_;  // a completed line
};

}  // namespace daybook::publishing
