// Pages of lists in memory. Pure. Any thread.
//
// A page is the answer to one query, kept until a row changes that could be in it: any row of the view, or, when the
// query names the entities that it is about (an equality on each key column but the date), any row of those. Loads
// announce themselves as those of rows do, and are measured by the same Frontier.
#pragma once

#include <absl/container/flat_hash_map.h>
#include <absl/container/flat_hash_set.h>

#include <list>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "reader/change.h"
#include "reader/frontier.h"
#include "reader/rows.h"

namespace daybook::reader {

// A query as words that two equal queries share.
std::string text_of(const ListQuery& query);
// The entities that all rows of an answer belong to; nothing: any.
std::optional<std::vector<std::string>> entities_of(const ViewDefinition& view, const ListQuery& query);

using ListPagePtr = std::shared_ptr<const ListPage>;

class Pages {
 public:
  Pages(bool has_date, std::size_t bytes_max, Frontier& frontier)
      : has_date_(has_date), bytes_max_(bytes_max), frontier_(frontier) {}

  // One load at a time for a query. Not null: it is in memory, and no load began.
  ListPagePtr begin_load(const std::string& query, std::optional<std::vector<std::string>> entities);
  enum class Taken {
    kept,         // in memory now
    overtaken,    // right at its commit, which is new enough to show, but not kept: a row changed since
    not_allowed,  // older than what was shown, or of another database
  };
  // After `overtaken` and `not_allowed` the load goes on as if it had just begun.
  Taken finish_load(const std::string& query, std::int64_t seq, const std::string& nonce, ListPagePtr page);
  void abandon_load(const std::string& query);

  void apply(const Change& change);
  void clear();
  // All that a row of this key's entity could be in; loads of such pages that are under way are done again.
  void invalidate(std::string_view key);

  struct Figures {
    std::uint64_t hits = 0;
    std::uint64_t misses = 0;
    std::size_t entries = 0;
    std::size_t bytes = 0;
  };
  Figures figures() const;

 private:
  struct Kept {
    std::string query;
    std::optional<std::vector<std::string>> entities;
    std::int64_t seq = 0;
    ListPagePtr page;
    std::size_t bytes = 0;
  };
  struct Marker {
    Frontier::Point begun;
    std::optional<std::vector<std::string>> entities;
    std::int64_t changed = -1;
    bool is_void = false;  // was invalidated
  };
  void drop(std::list<Kept>::iterator page);

  const bool has_date_;
  const std::size_t bytes_max_;
  Frontier& frontier_;
  mutable std::mutex mutex_;
  std::list<Kept> pages_;  // the one used last in front
  absl::flat_hash_map<std::string, std::list<Kept>::iterator, KeyHash, KeyEqual> by_query_;
  absl::flat_hash_map<std::string, Marker, KeyHash, KeyEqual> loads_;
  std::size_t bytes_ = 0;
  std::uint64_t hits_ = 0, misses_ = 0;
};

}  // namespace daybook::reader
