// What the events of a batch gave to columns that are no sums (min, max, last, quantile, distinct): kept for each
// event, so that it can be taken out again, and merged by row when the batch is committed.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/definition.h"
#include "worker/decode/decoder.h"
#include "worker/fold/row_table.h"

namespace daybook {

// One column, for each row of a batch in its order what there is to merge. Only the members of its kind are filled.
struct MergedColumn {
  std::size_t column = 0;
  std::vector<std::optional<std::int64_t>> numbers;  // min, max, last
  std::vector<std::optional<std::string>> texts;     // last of type text
  std::vector<std::optional<std::string>> orders;    // last: DecodedEvent::order
  std::vector<std::vector<std::int64_t>> sketches;   // quantile, distinct: entries (core/sketch.h); empty: none
};

class Takes {
 public:
  explicit Takes(const ViewDefinition& view);

  // Of a view without such columns, no other call does anything.
  bool any() const { return any_; }
  // The next event; `rows`: where its keys are, or get their place.
  void add(const DecodedEvent& event, RowTable& rows);

  // The events that `kept` names, in their order.
  Takes only(const std::vector<bool>& kept) const;
  // Rows are those of `before`; from now on they are those of `rows`, where they get their places.
  void move_rows(const RowTable& before, RowTable& rows);

  // `places`: of each row in the order of the result.
  std::vector<MergedColumn> merge(const std::vector<std::uint32_t>& places) const;

  std::size_t memory_bytes() const {
    return takes_.size() * sizeof(Take) + ends_.size() * sizeof(std::uint32_t) + newest_bytes_;
  }
  void clear();

 private:
  struct Take {
    std::uint32_t row;
    std::uint32_t column;  // index into columns_
    std::int64_t value;    // of a last: index into newest_
  };
  static_assert(sizeof(Take) == 16);
  struct Newest {
    std::string order;
    std::int64_t number;
    std::string text;
  };
  void merge_column(MergedColumn& merged, std::uint32_t index, const std::vector<std::uint32_t>& places) const;

  const ViewDefinition* view_;  // outlives this
  bool any_;
  std::vector<std::size_t> columns_;     // merged_columns(view)
  std::vector<std::uint32_t> index_of_;  // by column of the view
  std::vector<Take> takes_;
  std::vector<std::uint32_t> ends_;  // of each event's takes
  std::vector<Newest> newest_;       // some may belong to events that were taken out
  std::size_t newest_bytes_ = 0;
};

}  // namespace daybook
