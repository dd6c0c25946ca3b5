// The words for a summary's columns beyond whole sums: decimals, what is merged by a rule of its own, and generated
// columns. Pure: text in, text out.
#pragma once

#include <string>
#include <vector>

#include "core/aggregates.h"
#include "core/definition.h"

namespace daybook::sql {

// One column of the table that is written by commits: for a sum, what is added up (with its parameter's number, as
// p_c1); for the rest, a parameter of the type, assigned from b.<name>.
struct WrittenColumn {
  std::string column;      // quoted
  std::string parameter;   // name: c1, m1, o1
  std::string type;        // of the parameter's elements
  std::string assignment;  // "column" = ...
  std::string value;       // of the INSERT
};

// A sum's column in the table, quoted, and its type.
std::string sum_column(const ViewDefinition& view, const Sum& sum);
std::string sum_type(const ViewDefinition& view, const Sum& sum);
// A sum's stored value as what is added to it is counted: `amount`, an expression of type bigint or numeric, as that
// type.
std::string sum_amount(const ViewDefinition& view, const Sum& sum, const std::string& amount);

// What merged_columns() needs, in its order.
std::vector<WrittenColumn> merged_words(const ViewDefinition& view);

// The columns of CREATE TABLE: those of the definition, and the hidden ones that these are generated from or merged by.
std::vector<std::string> value_columns(const ViewDefinition& view);
std::vector<std::string> hidden_columns(const ViewDefinition& view);
bool has_sketches(const ViewDefinition& view);

// What a column is on a date without a row of its own: a balance is carried, what there was no event for is 0 or NULL.
// `alias`: of the row before.
std::string carried_value(const ViewDefinition& view, const ValueColumn& column, const std::string& alias);

}  // namespace daybook::sql
