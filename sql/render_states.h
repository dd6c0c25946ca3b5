// Fills the templates of `latest` and `log` views: what their commit functions have of their own. Part of render.cpp.
// Pure.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "core/definition.h"

namespace daybook::sql {

// "p_k1 uuid[], ...": what the commit function takes beside what all take; worker/commit/state_parameters.cpp gives it.
std::vector<std::string> state_parameters(const ViewDefinition& view);

// The step of the commit function that writes rows. `common`: words that each kind's step has.
std::string state_rows_step(const ViewDefinition& view, int generation,
                            const std::map<std::string, std::string>& common);

// Statements that make what a view of states needs beside its table; empty for a `summary` view.
std::string render_beside_table(const ViewDefinition& view, int generation);

}  // namespace daybook::sql
