// How far a view's memory has come. Pure.
//
// `floor` is the newest commit that a load or the feed brought: what is loaded from now on has to be at least as new,
// else a row that was evicted could go back in time. It rises BEFORE a change is applied to memory, so that a load that
// begins after its key was dropped can't be answered by a state from before the change.
// It says nothing of what is in memory already: that is as new as the feed. So a row that was loaded ahead of the feed,
// or a list, can show a commit that another row, answered from memory just after it, does not show yet.
//
// `epoch` counts how often memory began anew (the numbers of commits may be others then): what was asked for in an
// earlier epoch is asked for again.
//
// Each commit has a mark, its nonce. A load that contradicts the feed's marks comes from another database than the feed
// does, or from its lost past; one that is ahead of the feed is compared when the feed comes there.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>

namespace daybook::reader {

class Frontier {
 public:
  struct Point {
    std::uint64_t epoch = 0;
    std::int64_t floor = 0;
  };
  Point now() const {
    const std::lock_guard lock(mutex_);
    return point_;
  }
  // The feed is at this commit. False: a load showed another one under this number; the feed has to begin anew.
  bool rise(std::int64_t seq, const std::string& nonce) {
    const std::lock_guard lock(mutex_);
    const auto [mark, is_new] = marks_.try_emplace(seq, nonce);
    if (!is_new && mark->second != nonce) return false;
    fed_ = seq;
    point_.floor = std::max(point_.floor, seq);
    while (marks_.begin()->first < fed_ - fed_marks) marks_.erase(marks_.begin());
    return true;
  }
  // For a load that began in `epoch`. False: not to be shown, since that epoch is over or the commit is not the feed's.
  bool rise_in(std::uint64_t epoch, std::int64_t seq, const std::string& nonce) {
    const std::lock_guard lock(mutex_);
    if (epoch != point_.epoch) return false;
    auto mark = marks_.find(seq);
    if (mark == marks_.end()) {
      if (seq <= fed_) return false;  // too old to tell
      mark = marks_.emplace(seq, nonce).first;
    }
    if (mark->second != nonce) return false;
    point_.floor = std::max(point_.floor, seq);
    return true;
  }
  bool is_ahead(std::int64_t seq) const {
    const std::lock_guard lock(mutex_);
    return seq > fed_;
  }
  bool is_in(std::uint64_t epoch) const {
    const std::lock_guard lock(mutex_);
    return epoch == point_.epoch;
  }
  // `fell_back`: the database lost commits, their numbers mean others now.
  void begin_anew(std::int64_t seq, const std::string& nonce, bool fell_back) {
    const std::lock_guard lock(mutex_);
    ++point_.epoch;
    point_.floor = fell_back ? seq : std::max(point_.floor, seq);
    // What loads showed ahead of the feed is still to be compared, unless it is known to be lost.
    if (fell_back) marks_.clear();
    marks_.erase(marks_.begin(), marks_.lower_bound(seq));
    marks_[seq] = nonce;
    fed_ = seq;
  }
  // The numbers of commits mean the same, but loads under way are done again.
  void begin_epoch() {
    const std::lock_guard lock(mutex_);
    ++point_.epoch;
  }

 private:
  static constexpr std::int64_t fed_marks = 4096;  // of the feed's last commits: loads take some time

  mutable std::mutex mutex_;
  Point point_;
  std::int64_t fed_ = -1;
  std::map<std::int64_t, std::string> marks_;
};

}  // namespace daybook::reader
