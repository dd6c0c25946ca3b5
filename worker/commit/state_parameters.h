// What the commit function of a `latest` or `log` view takes beside what all take. Part of commit_parameters.cpp.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/definition.h"
#include "worker/fold/state_fold.h"

namespace daybook {

// The key columns of rows, an array for each.
void add_keys(std::vector<std::string>& out, const ViewDefinition& view, const std::vector<std::string_view>& keys);

// Keys, order of states and values, in the order of sql/render_states.cpp.
void add_states(std::vector<std::string>& out, const ViewDefinition& view, const std::vector<StateFold::Kept>& states);

}  // namespace daybook
