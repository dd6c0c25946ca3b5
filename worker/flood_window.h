// Watches the share of records that can't be applied among the last ones: one bad event is a dead letter and goes
// unnoticed by the others, a flood of them means that something upstream broke, and a person has to look.
#pragma once

#include <cstddef>
#include <vector>

namespace daybook {

class FloodWindow {
 public:
  // More than `share` of the last `records` is a flood; a share of 1 or more never is.
  FloodWindow(std::size_t records, double share)
      : rejected_(records, false), threshold_(share * static_cast<double>(records)) {}

  void add(bool rejected) {
    if (rejected_.empty()) return;
    count_ += static_cast<std::size_t>(rejected) - static_cast<std::size_t>(rejected_[next_]);
    rejected_[next_] = rejected;
    next_ = (next_ + 1) % rejected_.size();
  }
  // Records that were not seen yet count as good ones.
  bool is_flooded() const { return static_cast<double>(count_) > threshold_; }
  std::size_t count() const { return count_; }
  std::size_t size() const { return rejected_.size(); }

  void clear() {
    rejected_.assign(rejected_.size(), false);
    count_ = next_ = 0;
  }

 private:
  std::vector<bool> rejected_;  // a ring
  double threshold_;
  std::size_t next_ = 0;
  std::size_t count_ = 0;
};

}  // namespace daybook
