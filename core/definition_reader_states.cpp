#include "core/definition_reader_states.h"

#include <algorithm>

#include "core/definition_members.h"

namespace daybook {

using Kind = JsonNode::Kind;

DefinitionShape::Members StateMembers::column_members_of(ViewKind kind) {
  return kind == ViewKind::summary ? Members(column_members) : Members(state_column_members);
}

DefinitionShape::Members StateMembers::source_members_of(ViewKind kind) {
  switch (kind) {
    case ViewKind::latest:
      return latest_source_members;
    case ViewKind::log:
      return log_source_members;
    case ViewKind::summary:
      break;
  }
  return source_members;
}

void StateMembers::read_state_column(const JsonNode& node, ValueColumn& column) {
  std::optional<ColumnType> type;
  if (const JsonNode* member = node.member("type")) {
    type = choice<ColumnType>(*member, state_column_members,
                              {{"text", ColumnType::text},
                               {"int", ColumnType::int4},
                               {"bigint", ColumnType::int8},
                               {"decimal", ColumnType::decimal},
                               {"boolean", ColumnType::boolean},
                               {"timestamp", ColumnType::timestamp},
                               {"date", ColumnType::date},
                               {"uuid", ColumnType::uuid},
                               {"json", ColumnType::json}});
  }
  column.type = type.value_or(ColumnType::text);
  const std::string_view scale_expected = expectation(state_column_members, "scale");
  if (const JsonNode* scale = node.member("scale")) {
    column.scale = static_cast<int>(integer(*scale, state_column_members, 1, 9).value_or(1));
    if (type && *type != ColumnType::decimal) mistake(*scale, "a scale", "none, since only decimal columns have one");
  } else if (type == ColumnType::decimal) {
    missing(node, "scale", scale_expected);
  }
  if (const JsonNode* required = node.member("required")) {
    if (!required->is(Kind::boolean)) wrong(*required, expectation(state_column_members, "required"));
    column.required = required->boolean;
  }
}

void StateMembers::read_log_members(const JsonNode& root, ViewDefinition& view, bool key_known) {
  const JsonNode* partition = root.member("partition");
  const JsonNode* keep_days = root.member("keep_days");
  if (view.kind != ViewKind::log) {
    for (const JsonNode* node : {partition, keep_days}) {
      if (node != nullptr) mistake(*node, "\"" + node->name + "\" in a view that is no log", "none");
    }
    return;
  }
  if (partition == nullptr) {
    missing(root, "partition", expectation(root_members, "partition"));
  } else {
    view.partition =
        choice<PartitionBy>(*partition, root_members, {{"day", PartitionBy::day}, {"month", PartitionBy::month}})
            .value_or(PartitionBy::day);
  }
  if (keep_days != nullptr) view.keep_days = integer(*keep_days, root_members, 1, 36'500);
  const auto timestamps = std::count_if(view.key.begin(), view.key.end(),
                                        [](const KeyColumn& column) { return column.type == KeyType::timestamp; });
  if (key_known && timestamps != 1) {
    mistake(*root.member("key"), timestamps == 0 ? "a key without a timestamp" : "a key with several timestamps",
            "exactly one, since a log view's table is divided by it");
  }
}

void StateMembers::read_state_source(const JsonNode& node, const ViewDefinition& view, bool columns_known,
                                     EnvelopeMember& envelope, SourceRule& rule, std::vector<bool>& used) {
  const JsonNode* set = node.member("set");
  const JsonNode* gone = view.kind == ViewKind::latest ? node.member("delete") : nullptr;
  if (view.kind == ViewKind::latest) {
    if (const JsonNode* version = node.member("version")) {
      if (std::optional<Place> place = envelope.time_place(*version)) rule.version = *std::move(place);
    }
    if (set == nullptr && gone == nullptr) missing(node, "set", "\"set\" or \"delete\"");
    if (set != nullptr && gone != nullptr) mistake(*gone, "\"delete\" beside \"set\"", "one of them");
  }
  if (set != nullptr) read_set(*set, view, columns_known, envelope, rule);
  if (gone != nullptr) read_delete(*gone, view, columns_known, rule);
  for (const Setting& setting : rule.settings) used[setting.column] = true;
}

std::optional<std::size_t> StateMembers::find_column(const JsonNode& at, const std::string& name,
                                                     const ViewDefinition& view, bool columns_known) {
  std::vector<std::string_view> names;
  for (const ValueColumn& column : view.columns) names.push_back(column.name);
  const auto found = std::find(names.begin(), names.end(), name);
  if (found != names.end()) return static_cast<std::size_t>(found - names.begin());
  if (columns_known) mistake(at, "an unknown column", one_of(name, names));
  return std::nullopt;
}

void StateMembers::read_set(const JsonNode& node, const ViewDefinition& view, bool columns_known,
                            EnvelopeMember& envelope, SourceRule& rule) {
  if (!node.is(Kind::object) || node.children.empty()) {
    wrong(node, expectation(log_source_members, "set"));
    return;
  }
  for (const JsonNode* child : node.children) {
    const std::optional<std::size_t> column = find_column(*child, child->name, view, columns_known);
    const std::optional<ColumnType> type = column ? std::optional(view.columns[*column].type) : std::nullopt;
    std::optional<Place> place = envelope.value_place(*child, type);
    if (column) rule.settings.push_back({*column, place ? *std::move(place) : Place{}});
  }
  if (view.kind != ViewKind::log || !columns_known) return;
  for (std::size_t i = 0; i < view.columns.size(); ++i) {
    if (view.columns[i].required && node.member(view.columns[i].name) == nullptr)
      missing(node, view.columns[i].name, "a JSON Pointer, since the column is required");
  }
}

void StateMembers::read_delete(const JsonNode& node, const ViewDefinition& view, bool columns_known, SourceRule& rule) {
  const std::string_view expected = expectation(latest_source_members, "delete");
  if (node.is(Kind::boolean) && node.boolean) {
    for (std::size_t i = 0; i < view.columns.size(); ++i) rule.deletes.push_back(i);
    return;
  }
  for (const JsonNode* child : elements(&node, expected)) {
    const std::string* name = string(*child, "the name of a column");
    if (name == nullptr) continue;
    const std::optional<std::size_t> column = find_column(*child, *name, view, columns_known);
    if (!column) continue;
    if (std::find(rule.deletes.begin(), rule.deletes.end(), *column) != rule.deletes.end()) {
      mistake(*child, child->shown() + " a second time", "each column once");
    } else {
      rule.deletes.push_back(*column);
    }
  }
}

}  // namespace daybook
