// What a reader answered, counted: by route and status, with durations. Each thread counts for itself; reading adds up.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string_view>
#include <vector>

namespace daybook::reader {

class Traffic {
 public:
  static constexpr std::array<std::string_view, 9> routes = {"row",  "list",   "changes", "views", "openapi",
                                                             "page", "health", "admin",   "none"};
  static constexpr std::array<unsigned, 18> statuses = {200, 304, 400, 401, 403, 404, 405, 406, 408,
                                                        410, 413, 414, 429, 431, 500, 501, 503, 504};
  static constexpr std::array<double, 12> bounds = {0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025,
                                                    0.005,   0.01,   0.05,    0.1,    0.5,   1};

  Traffic();

  // Any thread. A route or status that is not listed counts as "none" or 500.
  void count(std::string_view route, unsigned status, std::chrono::nanoseconds duration);

  struct Route {
    std::array<std::uint64_t, statuses.size()> answers{};
    std::array<std::uint64_t, bounds.size() + 1> durations{};
    double seconds = 0;
  };
  std::array<Route, routes.size()> total() const;

 private:
  // Written by one thread only, so that plain additions are enough.
  struct Slot {
    struct Counts {
      std::array<std::atomic<std::uint64_t>, statuses.size()> answers{};
      std::array<std::atomic<std::uint64_t>, bounds.size() + 1> durations{};
      std::atomic<std::uint64_t> nanoseconds{0};
    };
    std::array<Counts, routes.size()> by_route;
  };
  Slot& own_slot();

  const std::uint64_t number_;  // of this object among all: addresses may be used again
  mutable std::mutex mutex_;    // of the list
  std::vector<std::unique_ptr<Slot>> slots_;
};

}  // namespace daybook::reader
