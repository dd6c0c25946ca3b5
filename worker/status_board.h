// Where the views' threads put their status and others look at it: copies under a lock, so that nobody touches a loop.
#pragma once

#include <mutex>
#include <string>
#include <vector>

#include "worker/status.h"

namespace daybook {

class StatusBoard {
 public:
  explicit StatusBoard(const std::vector<std::string>& views) : all_(views.size()) {
    for (std::size_t i = 0; i < views.size(); ++i) {
      all_[i].view = views[i];
      all_[i].stepped_at = std::chrono::steady_clock::now();
    }
  }

  // `number`: the view's place in what the constructor was given.
  void publish(std::size_t number, ViewStatus status) {
    const std::lock_guard lock(mutex_);
    all_[number] = std::move(status);
  }

  std::vector<ViewStatus> all() const {
    const std::lock_guard lock(mutex_);
    return all_;
  }

 private:
  mutable std::mutex mutex_;
  std::vector<ViewStatus> all_;
};

}  // namespace daybook
