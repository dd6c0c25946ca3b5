// How a dead letter becomes the record that is published again: the same key, headers and event, marked for one view
// only, and corrected if wished. Pure: bytes in, bytes out.
#pragma once

#include <cstddef>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "core/envelope.h"
#include "core/owned_record.h"

namespace daybook::publishing {

// "POINTER=VALUE": a member of the event gets another value.
struct Correction {
  std::string
      pointer;  // JSON Pointer, as in view definitions: in binary mode /data is the body, /name the header ce_name
  nlohmann::ordered_json value;
};

// VALUE is JSON; what is no JSON is taken as a string. Throws UsageError naming every mistake.
std::vector<Correction> parse_corrections(const std::vector<std::string>& words);

// Why a record can't be redriven.
struct NotRedrivable {
  std::string reason;
};

// The record to publish. Only an event whose identity (source and id) can be read is redriven: it is what keeps a copy
// from counting twice. Its bytes stay as they are, but for the mark `daybookredrive` and the corrections.
std::variant<OwnedRecord, NotRedrivable> redriven(const OwnedRecord& original, const std::string& view,
                                                  const std::vector<Correction>& corrections);

// The same of a topic with that envelope. `position`: "partition/offset" of the original, which identifies what has no
// id. Outside CloudEvents the mark is a header, and another one keeps the position.
std::variant<OwnedRecord, NotRedrivable> redriven(const OwnedRecord& original, const std::string& view,
                                                  const std::vector<Correction>& corrections, const Envelope& envelope,
                                                  const std::string& position);

// The trace that the record belongs to: the header traceparent, or the event's attribute.
std::optional<std::string> traceparent_of(const OwnedRecord& record);

// How many of `records` from `begin` on may be in flight together: at most `most`, and none that has the key of one
// before it, so that a record that does not arrive is never overtaken by a later one of its key.
std::size_t in_flight_together(const std::vector<OwnedRecord>& records, std::size_t begin, std::size_t most);

}  // namespace daybook::publishing
