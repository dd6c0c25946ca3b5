// Which view and what of it a path means. Pure; what it answers points into the path.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/definition.h"

namespace daybook::reader {

struct Route {
  enum class Kind {
    none,          // no such path
    openapi,       // /openapi.json
    views,         // /v1/views
    unknown_view,  // /v1/views/NAME..., and there is no such view
    row,           // all key columns are given
    list,          // some or none are
    changes,       // /v1/views/NAME/changes
    wrong_key      // /v1/views/NAME/..., with too few or too many values
  };
  Kind kind = Kind::none;
  std::size_t view = 0;                       // index into the views, for row, list, changes, wrong_key
  std::string_view name;                      // the view's, as in the path, under /v1/views
  std::array<std::string_view, 16> values{};  // of key columns, in the key's order, not decoded
  std::uint32_t given = 0;                    // bit i: values[i]
};

class Router {
 public:
  explicit Router(std::vector<const ViewDefinition*> views);
  Route match(std::string_view path) const;
  // Routes of definitions that can't be told apart from one of a view before: they lead to that one.
  const std::vector<std::string>& conflicts() const { return conflicts_; }

 private:
  struct Segment {
    std::string literal;  // empty: a value
    std::size_t column = 0;
  };
  struct Alias {
    std::vector<Segment> segments;
    std::size_t view = 0;
  };
  Route match_views(std::string_view rest) const;
  Route match_alias(std::string_view path) const;
  void add_alias(const std::string& path, std::size_t view);

  std::vector<const ViewDefinition*> views_;
  std::vector<Alias> aliases_;  // literal segments before values
  std::vector<std::string> conflicts_;
};

}  // namespace daybook::reader
