#include "core/definition.h"

#include <algorithm>

namespace daybook {

std::vector<std::string> ViewDefinition::topics() const {
  std::vector<std::string> found;
  for (const SourceRule& source : sources) {
    if (std::find(found.begin(), found.end(), source.topic) == found.end()) found.push_back(source.topic);
  }
  return found;
}

bool ViewDefinition::has_time() const {
  if (key.empty()) return false;
  const KeyType type = key.back().type;
  return type == KeyType::date || type == KeyType::hour || type == KeyType::minute;
}

bool ViewDefinition::has_balance() const {
  return std::any_of(columns.begin(), columns.end(),
                     [](const ValueColumn& c) { return c.aggregate == Aggregate::balance; });
}

std::vector<std::string> ViewDefinition::list_order() const {
  std::vector<std::string> all = reader.order;
  for (const KeyColumn& column : key) {
    if (std::find(all.begin(), all.end(), column.name) == all.end()) all.push_back(column.name);
  }
  return all;
}

}  // namespace daybook
