// What the parameters of a request ask for, checked against the view's definition. Pure.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "core/definition.h"
#include "core/position.h"
#include "reader/api/router.h"
#include "reader/identity.h"
#include "reader/rows.h"

namespace daybook::reader {

// `after=` and `wait=`: the answer must know all that is below these positions.
struct Await {
  Positions positions;  // next offsets, as publishing returns them
  std::chrono::milliseconds wait{500};
};
inline constexpr std::chrono::milliseconds max_wait{10'000};

// Why a request is refused: 400.
struct BadRequest {
  std::string detail;
};
template <typename T>
using Checked = std::variant<T, BadRequest>;

// The rows that somebody may see, by the view's `rows_by_claim`: for each column the values allowed, canonical. A
// column without values allows nothing.
struct RowLimit {
  std::size_t column = 0;
  std::vector<std::string> values;
};
// Empty: all rows.
std::vector<RowLimit> row_limits(const ViewDefinition& view, const Identity& who);

// Of a single row: after= and wait= only.
Checked<Await> read_row_parameters(std::string_view query);

struct ListRequest {
  ListQuery query;
  Await await;
  bool sees_nothing = false;  // the limits and the filters have no value in common
  std::string mark;           // of the cursors of this query
  std::string link;           // the parameters of the next page, but for its cursor
};
Checked<ListRequest> read_list(const ViewDefinition& view, const Route& route, std::string_view query,
                               const std::vector<RowLimit>& limits);

// The key filter of a stream of changes: for each column the bytes that a row's key may have there; none: any.
struct KeyFilter {
  std::vector<std::vector<std::string>> allowed;  // beside the key's columns
  bool sees_nothing = false;
  bool passes(const ViewDefinition& view, std::string_view key) const;
};
Checked<KeyFilter> read_changes_parameters(const ViewDefinition& view, std::string_view query,
                                           const std::vector<RowLimit>& limits);

}  // namespace daybook::reader
