// Reads the member `reader` of a view definition: how rows are served. Part of the definition's reader.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "core/definition.h"
#include "core/definition_shape.h"

namespace daybook {

class ReaderMember : public DefinitionShape {
 public:
  // `view` has its key and columns already. What is not known because of mistakes in it is not checked against.
  ReaderMember(const ViewDefinition& view, bool key_known, bool columns_known)
      : view_(view), key_known_(key_known), columns_known_(columns_known) {}

  Serving read(const JsonNode& node);

 private:
  void read_cache_control(const JsonNode& node);
  bool is_json(const std::string& name) const;
  bool may_be_null(const std::string& name) const;
  std::vector<std::string> read_columns(const JsonNode& array, Members known);
  void read_order(const JsonNode& node);
  void read_routes(const JsonNode& array);
  void read_route(const JsonNode& node);
  void check_route_columns(const JsonNode& node, const std::vector<std::string>& named);
  void read_claims(const JsonNode& node);

  const ViewDefinition& view_;
  const bool key_known_;
  const bool columns_known_;
  Serving settings_;
  std::map<std::string, std::string> shapes_;  // of routes, without the columns' names -> the route
};

// Whether a path belongs to the reader itself, so that no route of a definition can be there.
bool is_reserved_path(std::string_view path);

}  // namespace daybook
