// The last commits of a view, for those who were away for a moment (SSE with Last-Event-ID). Pure; not locked.
#pragma once

#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "reader/rows.h"

namespace daybook::reader {

class Recent {
 public:
  explicit Recent(std::size_t bytes_max) : bytes_max_(bytes_max) {}

  // Memory begins anew at this commit: nothing is known of what was before.
  void begin_at(std::int64_t seq, std::string nonce) {
    sets_.clear();
    bytes_ = 0;
    before_ = {seq, std::move(nonce)};
  }
  // The next commit.
  void add(ChangeSetPtr set) {
    bytes_ += size_of(*set);
    sets_.push_back(std::move(set));
    while (bytes_ > bytes_max_ && !sets_.empty()) {
      bytes_ -= size_of(*sets_.front());
      before_ = {sets_.front()->seq, sets_.front()->nonce};
      sets_.pop_front();
    }
  }
  // The mark of a commit; null: not remembered.
  const std::string* nonce_of(std::int64_t seq) const {
    const std::int64_t skip = seq - before_.seq;
    if (skip < 0 || skip > static_cast<std::int64_t>(sets_.size())) return nullptr;
    return skip == 0 ? &before_.nonce : &sets_[static_cast<std::size_t>(skip) - 1]->nonce;
  }
  // Those after a commit; nothing when that commit, under that mark, is not remembered.
  std::optional<std::vector<ChangeSetPtr>> since(std::int64_t seq, std::string_view nonce) const {
    const std::string* const mark = nonce_of(seq);
    if (mark == nullptr || *mark != nonce) return std::nullopt;
    return std::vector<ChangeSetPtr>(sets_.begin() + (seq - before_.seq), sets_.end());
  }
  std::size_t bytes() const { return bytes_; }

 private:
  struct Mark {
    std::int64_t seq = 0;
    std::string nonce;
  };
  static std::size_t size_of(const ChangeSet& set) {
    std::size_t size = sizeof set + set.nonce.size();
    for (const ChangedRow& row : set.rows) size += sizeof row + row.key.size() + row.json.size();
    return size;
  }

  const std::size_t bytes_max_;
  Mark before_;  // the commit before the first one in sets_
  std::deque<ChangeSetPtr> sets_;
  std::size_t bytes_ = 0;
};

}  // namespace daybook::reader
