// The files of sql/ with their {{words}} filled in. Pure.
#pragma once

#include <map>
#include <string>
#include <vector>

namespace daybook::sql {

std::string join(const std::vector<std::string>& words, const std::string& separator);

// The embedded file of that name; each {{word}} in it must have a value.
std::string fill(const std::string& name, const std::map<std::string, std::string>& values);

}  // namespace daybook::sql
