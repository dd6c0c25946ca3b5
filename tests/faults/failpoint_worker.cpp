// `daybook worker` that kills itself at a named point of the commit's way: for tests, never installed.
//
// The real ports are wrapped; DAYBOOK_FAILPOINT=NAME:N names the point and the pass at which the process gets SIGKILL,
// or with DAYBOOK_FAILPOINT_SIGNAL=STOP SIGSTOP: it freezes there and goes on after SIGCONT. Without it nothing
// happens. A point named *.during is a moment inside the database's call: another thread kills
// DAYBOOK_FAILPOINT_DELAY_MS after the call was begun. `failpoint_worker list` prints the names. DAYBOOK_PATIENCE_MS=N
// shortens how long it bears with a commit without an answer and with a log that is too short: tests need not wait as
// long as an operator wants to.
#include <signal.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "cli/command.h"
#include "core/definition_reader.h"
#include "core/error.h"
#include "worker/worker.h"

namespace daybook {
namespace {

constexpr const char* names[] = {
    "take.before",   "take.after",   "load.during",   "start.before", "commit.before", "commit.during",
    "commit.after",  // the database has answered, nobody has taken the answer
    "answer.given",  // the loop's thread may take it, its fingerprints are not merged
    "mirror.before", "mirror.after", "expire.during",
};

class Failpoint {
 public:
  Failpoint() {
    const char* text = std::getenv("DAYBOOK_FAILPOINT");
    if (text == nullptr) return;
    const std::string whole = text;
    const std::size_t colon = whole.find(':');
    name_ = whole.substr(0, colon);
    const bool known = std::find(std::begin(names), std::end(names), name_) != std::end(names);
    if (colon == std::string::npos || !known)
      throw UsageError("DAYBOOK_FAILPOINT: found \"" + whole + "\", expected NAME:PASS; `list` prints the names");
    left_ = std::stoi(whole.substr(colon + 1));
    const char* number = std::getenv("DAYBOOK_FAILPOINT_SIGNAL");
    freezes_ = number != nullptr && std::string(number) == "STOP";
    if (const char* delay = std::getenv("DAYBOOK_FAILPOINT_DELAY_MS")) delay_ = std::chrono::milliseconds(atoi(delay));
  }

  bool is(const char* name) const { return name_ == name; }

  void pass(const char* name) {
    if (name_ == name && --left_ == 0) strike();
  }

  // The call that follows is the one inside which the process ends.
  void pass_inside(const char* name) {
    if (name_ != name || --left_ != 0) return;
    std::thread([this] {
      std::this_thread::sleep_for(delay_);
      strike();
    }).detach();
  }

 private:
  void strike() {
    std::fprintf(stderr, "failpoint %s: %s\n", name_.c_str(), freezes_ ? "SIGSTOP" : "SIGKILL");
    kill(getpid(), freezes_ ? SIGSTOP : SIGKILL);
    while (!freezes_) pause();  // until it arrives
  }

  std::string name_;
  std::atomic<int> left_{1};
  std::chrono::milliseconds delay_{0};
  bool freezes_ = false;
};

class FailingSource : public Source {
 public:
  FailingSource(Source& inner, Failpoint& failpoint) : inner_(inner), failpoint_(failpoint) {}
  Polled poll(std::chrono::milliseconds timeout) override { return inner_.poll(timeout); }
  void start(const Positions& positions) override {
    failpoint_.pass("start.before");
    inner_.start(positions);
  }
  void stop() override { inner_.stop(); }
  std::string cluster_id() override { return inner_.cluster_id(); }
  LogRange range(const TopicPartition& partition) override { return inner_.range(partition); }
  std::int64_t known_end(const TopicPartition& partition) override { return inner_.known_end(partition); }
  void mirror(const Positions& positions) override {
    failpoint_.pass("mirror.before");
    inner_.mirror(positions);
    failpoint_.pass("mirror.after");
  }
  // The committing thread wakes the loop once the answer lies ready.
  void wake() override {
    failpoint_.pass("answer.given");
    inner_.wake();
  }

 private:
  Source& inner_;
  Failpoint& failpoint_;
};

class FailingStore : public Store {
 public:
  FailingStore(Store& inner, Failpoint& failpoint) : inner_(inner), failpoint_(failpoint) {}
  bool connect() override { return inner_.connect(); }
  Head load(const std::function<void(std::uint64_t)>& expect,
            const std::function<void(std::span<const Fingerprint>)>& each_chunk) override {
    return inner_.load(expect, [&](std::span<const Fingerprint> chunk) {
      failpoint_.pass("load.during");
      each_chunk(chunk);
    });
  }
  Tail tail(std::int64_t seq) override { return inner_.tail(seq); }
  Head head() override { return inner_.head(); }
  TakeOutcome take(const std::string& cluster_id, const std::vector<TopicPartition>& partitions,
                   const Positions& first) override {
    failpoint_.pass("take.before");
    TakeOutcome taken = inner_.take(cluster_id, partitions, first);
    failpoint_.pass("take.after");
    return taken;
  }
  void pause(const std::string& why) override { inner_.pause(why); }
  CommitOutcome commit(const Batch& batch, const OwnedPositions& owned, std::int64_t known_seq) override {
    failpoint_.pass("commit.before");
    failpoint_.pass_inside("commit.during");
    CommitOutcome outcome = inner_.commit(batch, owned, known_seq);
    failpoint_.pass("commit.after");
    return outcome;
  }
  std::optional<std::chrono::seconds> expire() override {
    failpoint_.pass_inside("expire.during");
    return inner_.expire();
  }

 private:
  Store& inner_;
  Failpoint& failpoint_;
};

// Expiry is due every 10 s: for that point, time runs a hundred times as fast.
class FastClock : public Clock {
 public:
  explicit FastClock(Clock& inner) : inner_(inner), began_(inner.now()) {}
  std::chrono::steady_clock::time_point now() override { return began_ + 100 * (inner_.now() - began_); }

 private:
  Clock& inner_;
  const std::chrono::steady_clock::time_point began_;
};

std::atomic<bool> stop_requested{false};

int run(int argc, char** argv) {
  CLI::App app{"daybook worker with failpoints"};
  app.require_subcommand(1);
  app.add_subcommand("list", "Print the names of the failpoints")->callback([] {
    for (const char* name : names) std::puts(name);
  });
  CLI::App& worker = *app.add_subcommand("worker", "As `daybook worker`");
  std::vector<std::string> files;
  BrokerOptions broker;
  DatabaseOptions database;
  worker.add_option("--view", files)->required();
  add_broker_options(worker, broker);
  add_database_options(worker, database);
  worker.callback([&] {
    Failpoint failpoint;
    std::mutex mutex;
    std::vector<std::unique_ptr<FailingSource>> sources;
    std::vector<std::unique_ptr<FailingStore>> stores;
    std::vector<std::unique_ptr<FastClock>> clocks;
    WorkerSettings settings;
    settings.brokers = broker.brokers;
    settings.properties = kafka::parse_properties(broker.properties);
    settings.database = database.uri;
    if (const char* patience = std::getenv("DAYBOOK_PATIENCE_MS")) {
      settings.limits.stall_max = settings.limits.short_log_patience = std::chrono::milliseconds(atoi(patience));
    }
    settings.decorate = [&](Ports real) {
      const std::lock_guard lock(mutex);  // each view's thread asks
      sources.push_back(std::make_unique<FailingSource>(real.source, failpoint));
      stores.push_back(std::make_unique<FailingStore>(real.store, failpoint));
      clocks.push_back(std::make_unique<FastClock>(real.clock));
      return Ports{*sources.back(), *stores.back(),
                   failpoint.is("expire.during") ? static_cast<Clock&>(*clocks.back()) : real.clock};
    };
    signal(SIGTERM, [](int) { stop_requested = true; });
    run_worker(settings, load_definitions(files), stop_requested);
  });
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error);
  }
  return 0;
}

}  // namespace
}  // namespace daybook

int main(int argc, char** argv) {
  try {
    return daybook::run(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "failpoint_worker: %s\n", error.what());
    return 2;
  }
}
