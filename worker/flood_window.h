// Watches the share of records that can't be applied among the last ones: one bad event is a dead letter and goes
// unnoticed by the others, a flood of them means that something upstream broke, and a person has to look.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace daybook {

class FloodWindow {
 public:
  // More than `share` of the last `records` is a flood; a share of 1 or more never is.
  FloodWindow(std::size_t records, double share)
      : rejected_(records, false), threshold_(share * static_cast<double>(records)) {}

  // Numbers the records from 0 on.
  void add(bool rejected) { set(next_++, rejected); }
  std::uint64_t next() const { return next_; }
  // The database refused a record that was taken for a good one. Of no interest when it has left the window.
  void reject(std::uint64_t number) {
    if (number < next_ && next_ - number <= rejected_.size()) set(number, true);
  }
  // Records that were not seen yet count as good ones.
  bool is_flooded() const { return static_cast<double>(count_) > threshold_; }
  std::size_t count() const { return count_; }
  std::size_t size() const { return rejected_.size(); }

  void clear() {
    rejected_.assign(rejected_.size(), false);
    count_ = 0;
    next_ = 0;
  }

 private:
  void set(std::uint64_t number, bool rejected) {
    if (rejected_.empty()) return;
    const std::size_t at = number % rejected_.size();
    count_ += static_cast<std::size_t>(rejected) - static_cast<std::size_t>(rejected_[at]);
    rejected_[at] = rejected;
  }

  std::vector<bool> rejected_;  // a ring
  double threshold_;
  std::uint64_t next_ = 0;
  std::size_t count_ = 0;
};

}  // namespace daybook
