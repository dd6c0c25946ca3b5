#include "core/definition_shape.h"

#include <algorithm>
#include <set>

namespace daybook {
namespace {

using Kind = JsonNode::Kind;

constexpr std::size_t max_mistakes = 100;

std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (std::size_t i = 0; i < a.size(); ++i) {
    std::size_t diagonal = std::exchange(row[0], i + 1);
    for (std::size_t j = 0; j < b.size(); ++j) {
      const std::size_t changed = diagonal + (a[i] == b[j] ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({changed, row[j] + 1, diagonal + 1});
    }
  }
  return row.back();
}

}  // namespace

std::vector<DefinitionMistake> DefinitionShape::mistakes() {
  std::stable_sort(found_.begin(), found_.end(),
                   [](const Found& a, const Found& b) { return a.at->order < b.at->order; });
  if (found_.size() > max_mistakes) found_.resize(max_mistakes);
  std::vector<DefinitionMistake> all;
  for (const Found& f : found_) {
    std::string pointer = f.at->pointer();
    if (!f.member.empty()) pointer += "/" + escape_pointer_token(f.member);
    all.push_back({std::move(pointer), f.found, f.expected});
  }
  return all;
}

void DefinitionShape::mistake(const JsonNode& at, std::string found, std::string_view expected) {
  found_.push_back({&at, "", std::move(found), std::string(expected)});
}

void DefinitionShape::missing(const JsonNode& object, std::string_view member, std::string_view expected) {
  found_.push_back({&object, std::string(member), "nothing", std::string(expected)});
}

std::string_view DefinitionShape::expectation(Members members, std::string_view name) {
  return std::find_if(members.begin(), members.end(), [&](const Member& m) { return m.name == name; })->expected;
}

std::string DefinitionShape::one_of(std::string_view found, const std::vector<std::string_view>& known) {
  std::string all;
  std::string_view nearest;
  std::size_t least = std::max<std::size_t>(2, found.size() / 3) + 1;
  for (const std::string_view name : known) {
    all += (all.empty() ? "" : ", ") + std::string(name);
    if (found.size() > 2 * name.size() + 2) continue;
    if (const std::size_t distance = edit_distance(found, name); distance < least && distance < name.size()) {
      least = distance;
      nearest = name;
    }
  }
  return nearest.empty() ? "one of " + all : "\"" + std::string(nearest) + "\" (did you mean that?)";
}

void DefinitionShape::find_duplicate_members(const JsonTree& tree) {
  for (const JsonNode& node : tree.nodes) {
    if (!node.is(Kind::object)) continue;
    std::set<std::string_view> names;
    for (const JsonNode* child : node.children) {
      if (!names.insert(child->name).second) mistake(*child, "this member a second time", "each member once");
    }
  }
}

bool DefinitionShape::members(const JsonNode& node, Members known, std::string_view expected) {
  if (!node.is(Kind::object)) {
    wrong(node, expected);
    return false;
  }
  std::vector<std::string_view> names;
  for (const Member& member : known) names.push_back(member.name);
  for (const JsonNode* child : node.children) {
    if (std::find(names.begin(), names.end(), child->name) == names.end()) {
      mistake(*child, "an unknown member", one_of(child->name, names));
    }
  }
  for (const Member& member : known) {
    if (member.required && node.member(member.name) == nullptr) missing(node, member.name, member.expected);
  }
  return true;
}

const std::string* DefinitionShape::string(const JsonNode& node, std::string_view expected) {
  if (!node.is(Kind::string)) {
    wrong(node, expected);
    return nullptr;
  }
  if (node.text.find('\0') != std::string::npos) {
    mistake(node, "the character U+0000 in a string", "text without it, since PostgreSQL can't store it");
    return nullptr;
  }
  return &node.text;
}

std::optional<JsonPointer> DefinitionShape::pointer(const JsonNode& node, std::string_view expected) {
  const std::string* text = string(node, expected);
  if (text == nullptr) return std::nullopt;
  std::optional<JsonPointer> parsed = parse_json_pointer(*text);
  if (!parsed || parsed->tokens.empty()) {
    wrong(node, expected);
    return std::nullopt;
  }
  return parsed;
}

std::optional<std::int64_t> DefinitionShape::integer(const JsonNode& node, Members members, std::int64_t least,
                                                     std::int64_t most) {
  if (node.is(Kind::integer) && node.integer >= least && node.integer <= most) return node.integer;
  wrong(node, expectation(members, node.name));
  return std::nullopt;
}

std::span<const JsonNode* const> DefinitionShape::elements(const JsonNode* node, std::string_view expected,
                                                           std::size_t most) {
  if (node == nullptr) return {};
  if (!node->is(Kind::array) || node->children.empty()) {
    wrong(*node, expected);
    return {};
  }
  if (node->children.size() > most) mistake(*node, std::to_string(node->children.size()) + " elements", expected);
  return node->children;
}

}  // namespace daybook
