// An entry of the change feed, read. Pure. docs/feed.md describes what the worker's transaction writes.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <absl/hash/hash.h>
#include <absl/strings/string_view.h>

#include "core/definition.h"
#include "core/position.h"
#include "reader/rows.h"

namespace daybook::reader {

struct Change {
  enum class Kind {
    none,  // positions only
    rows,  // all changed rows, with their values
    keys,  // which rows changed, without values
    reset  // any row may have changed
  };
  // All rows of an entity (a key without its date) with from < date < until.
  struct Range {
    std::string entity;
    std::int32_t from = 0;
    std::optional<std::int32_t> until;  // nothing: no end
  };
  std::int64_t seq = 0;
  std::string nonce;
  Kind kind = Kind::none;
  std::vector<ChangedRow> rows;   // `rows`
  std::vector<std::string> keys;  // `keys`
  std::vector<Range> ranges;      // `keys`
  Positions positions;            // where the view is in these partitions now
};

// Fills kind, rows, keys and ranges. Throws StopError for a body that is none.
void read_change(const ViewDefinition& view, std::string_view kind, const std::string& body, Change& change);

// The key of one row's JSON, as core/row_key.h has it. Throws StopError.
std::string key_of_row(const ViewDefinition& view, const std::string& json);

// A row's key cut in two: what its rows of all dates share, and the date.
struct SplitKey {
  std::string_view entity;
  std::int32_t date = 0;  // days since 2000-01-01; 0 in a view without dates
};
SplitKey split_key(bool has_date, std::string_view key);

// For hash maps by keys, asked with views: Debian's abseil has a string_view of its own.
struct KeyHash {
  using is_transparent = void;
  std::size_t operator()(std::string_view key) const {
    return absl::HashOf(absl::string_view(key.data(), key.size()));
  }
};
struct KeyEqual {
  using is_transparent = void;
  bool operator()(std::string_view a, std::string_view b) const { return a == b; }
};

// Key columns as text in PostgreSQL's form, in their order.
std::vector<std::string> key_texts(const ViewDefinition& view, std::string_view key);

}  // namespace daybook::reader
