// The shape of a definition: which members an object may have and what a value may be, with each mistake kept
// beside its place. What the members mean together is the reader's (definition_reader.cpp).
#pragma once

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/definition_reader.h"
#include "core/json_tree.h"

namespace daybook {

class DefinitionShape {
 public:
  // A member that an object may have. `expected` serves the messages for a wrong value and for a missing one.
  struct Member {
    std::string_view name;
    bool required;
    std::string_view expected;
  };
  using Members = std::span<const Member>;

  // In the order of the file, at most 100.
  std::vector<DefinitionMistake> mistakes();

  // Adds the mistakes that another reader found in the same text.
  void take_mistakes(const DefinitionShape& other) {
    found_.insert(found_.end(), other.found_.begin(), other.found_.end());
  }

 protected:
  void mistake(const JsonNode& at, std::string found, std::string_view expected);
  void wrong(const JsonNode& at, std::string_view expected) { mistake(at, at.shown(), expected); }
  void missing(const JsonNode& object, std::string_view member, std::string_view expected);

  static std::string_view expectation(Members members, std::string_view name);

  // "one of a, b, c", or the nearest of them if one is near.
  static std::string one_of(std::string_view found, const std::vector<std::string_view>& known);

  void find_duplicate_members(const JsonTree& tree);

  // Whether `node` is an object; names its unknown and missing members.
  bool members(const JsonNode& node, Members known, std::string_view expected);

  // Each returns nothing after a mistake.
  const std::string* string(const JsonNode& node, std::string_view expected);
  std::optional<JsonPointer> pointer(const JsonNode& node, std::string_view expected);
  std::optional<std::int64_t> integer(const JsonNode& node, Members members, std::int64_t least, std::int64_t most);

  template <class T>
  std::optional<T> choice(const JsonNode& node, Members members,
                          std::initializer_list<std::pair<std::string_view, T>> choices) {
    for (const auto& [word, meaning] : choices) {
      if (node.is(JsonNode::Kind::string) && node.text == word) return meaning;
    }
    wrong(node, expectation(members, node.name));
    return std::nullopt;
  }

  // The elements of an array of at least one element; more than `most` are a mistake but given all the same.
  std::span<const JsonNode* const> elements(const JsonNode* node, std::string_view expected,
                                            std::size_t most = SIZE_MAX);

 private:
  struct Found {
    const JsonNode* at;
    std::string member;  // of `at`, when it is the missing member that is wrong
    std::string found;
    std::string expected;
  };
  std::vector<Found> found_;
};

}  // namespace daybook
