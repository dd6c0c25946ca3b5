#include "worker/fold/takes.h"

#include <algorithm>

#include "core/aggregates.h"
#include "core/sketch.h"

namespace daybook {

Takes::Takes(const ViewDefinition& view) : view_(&view), columns_(merged_columns(view)) {
  any_ = !columns_.empty();
  index_of_.resize(view.columns.size());
  for (std::uint32_t i = 0; i < columns_.size(); ++i) index_of_[columns_[i]] = i;
}

void Takes::add(const DecodedEvent& event, RowTable& rows) {
  std::uint32_t row = 0;
  std::uint32_t row_begin = UINT32_MAX;
  for (const Taken& taken : event.taken) {
    if (taken.key_begin != row_begin) {
      const std::string_view key = std::string_view(event.keys).substr(taken.key_begin, taken.key_size);
      row = rows.find_or_add(key, rows.hash(key));
      row_begin = taken.key_begin;
    }
    std::int64_t value = taken.value;
    const ValueColumn& column = view_->columns[taken.column];
    if (column.aggregate == Aggregate::last) {
      Newest newest{event.order, value, {}};
      if (column.type == ColumnType::text)
        newest.text = event.texts.substr(static_cast<std::size_t>(value), taken.text_size);
      newest_bytes_ += sizeof newest + newest.order.capacity() + newest.text.capacity();
      value = static_cast<std::int64_t>(newest_.size());
      newest_.push_back(std::move(newest));
    }
    takes_.push_back({row, index_of_[taken.column], value});
  }
  ends_.push_back(static_cast<std::uint32_t>(takes_.size()));
}

Takes Takes::only(const std::vector<bool>& kept) const {
  Takes left(*view_);
  left.newest_ = newest_;
  left.newest_bytes_ = newest_bytes_;
  std::size_t begin = 0;
  for (std::size_t event = 0; event < ends_.size(); ++event) {
    if (kept[event]) {
      left.takes_.insert(left.takes_.end(), takes_.begin() + static_cast<std::ptrdiff_t>(begin),
                         takes_.begin() + ends_[event]);
      left.ends_.push_back(static_cast<std::uint32_t>(left.takes_.size()));
    }
    begin = ends_[event];
  }
  return left;
}

void Takes::move_rows(const RowTable& before, RowTable& rows) {
  for (Take& take : takes_) {
    const std::string_view key = before.key(take.row);
    take.row = rows.find_or_add(key, rows.hash(key));
  }
}

std::vector<MergedColumn> Takes::merge(const std::vector<std::uint32_t>& places) const {
  std::vector<MergedColumn> merged(columns_.size());
  for (std::uint32_t i = 0; i < columns_.size(); ++i) {
    merged[i].column = columns_[i];
    merge_column(merged[i], i, places);
  }
  return merged;
}

void Takes::merge_column(MergedColumn& merged, std::uint32_t index, const std::vector<std::uint32_t>& places) const {
  const ValueColumn& column = view_->columns[merged.column];
  const bool is_sketch = column.aggregate == Aggregate::quantile || column.aggregate == Aggregate::distinct;
  if (is_sketch) {
    // Sorted by row and entry: equal ones stand together.
    std::vector<std::pair<std::uint32_t, std::int64_t>> all;
    for (const Take& take : takes_) {
      if (take.column == index) all.emplace_back(places[take.row], take.value);
    }
    std::sort(all.begin(), all.end());
    merged.sketches.resize(places.size());
    for (const auto& [place, value] : all) {
      std::vector<std::int64_t>& entries = merged.sketches[place];
      if (column.aggregate == Aggregate::quantile) {
        const bool is_same = !entries.empty() && entries.back() >> sketch::count_bits == value;
        if (!is_same) entries.push_back(value * (std::int64_t{1} << sketch::count_bits));
        ++entries.back();
      } else {
        // The greatest of a register is its last.
        const bool is_same = !entries.empty() && entries.back() >> sketch::rank_bits == value >> sketch::rank_bits;
        if (is_same) entries.pop_back();
        entries.push_back(value);
      }
    }
    return;
  }
  merged.numbers.resize(places.size());
  if (column.aggregate == Aggregate::last) {
    merged.orders.resize(places.size());
    if (column.type == ColumnType::text) merged.texts.resize(places.size());
  }
  for (const Take& take : takes_) {
    if (take.column != index) continue;
    const std::uint32_t place = places[take.row];
    std::optional<std::int64_t>& number = merged.numbers[place];
    switch (column.aggregate) {
      case Aggregate::min:
        number = number ? std::min(*number, take.value) : take.value;
        break;
      case Aggregate::max:
        number = number ? std::max(*number, take.value) : take.value;
        break;
      default: {
        const Newest& newest = newest_[static_cast<std::size_t>(take.value)];
        if (merged.orders[place] && *merged.orders[place] > newest.order) break;
        merged.orders[place] = newest.order;
        number = newest.number;
        if (!merged.texts.empty()) merged.texts[place] = newest.text;
      }
    }
  }
}

void Takes::clear() {
  takes_.clear();
  ends_.clear();
  newest_.clear();
  newest_bytes_ = 0;
}

}  // namespace daybook
