// Fills the templates in sql/templates from a view definition. Pure: text in, text out.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/definition_reader.h"

namespace daybook::sql {

// CREATE TABLE and the generation's first rows. `table`: schema and name, each quoted.
std::string render_create_view(const ViewDefinition& view, const std::string& table);

// The commit function of generation `generation`, which fills `table`.
std::string render_commit(const ViewDefinition& view, int generation, const std::string& table);

// "SELECT ... FROM daybook.commit_<generation>($1, ...)", to be prepared; its parameters are the function's.
std::string render_commit_call(const ViewDefinition& view, int generation);

// How many parameters that is; the mistake of a view with more than PostgreSQL's functions can have.
std::size_t commit_parameter_count(const ViewDefinition& view);
std::optional<DefinitionMistake> beyond_parameters(const ViewDefinition& view);

// Stores the definition's member `reader` with the generation.
std::string render_reader_settings(const ViewDefinition& view, int generation);

// The indexes that the reader's lists need beside the primary key. A name says which columns the index has.
struct ReaderIndex {
  std::string name;
  std::string statement;
};
std::vector<ReaderIndex> render_reader_indexes(const ViewDefinition& view, int generation, const std::string& table);

// Asks which of them are there: schema and name, quoted, and the name.
std::string render_reader_indexes_query(int generation, const std::string& table);

// A key column as CREATE TABLE has it.
std::string column_definition(const KeyColumn& column);

// The types of columns.
std::string sql_type(KeyType type);
std::string sql_type(const ValueColumn& column);

std::string quote_identifier(const std::string& name);
std::string quote_literal(const std::string& text);

}  // namespace daybook::sql
