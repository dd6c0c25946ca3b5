#include "worker/worker.h"

#include <spdlog/spdlog.h>
#include <unistd.h>

#include <cstdlib>
#include <exception>
#include <mutex>
#include <thread>

#include "core/definition_diff.h"
#include "core/error.h"
#include "sql/apply.h"
#include "worker/commit/pg_store.h"
#include "worker/dead_letter_copier.h"
#include "worker/intake/kafka_source.h"
#include "worker/loop.h"

namespace daybook {
namespace {

using namespace std::chrono_literals;

class SteadyClock : public Clock {
 public:
  std::chrono::steady_clock::time_point now() override { return std::chrono::steady_clock::now(); }
};

// "host:pid": who holds a partition, for people who look at daybook.position.
std::string owner_name() {
  char host[256] = {0};
  gethostname(host, sizeof host - 1);
  return std::string(host) + ":" + std::to_string(getpid());
}

// A view's place on the board.
class BoardEntry {
 public:
  BoardEntry(StatusBoard* board, std::size_t number) : board_(board), number_(number) {}

  // Between steps; far less often than there are steps.
  void show(Loop& loop, std::chrono::steady_clock::time_point now) {
    if (board_ == nullptr || now < next_) return;
    next_ = now + interval;
    board_->publish(number_, loop.status());
  }

  // Before there is a loop.
  void show_waiting(const ViewDefinition& view, const std::string& reason) {
    if (board_ == nullptr) return;
    ViewStatus status;
    status.view = view.name;
    status.state = ViewStatus::State::waiting;
    status.reason = reason;
    status.stepped_at = std::chrono::steady_clock::now();
    status.window_events = view.deduplication_window_events;
    board_->publish(number_, std::move(status));
  }

 private:
  static constexpr auto interval = 200ms;
  StatusBoard* board_;
  std::size_t number_;
  std::chrono::steady_clock::time_point next_{};
};

sql::Generation find_generation(const WorkerSettings& settings, const ViewDefinition& view) {
  const postgres::Connection connection = postgres::connect(settings.database, "daybook-worker/" + view.name);
  sql::Generation generation = sql::require_generation(*connection, view.name);
  if (generation.definition_text != view.canonical_json) {
    throw StopError(refusal(view.name, compare_definitions(generation.definition_text, "{}", view)));
  }
  return generation;
}

// Tries again while the database is away: forever, or for the patience of `once`.
// Nothing when it is told to stop meanwhile.
std::optional<sql::Generation> wait_for_generation(const WorkerSettings& settings, const ViewDefinition& view,
                                                   BoardEntry& board, const std::atomic<bool>& stop) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(settings.patience_seconds);
  std::string last;
  auto delay = 100ms;
  while (!stop) {
    try {
      return find_generation(settings, view);
    } catch (const RetryError& error) {
      if (settings.once && std::chrono::steady_clock::now() >= deadline) throw;
      if (last != error.what()) spdlog::warn("{}: {}; trying again", view.name, error.what());
      last = error.what();
      board.show_waiting(view, last);
    }
    for (auto waited = 0ms; waited < delay && !stop; waited += 50ms) std::this_thread::sleep_for(50ms);
    delay = std::min<std::chrono::milliseconds>(delay * 2, 5s);
  }
  return std::nullopt;
}

FingerprintKey key_of(const sql::Generation& generation) {
  FingerprintKey key{};
  if (generation.fingerprint_key.size() != key.size()) throw StopError("database: the fingerprint key is not 16 bytes");
  std::copy(generation.fingerprint_key.begin(), generation.fingerprint_key.end(), key.begin());
  return key;
}

KafkaSource::Settings source_settings(const WorkerSettings& settings, const ViewDefinition& view) {
  return {settings.brokers, group_of(view), view.topics(), settings.properties};
}

DeadLetterCopier::Settings copier_settings(const WorkerSettings& settings) {
  return {settings.brokers, settings.properties, settings.database, settings.dead_letter_topic};
}

// Ends the process although a broker or database that does not answer holds some view. Nothing is lost by leaving: what
// is not committed is read again.
[[noreturn]] void leave(const std::exception_ptr& error) {
  spdlog::warn("worker ends without waiting for a broker or database that does not answer");
  int code = EXIT_SUCCESS;
  if (error) {
    try {
      std::rethrow_exception(error);
    } catch (const std::exception& first) {
      code = exit_code_of(first);
      spdlog::error("{}", first.what());
    }
  }
  spdlog::default_logger()->flush();
  std::_Exit(code);
}

void run_view(const WorkerSettings& settings, const ViewDefinition& view, BoardEntry board,
              const std::atomic<bool>& stop) {
  const std::optional<sql::Generation> found = wait_for_generation(settings, view, board, stop);
  if (!found) return;
  const sql::Generation& generation = *found;
  SteadyClock clock;
  std::optional<DeadLetterCopier> copier;  // ends last: its last look sees all that was committed
  if (!settings.dead_letter_topic.empty()) {
    copier.emplace(copier_settings(settings), view.name, generation.id);
  }
  PgStore store(settings.database, view, generation, owner_name());
  KafkaSource source(source_settings(settings, view));
  const Ports real{source, store, clock};
  const Ports ports = settings.decorate ? settings.decorate(real) : real;
  Loop loop(view, key_of(generation), ports.source, ports.store, ports.clock, settings.limits);
  spdlog::info("{}: worker started; group {}, generation {}", view.name, group_of(view), generation.id);

  std::string last_line = loop.describe();
  auto next_line = clock.now() + 10s;
  auto last_read = clock.now();
  while (!stop) {
    loop.step();
    board.show(loop, clock.now());
    if (loop.reading()) last_read = clock.now();
    if (settings.once) {
      if (loop.pause_is_stored()) throw StopError(view.name + " is paused: " + *loop.paused());
      if (loop.caught_up()) break;
      if (clock.now() - last_read >= std::chrono::seconds(settings.patience_seconds)) {
        throw RetryError(view.name + ": nothing could be read within " + std::to_string(settings.patience_seconds) +
                         " s: broker " + settings.brokers +
                         " or the database does not answer, or other members hold all partitions" +
                         (source.trouble().empty() ? "" : "; last connection: " + source.trouble()));
      }
    }
    if (clock.now() >= next_line) {
      next_line = clock.now() + 10s;
      if (const std::string line = loop.describe(); line != last_line) {
        spdlog::info("{}: {}", view.name, line);
        last_line = line;
      }
    }
  }
  if (!loop.finish(3s)) {
    // The database does not answer. Nothing is lost by not waiting for it: what it did not commit is read again.
    // run_worker() ends the process while this waits.
    spdlog::warn("{}: the commit under way does not end; the worker ends without it", view.name);
    source.close();
    return;
  }
  spdlog::info("{}: worker ends; {}", view.name, loop.describe());
}

}  // namespace

std::string group_of(const ViewDefinition& view) { return "daybook." + view.name; }

void run_worker(const WorkerSettings& settings, const std::vector<ViewDefinition>& views,
                const std::atomic<bool>& stop) {
  // Wrong properties are refused before anything starts.
  for (const ViewDefinition& view : views) KafkaSource::check(source_settings(settings, view));
  if (!settings.dead_letter_topic.empty()) DeadLetterCopier::check(copier_settings(settings));
  // One view's end must not take the others down in mid-air: all are told to stop, then the first error is thrown.
  std::atomic<bool> stop_all{false};
  std::atomic<std::size_t> running{views.size()};
  std::mutex mutex;  // guards `error`
  std::exception_ptr error;
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < views.size(); ++i) {
    threads.emplace_back([&, i] {
      try {
        run_view(settings, views[i], BoardEntry(settings.board, i), stop_all);
      } catch (...) {
        const std::lock_guard lock(mutex);
        if (!error) error = std::current_exception();
        stop_all = true;
      }
      --running;
    });
  }
  std::optional<std::chrono::steady_clock::time_point> stopped_at;
  while (running > 0) {
    if (stop) stop_all = true;
    if (stop_all && !stopped_at) stopped_at = std::chrono::steady_clock::now();
    if (stopped_at && std::chrono::steady_clock::now() - *stopped_at > 4500ms) {
      const std::lock_guard lock(mutex);
      leave(error);
    }
    std::this_thread::sleep_for(20ms);
  }
  for (std::thread& thread : threads) thread.join();
  if (error) std::rethrow_exception(error);
}

}  // namespace daybook
