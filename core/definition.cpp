#include "core/definition.h"

#include <algorithm>

#include "core/aggregates.h"

namespace daybook {

std::vector<std::string> ViewDefinition::topics() const {
  std::vector<std::string> found;
  for (const SourceRule& source : sources) {
    if (std::find(found.begin(), found.end(), source.topic) == found.end()) found.push_back(source.topic);
  }
  return found;
}

const Envelope& ViewDefinition::envelope(const std::string& topic) const {
  return std::find_if(sources.begin(), sources.end(), [&](const SourceRule& s) { return s.topic == topic; })->envelope;
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

std::vector<std::size_t> ViewDefinition::parts() const {
  std::vector<std::size_t> parts(columns.size(), 0);
  if (kind != ViewKind::latest) return parts;
  // Those that delete the whole row say nothing of its parts.
  std::vector<std::vector<std::size_t>> named_by(columns.size());
  for (std::size_t i = 0; i < sources.size(); ++i) {
    for (const Setting& setting : sources[i].settings) named_by[setting.column].push_back(i);
    if (sources[i].deletes.size() == columns.size()) continue;
    for (const std::size_t column : sources[i].deletes) named_by[column].push_back(i);
  }
  std::map<std::vector<std::size_t>, std::size_t> numbers;
  for (std::size_t column = 0; column < columns.size(); ++column)
    parts[column] = numbers.try_emplace(named_by[column], numbers.size()).first->second;
  return parts;
}

std::size_t ViewDefinition::part_count() const {
  const std::vector<std::size_t> all = parts();
  return all.empty() ? 0 : *std::max_element(all.begin(), all.end()) + 1;
}

bool ViewDefinition::can_be_null(const ValueColumn& column) const {
  if (!has_states()) return !is_added(column.aggregate) && column.aggregate != Aggregate::distinct;
  return !(column.required && part_count() == 1);
}

std::optional<std::size_t> ViewDefinition::timestamp_key() const {
  for (std::size_t i = 0; i < key.size(); ++i) {
    if (key[i].type == KeyType::timestamp) return i;
  }
  return std::nullopt;
}

std::vector<std::string> ViewDefinition::list_order() const {
  std::vector<std::string> all = reader.order;
  for (const KeyColumn& column : key) {
    if (std::find(all.begin(), all.end(), column.name) == all.end()) all.push_back(column.name);
  }
  return all;
}

}  // namespace daybook
