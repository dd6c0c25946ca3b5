// What a changed view definition means beside the one that the view's table was made with.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/definition.h"

namespace daybook {

struct DefinitionChange {
  std::string pointer;    // into the wanted definition; for what is gone, into the stored one
  std::string was, is;    // as JSON; empty: not there
  bool in_place = false;  // the rows stay right; else they have to be built anew from the log
};

// "/columns/2/type: is "bigint", was "int""; long values are cut.
std::string to_string(const DefinitionChange& change);

enum class DefinitionMeaning {
  same,
  in_place,      // `daybook views apply` stores it, the rows stay
  needs_replay,  // the rows would have to be others
};

struct DefinitionDifference {
  std::vector<DefinitionChange> changes;
  DefinitionMeaning meaning = DefinitionMeaning::same;
};

// `stored_json` and `served_json` as a generation stores them (read_stored_definition()). Members that say what holds
// without them (`"envelope": "cloudevents"`) are no change, but a text to store: in place.
DefinitionDifference compare_definitions(std::string_view stored_json, std::string_view served_json,
                                         const ViewDefinition& wanted);

// Why a definition can't be used on its view's table, and what to do: what `views apply` says about changes that need a
// replay, and the worker about every one.
std::string refusal(const std::string& view, const DefinitionDifference& difference);

}  // namespace daybook
