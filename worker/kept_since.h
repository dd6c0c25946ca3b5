// How far back in time the fingerprints of a set reach. They are numbered in the order in which they came; from time to
// time it is noted which number was reached when.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <vector>

namespace daybook {

class KeptSince {
 public:
  using Time = std::chrono::steady_clock::time_point;

  // All numbers below `next` came before `now`. Both only grow; may be called as often as one likes.
  void note(std::uint64_t next, Time now) {
    if (next == 0 || (!notes_.empty() && (next <= notes_.back().next || now - notes_.back().at < interval_))) return;
    notes_.push_back({next, now});
    if (notes_.size() < notes_max) return;
    // Every other one goes, and new ones come half as often: the memory stays the same at any age, and so does the
    // relative error.
    for (std::size_t i = 1; i < notes_.size() / 2; ++i) notes_[i] = notes_[2 * i];
    notes_.resize(notes_.size() / 2);
    interval_ *= 2;
  }

  // How long number `oldest` and all after it have been kept, at least: it came after the last note below it.
  // Nothing: no note is that old.
  std::optional<std::chrono::duration<double>> age(std::uint64_t oldest, Time now) const {
    std::optional<std::chrono::duration<double>> found;
    for (const Note& note : notes_) {
      if (note.next <= oldest) continue;
      found = now - note.at;
      break;
    }
    return found;
  }

  // Numbers from `next` on were taken back and will be given again.
  void rewind(std::uint64_t next) {
    while (!notes_.empty() && notes_.back().next > next) notes_.pop_back();
  }

  void clear() {
    notes_.clear();
    interval_ = first_interval;
  }

 private:
  static constexpr std::size_t notes_max = 1024;
  static constexpr std::chrono::milliseconds first_interval{1'000};

  struct Note {
    std::uint64_t next;
    Time at;
  };
  std::vector<Note> notes_;
  std::chrono::milliseconds interval_ = first_interval;
};

}  // namespace daybook
