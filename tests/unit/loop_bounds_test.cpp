// What bounds a loop's memory, and how it goes on afterwards: the pause of intake behind a slow commit, and the bound
// on other workers' fingerprints that it merges.
#include <doctest/doctest.h>

#include "core/definition_reader.h"
#include "tests/support/memory_store.h"
#include "tests/support/run_loop.h"

using namespace daybook;
using namespace daybook::test;

namespace {

using namespace std::chrono_literals;

const TopicPartition partition{"bloodbank.events", 0};

LogRecord stock_change(const std::string& id, std::int64_t quantity, std::size_t padding = 0) {
  return {R"({"specversion":"1.0","source":"/s","id":")" + id +
              R"(","type":"bloodbank.stock.changed","time":"2026-03-01T12:00:00Z","data":{"facility_id":)"
              R"("00000000-0000-4000-8000-000000000000","quantity":)" +
              std::to_string(quantity) + R"(,"note":")" + std::string(padding, 'x') + "\"}}",
          1'790'000'000'000,
          {}};
}

ViewDefinition summary(std::uint64_t window) {
  ViewDefinition view =
      load_definitions({DAYBOOK_SOURCE_DIR "/schemas/bloodbank/views/dashboard_daily_summary.json"}).front();
  view.deduplication_window_events = window;
  return view;
}

class HandClock : public Clock {
 public:
  std::chrono::steady_clock::time_point now() override { return time; }
  std::chrono::steady_clock::time_point time{1h};
};

// Commits when the test says so; a wait passes the clock's time.
class HandCommitter : public Committer {
 public:
  HandCommitter(Store& store, HandClock& clock) : store_(store), clock_(clock) {}
  void start(const Batch& batch, OwnedPositions owned, std::int64_t known_seq) override {
    batch_ = &batch;
    owned_ = std::move(owned);
    known_seq_ = known_seq;
  }
  bool busy() const override { return batch_ != nullptr; }
  std::optional<CommitOutcome> outcome(std::chrono::milliseconds timeout) override {
    if (is_held) {
      clock_.time += timeout;
      return std::nullopt;
    }
    return store_.commit(*std::exchange(batch_, nullptr), owned_, known_seq_);
  }
  const Batch& batch() const { return *batch_; }

  bool is_held = false;

 private:
  Store& store_;
  HandClock& clock_;
  const Batch* batch_ = nullptr;
  OwnedPositions owned_;
  std::int64_t known_seq_ = 0;
};

// Of a view that another worker commits to: events of its own, about which only their fingerprints are of interest.
class SharedStore : public MemoryStore {
 public:
  using MemoryStore::MemoryStore;
  void commit_of_another_worker(std::uint32_t events) {
    ++head_.seq;
    head_.nonce = next_nonce();
    std::vector<Fingerprint>& chunk = chunks_[head_.seq];
    for (std::uint32_t i = 1; i <= events; ++i) chunk.push_back({i, 1, 1});
  }
  CommitOutcome commit(const Batch& batch, const OwnedPositions& owned, std::int64_t known_seq) override {
    if (since(known_seq).size() >= behind_from) return Behind{};
    return MemoryStore::commit(batch, owned, known_seq);
  }
  std::size_t behind_from = SIZE_MAX;
};

class WatchedSource : public FakeSource {
 public:
  using FakeSource::FakeSource;
  void start(const Positions& positions) override {
    is_reading = true;
    FakeSource::start(positions);
  }
  void stop() override {
    is_reading = false;
    FakeSource::stop();
  }
  Polled poll(std::chrono::milliseconds timeout) override {
    const Polled polled = FakeSource::poll(timeout);
    delivered += polled.records.size();
    return polled;
  }
  bool is_reading = false;
  std::size_t delivered = 0;
};

struct Worker {
  Worker(const Log& log, const ViewDefinition& view, Store& store, Limits limits) : source(log, view.topics(), 1, 1) {
    auto by_hand = std::make_unique<HandCommitter>(store, clock);
    committer = by_hand.get();
    loop = std::make_unique<Loop>(view, test_key, source, store, clock, limits, std::move(by_hand), 1);
  }
  template <typename Condition>
  bool step_until(Condition condition) {
    for (int i = 0; i < 5'000; ++i) {
      if (condition()) return true;
      loop->step();
      clock.time += 1ms;
    }
    return false;
  }
  bool catches_up() {
    return step_until([this] { return loop->caught_up(); });
  }
  // A commit from now on takes until the test lets it go.
  bool stalls() {
    return step_until([this] {
      committer->is_held = committer->busy();
      return committer->is_held && loop->reading() && !source.is_reading;
    });
  }

  HandClock clock;
  WatchedSource source;
  HandCommitter* committer;
  std::unique_ptr<Loop> loop;
};

bool mentions(const std::optional<std::string>& why, const std::string& words) {
  return why && why->find(words) != std::string::npos;
}

Limits small_limits() {
  Limits limits = RunOptions{}.limits;
  limits.stall_max = 500ms;
  limits.events_max = 10;
  return limits;
}

// A worker in a stall. Behind an event that the database refused it keeps copies of what it folds: these fill its
// memory while the open batch is still empty.
struct Stalled {
  explicit Stalled(bool open_batch_is_empty) : view(summary(1'000)), store(view) {
    Limits limits = small_limits();
    auto& records = log[partition];
    records[0] = stock_change("full", 2'147'483'647);
    if (open_batch_is_empty) {
      records[1] = stock_change("too much", 1);
      limits.events_max = 1'000;
      limits.bytes_max = 40'000;
      limits.catching_up_lag = 0;  // a batch waits until it is full
    }
    first = static_cast<std::int64_t>(records.size());
    worker = std::make_unique<Worker>(log, view, store, limits);
    REQUIRE(worker->catches_up());
    REQUIRE(store.dead_letters().size() == records.size() - 1);
    for (std::int64_t i = first; i < 60; ++i) records[i] = stock_change(std::to_string(i), -1, 3'000);
    REQUIRE(worker->stalls());
    submitted = worker->committer->batch().ranges().at(partition).to;
    REQUIRE(submitted < 50);
  }

  ViewDefinition view;
  SharedStore store;
  Log log;
  std::unique_ptr<Worker> worker;
  std::int64_t first = 0;      // record behind what was committed before
  std::int64_t submitted = 0;  // where the batch ends whose commit takes so long
};

// A worker with a batch that is being committed and one that is open, while another worker commits more than there is
// room for; then copies of all its events come.
struct Overtaken {
  Overtaken() : view(summary(50)), store(view), worker(log, view, store, small_limits()) {
    for (int i = 0; i < 6; ++i) log[partition][i] = stock_change(std::to_string(i), 1);
    REQUIRE(worker.step_until([this] {
      worker.committer->is_held = worker.committer->busy();
      return worker.committer->is_held;
    }));
    REQUIRE(worker.step_until([this] { return worker.source.delivered == 6; }));
    worker.loop->step();
    store.commit_of_another_worker(200);
    for (int i = 0; i < 6; ++i) log[partition][6 + i] = log[partition][i];
  }
  void expect_each_event_once() {
    worker.committer->is_held = false;
    CHECK(worker.catches_up());
    CHECK(store.positions().at(partition) == 12);
    CHECK(store.rows().begin()->second[0] == 6);
    CHECK(worker.loop->counters().restarts == 1);
    CHECK(store.loads == 2);
  }

  ViewDefinition view;
  SharedStore store;
  Log log{{partition, {}}};
  Worker worker;
};

}  // namespace

TEST_CASE("after a stall reading goes on, also when the open batch is empty") {
  for (const bool open_batch_is_empty : {true, false}) {
    CAPTURE(open_batch_is_empty);
    Stalled stalled(open_batch_is_empty);
    stalled.worker->committer->is_held = false;
    CHECK(stalled.worker->catches_up());
    CHECK(stalled.store.positions().at(partition) == 60);
    CHECK(stalled.store.rows().begin()->second[0] == 2'147'483'647 - (60 - stalled.first));
    CHECK(!stalled.worker->loop->paused());
  }
}

TEST_CASE("a topic that was made again during a stall is not read on") {
  for (const bool open_batch_is_empty : {true, false}) {
    CAPTURE(open_batch_is_empty);
    Stalled stalled(open_batch_is_empty);
    for (auto& [offset, record] : stalled.log[partition]) record = stock_change("b" + std::to_string(offset), -1'000);
    stalled.worker->committer->is_held = false;
    CHECK(stalled.worker->step_until([&] { return stalled.worker->loop->paused().has_value(); }));
    CHECK(mentions(stalled.worker->loop->paused(), "was deleted and made again, or truncated"));
    CHECK(stalled.store.positions().at(partition) >= stalled.submitted);
    CHECK(stalled.store.rows().begin()->second[0] ==
          2'147'483'647 - (stalled.store.positions().at(partition) - stalled.first));
  }
}

TEST_CASE("so many events of other workers that ours would leave the set are loaded, not merged") {
  SUBCASE("they come with a commit's answer") { Overtaken().expect_each_event_once(); }
  SUBCASE("they have to be looked through before the commit") {
    Overtaken overtaken;
    overtaken.store.behind_from = 100;
    overtaken.expect_each_event_once();
  }
}
