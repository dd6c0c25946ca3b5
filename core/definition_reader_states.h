// Reads what `latest` and `log` views have of their own: columns that are what a member says, and sources that set and
// delete them. Part of the definition's reader.
#pragma once

#include <vector>

#include "core/definition.h"
#include "core/definition_reader_envelope.h"
#include "core/definition_shape.h"

namespace daybook {

class StateMembers : public DefinitionShape {
 protected:
  static Members column_members_of(ViewKind kind);
  static Members source_members_of(ViewKind kind);

  // Type, scale and required.
  void read_state_column(const JsonNode& node, ValueColumn& column);
  // `partition` and `keep_days`, and that the key has the timestamp which they need. `key_known`: without a mistake.
  void read_log_members(const JsonNode& root, ViewDefinition& view, bool key_known);
  // `version`, `set` and `delete`. `used`: beside view.columns, what is set by some source.
  void read_state_source(const JsonNode& node, const ViewDefinition& view, bool columns_known, EnvelopeMember& envelope,
                         SourceRule& rule, std::vector<bool>& used);

 private:
  std::optional<std::size_t> find_column(const JsonNode& at, const std::string& name, const ViewDefinition& view,
                                         bool columns_known);
  void read_set(const JsonNode& node, const ViewDefinition& view, bool columns_known, EnvelopeMember& envelope,
                SourceRule& rule);
  void read_delete(const JsonNode& node, const ViewDefinition& view, bool columns_known, SourceRule& rule);
};

}  // namespace daybook
