#include "reader/serve/traffic.h"

#include <algorithm>

namespace daybook::reader {
namespace {

std::uint64_t next_number() {
  static std::atomic<std::uint64_t> last{0};
  return ++last;
}

template <typename List, typename Value>
std::size_t index_in(const List& list, const Value& value, std::size_t otherwise) {
  const auto found = std::find(list.begin(), list.end(), value);
  return found == list.end() ? otherwise : static_cast<std::size_t>(found - list.begin());
}

void add(std::atomic<std::uint64_t>& to, std::uint64_t value) {
  to.store(to.load(std::memory_order_relaxed) + value, std::memory_order_relaxed);
}

}  // namespace

Traffic::Traffic() : number_(next_number()) {}

Traffic::Slot& Traffic::own_slot() {
  thread_local std::uint64_t owner = 0;
  thread_local Slot* slot = nullptr;
  if (owner != number_) {
    const std::lock_guard lock(mutex_);
    slots_.push_back(std::make_unique<Slot>());
    slot = slots_.back().get();
    owner = number_;
  }
  return *slot;
}

void Traffic::count(std::string_view route, unsigned status, std::chrono::nanoseconds duration) {
  Slot::Counts& counts = own_slot().by_route[index_in(routes, route, routes.size() - 1)];
  add(counts.answers[index_in(statuses, status, index_in(statuses, 500u, 0))], 1);
  const double seconds = std::chrono::duration<double>(duration).count();
  add(counts.durations[static_cast<std::size_t>(std::lower_bound(bounds.begin(), bounds.end(), seconds) -
                                                bounds.begin())],
      1);
  add(counts.nanoseconds, static_cast<std::uint64_t>(std::max<std::int64_t>(0, duration.count())));
}

std::array<Traffic::Route, Traffic::routes.size()> Traffic::total() const {
  std::array<Route, routes.size()> total{};
  const std::lock_guard lock(mutex_);
  for (const auto& slot : slots_) {
    for (std::size_t i = 0; i < routes.size(); ++i) {
      const Slot::Counts& counts = slot->by_route[i];
      for (std::size_t k = 0; k < statuses.size(); ++k)
        total[i].answers[k] += counts.answers[k].load(std::memory_order_relaxed);
      for (std::size_t k = 0; k <= bounds.size(); ++k)
        total[i].durations[k] += counts.durations[k].load(std::memory_order_relaxed);
      total[i].seconds += static_cast<double>(counts.nanoseconds.load(std::memory_order_relaxed)) / 1e9;
    }
  }
  return total;
}

}  // namespace daybook::reader
