// The deduplication set against the plainest model of it.
#include "worker/fold/seen_set.h"

#include <doctest/doctest.h>

#include <deque>
#include <optional>
#include <random>
#include <set>

using namespace daybook;

namespace {

Fingerprint fingerprint(std::uint64_t n) {
  // Few homes and few tags, so that chains are long and wrap around.
  return {n * 0x9E3779B97F4A7C15 >> 3 & 0xFFF, static_cast<std::uint32_t>(n), 1};
}

}  // namespace

TEST_CASE("an identity is fresh once") {
  SeenSet seen(1000, 0);
  CHECK(seen.insert({1, 2, 3}) == SeenSet::Inserted::fresh);
  CHECK(seen.insert({1, 2, 3}) == SeenSet::Inserted::duplicate);
  CHECK(seen.insert({1, 2, 4}) == SeenSet::Inserted::other_content);
  CHECK(seen.insert({1, 3, 3}) == SeenSet::Inserted::fresh);
  CHECK(seen.size() == 2);
}

TEST_CASE("what is erased is fresh again") {
  SeenSet seen(1000, 0);
  seen.insert({1, 2, 3});
  seen.erase({1, 2, 3});
  CHECK(seen.size() == 0);
  seen.erase({1, 2, 3});
  CHECK(seen.insert({1, 2, 3}) == SeenSet::Inserted::fresh);
}

TEST_CASE("the oldest leave when the window is full, and only they") {
  constexpr std::uint64_t window = 1000;
  SeenSet seen(window, 0);
  for (std::uint64_t n = 0; n < 5 * window; ++n) REQUIRE(seen.insert(fingerprint(n)) == SeenSet::Inserted::fresh);
  CHECK(seen.size() == window);
  for (std::uint64_t n = 0; n < 4 * window; ++n) REQUIRE_FALSE(seen.contains(fingerprint(n)));
  for (std::uint64_t n = 4 * window; n < 5 * window; ++n) REQUIRE(seen.contains(fingerprint(n)));
}

TEST_CASE("failed batches do not shorten the window") {
  constexpr std::uint64_t window = 1000;
  SeenSet seen(window, 800);
  for (std::uint64_t n = 0; n < 3000; ++n) seen.insert(fingerprint(n));
  for (int failure = 0; failure < 10; ++failure) {
    for (std::uint64_t n = 3000; n < 3400; ++n) REQUIRE(seen.insert(fingerprint(n)) == SeenSet::Inserted::fresh);
    for (std::uint64_t n = 3000; n < 3400; ++n) seen.erase(fingerprint(n));
  }
  CHECK_FALSE(seen.is_worn());
  for (std::uint64_t n = 2000; n < 3000; ++n) REQUIRE(seen.contains(fingerprint(n)));
}

TEST_CASE("random inserts and erasures agree with a model") {
  for (unsigned seed = 1; seed <= 20; ++seed) {
    CAPTURE(seed);
    std::mt19937_64 random(seed);
    constexpr std::uint64_t window = 1500;
    SeenSet seen(window, 0);
    std::deque<std::optional<std::uint64_t>> order;  // ring slots, oldest first; nullopt: erased
    std::set<std::uint64_t> model;
    for (int step = 0; step < 20'000; ++step) {
      const std::uint64_t n = random() % 4000;
      if (random() % 4 == 0) {
        seen.erase(fingerprint(n));
        if (model.erase(n) > 0) {
          for (auto& slot : order) {
            if (slot == n) slot.reset();
          }
          while (!order.empty() && !order.back()) order.pop_back();
        }
        continue;
      }
      const bool fresh = model.insert(n).second;
      REQUIRE((seen.insert(fingerprint(n)) == SeenSet::Inserted::fresh) == fresh);
      if (!fresh) continue;
      order.push_back(n);
      if (order.size() > window) {
        if (order.front()) model.erase(*order.front());
        order.pop_front();
      }
    }
    CHECK(seen.size() == model.size());
    for (std::uint64_t n = 0; n < 4000; ++n) REQUIRE(seen.contains(fingerprint(n)) == (model.count(n) > 0));
  }
}

TEST_CASE("memory stays below 32 bytes an event") {
  SeenSet seen(2'000'000, 0);
  for (std::uint64_t n = 0; n < 2'000'000; ++n)
    seen.insert({n * 0x9E3779B97F4A7C15, static_cast<std::uint32_t>(n >> 7), 0});
  CHECK(seen.size() == 2'000'000);
  CHECK(seen.memory_bytes() < 32 * seen.size());
}

TEST_CASE("many inserted at once are what they are one by one, reserved or not") {
  for (const std::uint64_t reserved : {0, 10, 2'500, 1'000'000}) {
    CAPTURE(reserved);
    SeenSet one_by_one(2'000, 100), at_once(2'000, 100);
    std::vector<Fingerprint> many;
    for (std::uint64_t n = 0; n < 3'000; ++n) many.push_back(fingerprint(n % 5 == 0 ? n / 2 : n));
    at_once.insert(fingerprint(0));
    one_by_one.insert(fingerprint(0));
    at_once.reserve(reserved);
    at_once.insert(many);
    for (const Fingerprint& f : many) one_by_one.insert(f);
    CHECK(at_once.size() == one_by_one.size());
    for (std::uint64_t n = 0; n < 3'000; ++n)
      REQUIRE(at_once.contains(fingerprint(n)) == one_by_one.contains(fingerprint(n)));
  }
}

TEST_CASE("reserving takes what the set will need, and no more than the window") {
  SeenSet seen(100'000, 0);
  seen.reserve(90'000);
  const std::uint64_t index = seen.memory_bytes();
  for (std::uint64_t n = 0; n < 90'000; ++n) seen.insert({n * 0x9E3779B97F4A7C15, static_cast<std::uint32_t>(n), 0});
  CHECK(seen.memory_bytes() - index == 2 * 65'536 * sizeof(Fingerprint));
  SeenSet small(1'000, 0);
  small.reserve(1'000'000'000);
  CHECK(small.memory_bytes() < 100'000);
}
