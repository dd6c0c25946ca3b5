// `daybook reader`: serves the views' rows over HTTP until it is told to stop.
#include "reader/reader.h"

#include <absl/cleanup/cleanup.h>
#include <signal.h>
#include <spdlog/spdlog.h>
#include <sys/resource.h>

#include <algorithm>
#include <condition_variable>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>

#include "cli/command.h"
#include "http/server.h"
#include "reader/access/gate.h"
#include "reader/serve/front.h"

namespace daybook {
namespace {

struct Options {
  std::string listen = "127.0.0.1:8080";
  bool anywhere = false;
  unsigned threads = std::max(1U, std::thread::hardware_concurrency());
  std::size_t connections = 10'000;
  std::optional<std::size_t> streams;  // nine tenths of the connections: the others are for requests
  DatabaseOptions database;
  reader::ReaderSettings reader;
  std::size_t cache_mib = 256;
  std::size_t pool_wait_s = 30;
  std::size_t pool_recycle_s = 3600;
  std::size_t max_age_s = 30;
  std::size_t slow_ms = 500;
  reader::GateSettings gate;
};

void add_access_options(CLI::App& command, Options& options) {
  command.add_option("--tokens", options.gate.tokens_file, "API tokens that may read: a file of `daybook tokens new`")
      ->envname("DAYBOOK_TOKENS");
  command.add_option("--jwks", options.gate.jwks_file, "Keys of those who sign JWTs that may read: a JWKS file")
      ->envname("DAYBOOK_JWKS");
  command.add_option("--jwt-issuer", options.gate.jwt.issuer, "Only JWTs of this issuer")
      ->envname("DAYBOOK_JWT_ISSUER");
  command.add_option("--jwt-audience", options.gate.jwt.audiences, "Only JWTs for this audience; may be repeated")
      ->envname("DAYBOOK_JWT_AUDIENCE")
      ->allow_extra_args(false);
  command.add_option("--limits", options.gate.limits_file, "How many requests a client may make: a file of policies")
      ->envname("DAYBOOK_LIMITS");
}

void add_database_pool_options(CLI::App& command, Options& options) {
  add_database_options(command, options.database);
  command
      .add_option("--feed-database", options.reader.feed_database,
                  "PostgreSQL for the change feed, when --database is a pooler; without it --database")
      ->envname("DAYBOOK_FEED_DATABASE");
  command.add_option("--replica", options.reader.replicas, "A replica to load rows from; may be repeated")
      ->envname("DAYBOOK_REPLICAS")
      ->allow_extra_args(false);
  command.add_option("--pool", options.reader.pool.size, "Database sessions of loads that stay open")
      ->envname("DAYBOOK_POOL")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  command.add_option("--pool-overflow", options.reader.pool.overflow, "Further ones under load")
      ->envname("DAYBOOK_POOL_OVERFLOW")
      ->check(CLI::Range(0, 1000))
      ->capture_default_str();
  command.add_option("--pool-wait", options.pool_wait_s, "Seconds that a load waits for a session; then 503")
      ->envname("DAYBOOK_POOL_WAIT")
      ->check(CLI::Range(1, 600))
      ->capture_default_str();
  command.add_option("--pool-recycle", options.pool_recycle_s, "Seconds after which a session is replaced")
      ->envname("DAYBOOK_POOL_RECYCLE")
      ->check(CLI::Range(1, 1'000'000))
      ->capture_default_str();
}

void add_memory_options(CLI::App& command, Options& options) {
  command.add_option("--cache-mib", options.cache_mib, "Memory for rows, all views together")
      ->envname("DAYBOOK_CACHE_MIB")
      ->check(CLI::Range(1, 1'000'000))
      ->capture_default_str();
  command
      .add_option("--warm-rows", options.reader.warm_rows, "Rows loaded at start for each view, newest first; 0: none")
      ->envname("DAYBOOK_WARM_ROWS")
      ->capture_default_str();
  command.add_option("--max-age", options.max_age_s, "Seconds: what may be older than this is not served (503)")
      ->envname("DAYBOOK_MAX_AGE")
      ->check(CLI::Range(1, 86'400))
      ->capture_default_str();
  command.add_option("--slow", options.slow_ms, "Milliseconds: requests that take longer are in the log")
      ->envname("DAYBOOK_SLOW")
      ->check(CLI::Range(1, 600'000))
      ->capture_default_str();
}

// Each connection is a file.
void raise_open_files() {
  rlimit files{};
  if (getrlimit(RLIMIT_NOFILE, &files) != 0) return;
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
}

// The signals that end a reader, and how long that may take: the database may never answer.
class End {
 public:
  // Before any other thread is made, so that all of them have the signals blocked.
  End() {
    sigemptyset(&signals_);
    sigaddset(&signals_, SIGTERM);
    sigaddset(&signals_, SIGINT);
    pthread_sigmask(SIG_BLOCK, &signals_, nullptr);
    thread_ = std::thread([this] { watch(); });
  }
  // All has ended by then.
  ~End() {
    {
      const std::lock_guard lock(mutex_);
      has_ended_ = true;
    }
    changed_.notify_all();
    pthread_kill(thread_.native_handle(), SIGTERM);  // it may still wait for one
    thread_.join();
  }
  End(const End&) = delete;
  End& operator=(const End&) = delete;

  void wait_until_asked() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return is_asked_; });
  }

 private:
  static constexpr auto stop_max = http::ServerLimits().drain_timeout + std::chrono::seconds(5);

  void watch() {
    int signal = 0;
    sigwait(&signals_, &signal);
    std::unique_lock lock(mutex_);
    is_asked_ = true;
    changed_.notify_all();
    if (changed_.wait_for(lock, stop_max, [this] { return has_ended_; })) return;
    // Connections are closed by now; what is left are threads that wait for answers to SELECTs.
    spdlog::warn("reader: the database does not answer: ending without it");
    spdlog::default_logger()->flush();
    std::_Exit(exit_code::ok);
  }

  sigset_t signals_{};
  std::mutex mutex_;  // of what follows
  std::condition_variable changed_;
  bool is_asked_ = false;
  bool has_ended_ = false;
  std::thread thread_;
};

void run(Options& options) {
  const http::Address address = http::parse_address(options.listen);
  reader::check_exposure(address, options.gate.access_is_on(), options.anywhere);
  raise_open_files();

  End end;
  reader::Gate gate(options.gate);
  options.reader.database = options.database.uri;
  options.reader.cache_bytes = options.cache_mib << 20;
  options.reader.pool.wait_max = std::chrono::seconds(options.pool_wait_s);
  options.reader.pool.age_max = std::chrono::seconds(options.pool_recycle_s);
  reader::Reader reader(options.reader);
  reader::Front front(
      reader, gate,
      {DAYBOOK_VERSION, std::chrono::seconds(options.max_age_s), std::chrono::milliseconds(options.slow_ms),
       options.streams.value_or(std::max<std::size_t>(1, options.connections - options.connections / 10))});
  // Also when the server can't listen: the feed calls the front until the reader has stopped.
  const absl::Cleanup stop_reader = [&reader] { reader.stop(); };
  http::ServerLimits limits;
  limits.connections = options.connections;
  http::Server server(address, limits, options.threads, front);
  front.know(server);
  for (const auto& view : reader.views())
    spdlog::info("reader: serves view {}, generation {}", view->definition().name, view->generation());
  spdlog::info("reader: http://{}", server.address());

  end.wait_until_asked();
  spdlog::info("reader: stopping; requests under way are answered");
  front.stop();
  server.stop();
}

}  // namespace

void add_reader_command(CLI::App& app, int& code) {
  auto* command = app.add_subcommand("reader", "Serve the rows over HTTP from memory, told of every commit");
  command->footer(
      "Any number of readers serve the same rows. `/` is a page for people, /openapi.json describes the API.\n"
      "Example:\n  daybook reader --listen 127.0.0.1:8080 --database postgresql://localhost/daybook");
  auto options = std::make_shared<Options>();
  command->add_option("--listen", options->listen, "IP:PORT; port 0: a free one, which the log names")
      ->envname("DAYBOOK_LISTEN")
      ->capture_default_str();
  command->add_flag("--anywhere", options->anywhere, "Let everybody read who reaches --listen, without tokens")
      ->envname("DAYBOOK_ANYWHERE");
  command->add_option("--threads", options->threads, "Threads that serve connections")
      ->envname("DAYBOOK_THREADS")
      ->check(CLI::Range(1, 64))
      ->capture_default_str();
  command->add_option("--connections", options->connections, "Connections at once")
      ->envname("DAYBOOK_CONNECTIONS")
      ->check(CLI::Range(1, 1'000'000))
      ->capture_default_str();
  command
      ->add_option("--streams", options->streams,
                   "Connections that may follow changes, at once; without it nine tenths of --connections")
      ->envname("DAYBOOK_STREAMS")
      ->check(CLI::Range(1, 1'000'000));
  add_database_pool_options(*command, *options);
  add_memory_options(*command, *options);
  add_access_options(*command, *options);
  command->callback([options, &code] {
    run(*options);
    code = exit_code::ok;
  });
}

}  // namespace daybook
