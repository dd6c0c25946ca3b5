#include "reader/pages.h"

#include <algorithm>

#include "core/row_key.h"

namespace daybook::reader {
namespace {

using Touched = absl::flat_hash_set<std::string_view, KeyHash, KeyEqual>;

void append_word(std::string& text, std::string_view word) {
  text += std::to_string(word.size());
  text += ':';
  text += word;
}

// One operand as the bytes of a key column; false: not the text of such a value.
bool append_operand(const KeyColumn& column, const std::string& operand, std::string& entity) {
  switch (column.type) {
    case KeyType::uuid:
      return row_key::append_uuid(entity, operand);
    case KeyType::text:
      row_key::append_text(entity, operand);
      return true;
    case KeyType::integer:
      try {
        std::size_t end = 0;
        const long long value = std::stoll(operand, &end);
        if (end != operand.size()) return false;
        row_key::append_integer(entity, value);
        return true;
      } catch (const std::exception&) {
        return false;
      }
    case KeyType::timestamp: {
      const std::optional<std::int64_t> instant = parse_microseconds(operand);
      if (instant) row_key::append_integer(entity, *instant);
      return instant.has_value();
    }
    case KeyType::hour:
    case KeyType::minute: {
      const std::optional<std::int64_t> begin = parse_instant(operand);
      if (begin) row_key::append_begin(entity, *begin);
      return begin.has_value();
    }
    case KeyType::date:
      return false;
  }
  return false;
}

bool shares(const std::optional<std::vector<std::string>>& entities, const Touched& touched) {
  return !entities || std::any_of(entities->begin(), entities->end(),
                                  [&](const std::string& entity) { return touched.contains(entity); });
}

}  // namespace

std::string text_of(const ListQuery& query) {
  std::string text = (query.descending ? "d" : "a") + std::to_string(query.limit);
  for (const Filter& filter : query.filters) {
    text += "|f" + std::to_string(static_cast<int>(filter.test));
    append_word(text, filter.column);
    for (const std::string& operand : filter.operands) append_word(text, operand);
  }
  text += "|o";
  for (const std::string& column : query.order) append_word(text, column);
  text += "|a";
  for (const std::optional<std::string>& value : query.after) {
    if (value) {
      append_word(text, *value);
    } else {
      text += "n";
    }
  }
  return text;
}

std::optional<std::vector<std::string>> entities_of(const ViewDefinition& view, const ListQuery& query) {
  constexpr std::size_t most = 256;
  std::vector<std::string> entities{""};
  for (const KeyColumn& column : view.key) {
    if (column.type == KeyType::date) continue;
    const auto filter = std::find_if(query.filters.begin(), query.filters.end(), [&](const Filter& f) {
      return f.column == column.name && f.test == Filter::Test::equal;
    });
    if (filter == query.filters.end() || entities.size() * filter->operands.size() > most) return std::nullopt;
    std::vector<std::string> longer;
    for (const std::string& entity : entities) {
      for (const std::string& operand : filter->operands) {
        longer.push_back(entity);
        if (!append_operand(column, operand, longer.back())) return std::nullopt;
      }
    }
    entities = std::move(longer);
  }
  return entities;
}

ListPagePtr Pages::begin_load(const std::string& query, std::optional<std::vector<std::string>> entities) {
  const std::lock_guard lock(mutex_);
  const auto found = by_query_.find(query);
  if (found != by_query_.end()) {
    pages_.splice(pages_.begin(), pages_, found->second);
    ++hits_;
    return found->second->page;
  }
  ++misses_;
  loads_[query] = Marker{frontier_.now(), std::move(entities)};
  return nullptr;
}

Pages::Taken Pages::finish_load(const std::string& query, std::int64_t seq, const std::string& nonce,
                                ListPagePtr page) {
  const std::lock_guard lock(mutex_);
  Marker& marker = loads_.at(query);
  const bool allowed =
      !marker.is_void && seq >= marker.begun.floor && frontier_.rise_in(marker.begun.epoch, seq, nonce);
  if (!allowed || marker.changed > seq) {
    marker.begun = frontier_.now();
    marker.changed = -1;
    marker.is_void = false;
    return allowed ? Taken::overtaken : Taken::not_allowed;
  }
  Kept kept{query, std::move(marker.entities), seq, std::move(page), 0};
  loads_.erase(query);
  kept.bytes = sizeof kept + 2 * query.size() + 200;
  for (const std::string& row : kept.page->rows) kept.bytes += sizeof row + row.capacity();
  bytes_ += kept.bytes;
  pages_.push_front(std::move(kept));
  by_query_[query] = pages_.begin();
  while (bytes_ > bytes_max_) drop(std::prev(pages_.end()));
  return Taken::kept;
}

void Pages::abandon_load(const std::string& query) {
  const std::lock_guard lock(mutex_);
  loads_.erase(query);
}

void Pages::apply(const Change& change) {
  const std::int64_t seq = change.seq;
  const std::lock_guard lock(mutex_);
  if (pages_.empty() && loads_.empty()) return;
  Touched touched;
  for (const ChangedRow& row : change.rows) touched.insert(split_key(has_date_, row.key).entity);
  for (const std::string& key : change.keys) touched.insert(split_key(has_date_, key).entity);
  for (const Change::Range& range : change.ranges) touched.insert(range.entity);
  if (touched.empty()) return;
  for (auto page = pages_.begin(); page != pages_.end();) {
    const auto next = std::next(page);
    if (page->seq < seq && shares(page->entities, touched)) drop(page);
    page = next;
  }
  for (auto& [query, marker] : loads_) {
    if (shares(marker.entities, touched)) marker.changed = seq;
  }
}

void Pages::invalidate(std::string_view key) {
  const std::lock_guard lock(mutex_);
  const Touched touched{split_key(has_date_, key).entity};
  for (auto page = pages_.begin(); page != pages_.end();) {
    const auto next = std::next(page);
    if (shares(page->entities, touched)) drop(page);
    page = next;
  }
  for (auto& [query, marker] : loads_) marker.is_void = marker.is_void || shares(marker.entities, touched);
}

void Pages::clear() {
  const std::lock_guard lock(mutex_);
  pages_.clear();
  by_query_.clear();
  bytes_ = 0;
}

void Pages::drop(std::list<Kept>::iterator page) {
  bytes_ -= page->bytes;
  by_query_.erase(page->query);
  pages_.erase(page);
}

Pages::Figures Pages::figures() const {
  const std::lock_guard lock(mutex_);
  return {hits_, misses_, pages_.size(), bytes_};
}

}  // namespace daybook::reader
