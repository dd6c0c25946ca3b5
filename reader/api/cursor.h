// Where the next page of a list begins, as an opaque text that belongs to one query. Pure. It is no secret and needs no
// signature: what it holds is checked like any other value that a client sends.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "reader/rows.h"

namespace daybook::reader {

// Says which rows a query has and in which order, whatever the size of its pages.
std::string query_mark(std::string_view view, const ListQuery& query);

std::string make_cursor(std::string_view mark, const Place& after);
// The values in it; nothing when it is no cursor, of another version, or of another query.
std::optional<Place> read_cursor(std::string_view cursor, std::string_view mark);

}  // namespace daybook::reader
