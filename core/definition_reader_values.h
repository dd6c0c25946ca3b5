// Reads what a summary's columns and sources say beyond sums: decimals, and values that are taken (min, max, avg, last,
// quantile, distinct) or computed from other columns (ratio).
#pragma once

#include <optional>
#include <vector>

#include "core/definition_shape.h"

namespace daybook {

class ValuesReader : public DefinitionShape {
 public:
  explicit ValuesReader(ViewDefinition& view) : view_(view) {}

  // `scale`, `of` and `quantile` of a column whose type and value were read; nothing: these were mistakes.
  void read_column(const JsonNode& node, std::size_t column, std::optional<ColumnType> type,
                   std::optional<Aggregate> aggregate);
  // Once all columns are there: which ones `of` means.
  void read_references(std::span<const JsonNode* const> columns, bool columns_known);

  // Whether "add" and "subtract" may name this column.
  bool may_change(const JsonNode& node, std::size_t column, int sign);
  // A constant amount of a decimal column.
  std::int64_t read_constant(const JsonNode& node, std::size_t column);
  void read_takes(const JsonNode& node, SourceRule& rule, bool columns_known, std::vector<bool>& used);

 private:
  struct Known {  // beside view_.columns
    std::optional<ColumnType> type;
    std::optional<Aggregate> aggregate;
  };
  void read_scale(const JsonNode& node, ValueColumn& column, std::optional<ColumnType> type);
  void read_quantile(const JsonNode& node, ValueColumn& column, std::optional<Aggregate> aggregate);
  void check_type(const JsonNode& node, ColumnType type, Aggregate aggregate);
  void read_reference(const JsonNode& name, std::size_t column, bool columns_known);

  ViewDefinition& view_;
  std::vector<Known> known_;
};

}  // namespace daybook
