// The statements of a reader, filled in from a view definition. Pure: text in, text out. All they name comes from the
// definition, quoted; all values are parameters.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "core/definition.h"

namespace daybook::sql {

// What a reader asks of a generation. `table`: schema and name, each quoted, as daybook.generation has it.
struct ReaderStatements {
  ReaderStatements(const ViewDefinition& view, int generation, const std::string& table);

  std::string state;  // seq, nonce, topic, partition, next_offset
  std::string rows;   // number, seq, nonce, kind, json; a parameter for each key column: an array
  std::string warm(std::size_t limit) const;  // seq, nonce, json

  // seq, nonce, json, and the columns of `order` as text. `conditions` may use $1 and so on, and column().
  std::string list(const std::vector<std::string>& order, bool descending, const std::string& conditions,
                   std::size_t limit) const;
  std::string column(const std::string& name) const;  // in conditions; throws as type_of()
  // A column's type in PostgreSQL, for casts. Throws std::out_of_range when the view has no such column.
  std::string type_of(const std::string& column) const;

 private:
  std::string text_of(const std::string& column) const;

  ViewDefinition view_;
  int generation_;
  std::string table_;
};

// One look at the feeds of these generations, each from the seq on that is given with it.
std::string render_feed_poll(const std::vector<std::pair<int, std::int64_t>>& generations, std::size_t limit);

// The live generations: id, view, table_name, definition_text.
const std::string& reader_generations();
// Is a standby, receives, milliseconds behind what it received.
const std::string& reader_standby();
std::string reader_listen(int generation);

// Text as one element of an array in PostgreSQL's text form, and the array.
std::string array_text(const std::vector<std::string>& elements);

}  // namespace daybook::sql
