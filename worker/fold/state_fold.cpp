#include "worker/fold/state_fold.h"

#include <algorithm>

namespace daybook {

void StateFold::add(const DecodedEvent& event) {
  for (const State& state : event.states) {
    add(Entry{0, state.key_size, state.values_size, state.part, state.gone, state.order},
        std::string_view(event.keys).substr(state.key_begin, state.key_size),
        std::string_view(event.values).substr(state.values_begin, state.values_size));
  }
}

void StateFold::add(const StateFold& other, std::size_t begin, std::size_t end) {
  const std::string_view bytes = other.bytes_;
  for (std::size_t i = begin; i < end; ++i) {
    const Entry& state = other.states_[i];
    add(state, bytes.substr(state.begin, state.key_size),
        bytes.substr(state.begin + state.key_size + 1, state.values_size));
  }
}

void StateFold::add(const Entry& state, std::string_view key, std::string_view values) {
  key_and_part_.assign(key);
  key_and_part_.push_back(static_cast<char>(state.part));
  const auto number = static_cast<std::uint32_t>(states_.size());
  states_.push_back(state);
  states_.back().begin = bytes_.size();
  bytes_ += key_and_part_;
  bytes_ += values;
  const auto [counts, is_new] = counts_.try_emplace(key_and_part_, number);
  if (is_new) return;
  const StateOrder& before = states_[counts->second].order;
  // Of one event the last rule counts, or the first.
  if (first_counts_ ? state.order < before : state.order >= before) counts->second = number;
}

std::vector<StateFold::Kept> StateFold::kept() const {
  std::vector<std::uint32_t> numbers;
  numbers.reserve(counts_.size());
  for (const auto& [key, number] : counts_) numbers.push_back(number);
  const std::string_view bytes = bytes_;
  const auto key_and_part = [&](std::uint32_t number) {
    return bytes.substr(states_[number].begin, states_[number].key_size + 1);
  };
  // Keys in index order, so that rows are written in it. No key is the beginning of another.
  std::sort(numbers.begin(), numbers.end(),
            [&](std::uint32_t a, std::uint32_t b) { return key_and_part(a) < key_and_part(b); });
  std::vector<Kept> kept;
  kept.reserve(numbers.size());
  for (const std::uint32_t number : numbers) {
    const Entry& state = states_[number];
    kept.push_back({bytes.substr(state.begin, state.key_size),
                    bytes.substr(state.begin + state.key_size + 1, state.values_size), state.part, state.gone,
                    state.order});
  }
  return kept;
}

std::size_t StateFold::memory_bytes() const {
  std::size_t keys = 0;
  if (!counts_.empty()) keys = counts_.capacity() * (sizeof(std::string) + 8) + bytes_.size() / 2;
  return states_.size() * sizeof(Entry) + bytes_.size() + keys;
}

}  // namespace daybook
