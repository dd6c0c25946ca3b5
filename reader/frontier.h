// How far a view's memory has come. Pure.
//
// `floor` is the newest commit of which anything was ever shown, by the feed or by a load: what is loaded from now on has
// to be at least as new, else a row could go back in time. It rises BEFORE a change is applied to memory, so that a load
// that begins after its key was dropped can't be answered by a state from before the change.
//
// `epoch` counts how often memory began anew (the numbers of commits may be others then): what was asked for in an
// earlier epoch is asked for again.
#pragma once

#include <algorithm>
#include <cstdint>
#include <mutex>

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
  void rise(std::int64_t seq) {
    const std::lock_guard lock(mutex_);
    point_.floor = std::max(point_.floor, seq);
  }
  // For a load that began in `epoch`; false: that epoch is over.
  bool rise_in(std::uint64_t epoch, std::int64_t seq) {
    const std::lock_guard lock(mutex_);
    if (epoch != point_.epoch) return false;
    point_.floor = std::max(point_.floor, seq);
    return true;
  }
  // `fell_back`: the database lost commits, their numbers mean others now.
  void begin_anew(std::int64_t seq, bool fell_back) {
    const std::lock_guard lock(mutex_);
    ++point_.epoch;
    point_.floor = fell_back ? seq : std::max(point_.floor, seq);
  }

 private:
  mutable std::mutex mutex_;
  Point point_;
};

}  // namespace daybook::reader
