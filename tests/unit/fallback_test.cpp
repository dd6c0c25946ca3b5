// A database that falls back to an older state and comes again while the worker's set of fingerprints is being read.
#include <doctest/doctest.h>

#include <atomic>

#include "core/definition_reader.h"
#include "core/error.h"
#include "tests/support/memory_store.h"
#include "tests/support/random_log.h"
#include "tests/support/recomputed.h"
#include "tests/support/run_loop.h"

using namespace daybook;
using namespace daybook::test;

namespace {

// Once told to: a commit is lost, the next session is at a standby that lags, whose connection breaks after the first
// chunk of fingerprints; the session after that is at the primary again, as it was.
class FlappingStore : public MemoryStore {
 public:
  using MemoryStore::MemoryStore;
  void fall_back() { state_ = State::falling; }
  bool is_well() const { return state_ == State::well; }

  CommitOutcome commit(const Batch& batch, const OwnedPositions& owned, std::int64_t known_seq) override {
    if (state_ == State::falling) {
      state_ = State::at_standby;
      return Unknown{"connection lost"};
    }
    return MemoryStore::commit(batch, owned, known_seq);
  }
  bool connect() override {
    const bool is_new = state_ == State::at_standby || state_ == State::back;
    if (state_ == State::back) state_ = State::well;
    return is_new;
  }
  Head head() override { return state_ == State::at_standby ? Head{0, "standby"} : MemoryStore::head(); }
  Head load(const std::function<void(std::uint64_t)>& expect,
            const std::function<void(std::span<const Fingerprint>)>& each_chunk) override {
    bool first = true;
    return MemoryStore::load(expect, [&](std::span<const Fingerprint> chunk) {
      if (state_ == State::at_standby && !first) {
        state_ = State::back;
        throw RetryError("connection lost");
      }
      first = false;
      each_chunk(chunk);
    });
  }

 private:
  enum class State { well, falling, at_standby, back };
  std::atomic<State> state_{State::well};
};

}  // namespace

TEST_CASE("a set that was read in part is not used") {
  const ViewDefinition view =
      load_definitions({DAYBOOK_SOURCE_DIR "/schemas/bloodbank/views/dashboard_daily_summary.json"}).front();
  Log log = random_log(1, 2, 400);
  FlappingStore store(view);
  TestClock clock;
  FakeSource source(log, view.topics(), 1, 10);
  RunOptions options;
  options.limits.events_max = 20;
  Loop loop(view, test_key, source, store, clock, options.limits);
  const auto is_applied = [&] {
    for (const auto& [partition, records] : log) {
      const Positions stored = store.positions();
      if (stored.count(partition) == 0 || stored.at(partition) <= records.rbegin()->first) return false;
    }
    return !loop.reading() || loop.caught_up();
  };
  const auto run = [&] {
    const auto deadline = clock.now() + std::chrono::seconds(30);
    while (!is_applied()) {
      loop.step();
      REQUIRE(clock.now() < deadline);
    }
  };
  run();

  store.fall_back();
  const Log before = log;
  for (const auto& [partition, records] : before) {  // everything again, behind all
    auto& again = log.at(partition);
    std::int64_t next = again.rbegin()->first + 1;
    for (const auto& [offset, record] : records) again[next++] = record;
  }
  run();
  CHECK(store.is_well());
  loop.finish(std::chrono::seconds(5));
  CHECK(text_of(store.rows()) == text_of(recomputed(view, log, store.dead_letters())));
}
