// Random numbers that are the same with every compiler and standard library (std::uniform_int_distribution's
// are not): SplitMix64, and integer arithmetic only.
#pragma once

#include <cstdint>

namespace daybook::simulation {

class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed) {}

  std::uint64_t next() {
    state_ += 0x9e3779b97f4a7c15u;
    return mix(state_);
  }

  // 0 … bound-1. The bias of a 64-bit multiplication is far below what a simulation shows.
  std::uint64_t below(std::uint64_t bound) {
    return static_cast<std::uint64_t>(static_cast<unsigned __int128>(next()) * bound >> 64);
  }
  int between(int low, int high) { return low + static_cast<int>(below(static_cast<std::uint64_t>(high - low + 1))); }
  bool one_in(std::uint64_t n) { return below(n) == 0; }
  bool per_mille(std::uint64_t n) { return below(1000) < n; }

  static std::uint64_t mix(std::uint64_t x) {
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
  }

 private:
  std::uint64_t state_;
};

// A probability as a threshold on 32 random bits.
class Share {
 public:
  explicit Share(double share) : threshold_(static_cast<std::uint64_t>(share * 4294967296.0)) {}
  bool drawn(Random& random) const { return threshold_ != 0 && (random.next() >> 32) < threshold_; }

 private:
  std::uint64_t threshold_;
};

}  // namespace daybook::simulation
