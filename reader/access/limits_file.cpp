// Rate limits by configuration: {"policies": [{"name", "by", "limit", "window", "burst", "paths"}, ...]}.
#include <algorithm>
#include <set>

#include "core/definition_shape.h"
#include "reader/access/files.h"

namespace daybook::reader {
namespace {

using Kind = JsonNode::Kind;

constexpr std::size_t max_policies = 16;  // each is a bucket to look at for every request
constexpr std::int64_t max_burst_factor = 10;
constexpr DefinitionShape::Member root_members[] = {
    {"$schema", false, "a string"},
    {"description", false, "a string"},
    {"policies", true, "an array of 1 to 16 policies"},
};
constexpr DefinitionShape::Member policy_members[] = {
    {"name", true, "a name of at most 40 characters: a-z, 0-9, '-' and '_'"},
    {"by", true, "\"address\" or \"token\""},
    {"limit", true, "how many requests a window: an integer from 1 to 1000000000"},
    {"window", true, "seconds: an integer from 1 to 86400"},
    {"burst", false, "how many requests at once: an integer from 1 to 10 times the limit"},
    {"paths", false, "an array of path prefixes such as \"/v1/views\", not empty"},
};

bool is_policy_name(std::string_view text) {
  return !text.empty() && text.size() <= 40 && std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
  });
}

class Reader : private DefinitionShape {
 public:
  using DefinitionShape::mistakes;
  std::vector<Policy> policies;

  void read(const JsonTree& tree) {
    find_duplicate_members(tree);
    const JsonNode& root = tree.nodes.front();
    if (!members(root, root_members, "an object with \"policies\"")) return;
    for (const JsonNode* node : elements(root.member("policies"), expectation(root_members, "policies"), max_policies))
      read_policy(*node);
  }

 private:
  void read_policy(const JsonNode& node) {
    if (!members(node, policy_members, "an object: a policy")) return;
    Policy& policy = policies.emplace_back();
    if (const JsonNode* name = node.member("name")) {
      if (!name->is(Kind::string) || !is_policy_name(name->text)) {
        wrong(*name, expectation(policy_members, "name"));
      } else if (!names_.insert(name->text).second) {
        mistake(*name, name->shown() + " a second time", "a name that no other policy has");
      }
      policy.name = name->text;
    }
    if (const JsonNode* by = node.member("by")) {
      policy.by =
          choice<Policy::By>(*by, policy_members, {{"address", Policy::By::address}, {"token", Policy::By::token}})
              .value_or(Policy::By::address);
    }
    const JsonNode* limit = node.member("limit");
    if (limit != nullptr) policy.limit = integer(*limit, policy_members, 1, 1'000'000'000).value_or(0);
    if (const JsonNode* window = node.member("window"))
      policy.window = integer(*window, policy_members, 1, 86'400).value_or(0);
    policy.burst = policy.limit;
    if (const JsonNode* burst = node.member("burst"); burst != nullptr && policy.limit > 0)
      policy.burst = integer(*burst, policy_members, 1, policy.limit * max_burst_factor).value_or(0);
    for (const JsonNode* path : elements(node.member("paths"), expectation(policy_members, "paths"), 100)) {
      if (path->is(Kind::string) && path->text.starts_with('/') &&
          path->text.find_first_of("%?") == std::string::npos) {
        policy.paths.push_back(path->text);
      } else {
        wrong(*path, "a path prefix that begins with '/', without '%' and '?'");
      }
    }
  }

  std::set<std::string> names_;
};

}  // namespace

std::variant<std::vector<Policy>, Mistakes> read_limits(std::string_view text) {
  const auto tree = parse_json_tree(text, 8);
  if (const auto* problem = std::get_if<JsonProblem>(&tree)) return Mistakes{{"", problem->found, problem->expected}};
  Reader reader;
  reader.read(std::get<JsonTree>(tree));
  if (Mistakes mistakes = reader.mistakes(); !mistakes.empty()) return mistakes;
  return std::move(reader.policies);
}

}  // namespace daybook::reader
