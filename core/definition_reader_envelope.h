// Reads what a source of a view definition says about its topic's records: `envelope`, `event`, and the places of key
// values. Part of the definition's reader.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/definition.h"
#include "core/definition_shape.h"

namespace daybook {

class EnvelopeMember : public DefinitionShape {
 public:
  // `node`: the source's member `envelope`, or nullptr.
  explicit EnvelopeMember(const JsonNode* node);

  const Envelope& envelope() const { return envelope_; }

  // The member `event`: the types of the events that the source reads. Empty after a mistake.
  std::vector<std::string> event_types(const JsonNode& node);

  // Where the value of a key column is; nothing after a mistake. `type`: the column's, where it is known.
  std::optional<Place> key_place(const JsonNode& node, std::optional<KeyType> type);

  // The same of a column that is what a member says.
  std::optional<Place> value_place(const JsonNode& node, std::optional<ColumnType> type);

  // Where a time is: a pointer, or an object with a unit.
  std::optional<Place> time_place(const JsonNode& node) { return key_place(node, KeyType::date); }

 private:
  void read_plain(const JsonNode& node);
  Envelope::Part part(const JsonNode& node, bool constant);
  std::optional<Place> column_place(const JsonNode& node, bool is_time);
  std::optional<Place> place(const JsonNode& node, bool with_unit, bool with_envelope, std::string_view expected);
  void read_unit(const JsonNode& node, bool allowed, Place& place);

  Envelope envelope_;
  bool is_known_ = true;
};

}  // namespace daybook
