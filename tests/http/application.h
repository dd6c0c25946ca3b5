// An application that answers at once, when the test says so, without end, or not at all.
#pragma once

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <future>
#include <map>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "http/message.h"
#include "http/server.h"
#include "tests/support/http_client.h"

namespace daybook::test {

inline std::string get(const std::string& target) { return "GET " + target + " HTTP/1.1\r\nHost: h\r\n\r\n"; }

inline std::size_t count(const std::string& text, const std::string& part) {
  std::size_t found = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++found;
  return found;
}

inline http::BlockPtr text(const std::string& body) { return http::to_block({200, "text/plain", body, {}}); }

class TestApplication : public http::Application {
 public:
  void on_request(const http::Incoming& request, http::Exchange exchange) override {
    const std::string path(request.path);
    const std::lock_guard lock(mutex_);
    seen_.push_back(path);
    changed_.notify_all();
    if (path == "/throws") throw std::runtime_error("a secret");
    if (path == "/drops") return;
    if (path == "/twice") exchange.send(text("first"));
    if (path == "/only-get") return exchange.send(http::to_block(http::problem(405, "no")));
    if (path == "/blocks") {  // its loop, until the test says so
      mutex_.unlock();
      blocked_.get_future().wait();
      mutex_.lock();
      return exchange.send(text("[/blocks]"));
    }
    if (path == "/loop") return exchange.send(text("loop " + std::to_string(exchange.loop().index()) + ";"));
    if (path == "/header") return exchange.send(text(std::string(request.header("x-test"))), "X-Own: 1\r\n");
    if (path == "/large") return exchange.send(large_);
    if (path.rfind("/later", 0) == 0) {
      held_.emplace(path, std::move(exchange));
      return;
    }
    if (path.rfind("/stream", 0) == 0) {
      streams_[path] = exchange.stream("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n");
      loops_[path] = &exchange.loop();
      return;
    }
    exchange.send(text("[" + path + (request.method == http::Method::post ? " by POST]" : "]")));
  }

  // Waits for a request with that path.
  bool has_seen(const std::string& path) {
    return wait([&] { return std::find(seen_.begin(), seen_.end(), path) != seen_.end(); });
  }
  bool saw(const std::string& path) {
    const std::lock_guard lock(mutex_);
    return std::find(seen_.begin(), seen_.end(), path) != seen_.end();
  }
  // Answers a request that was kept; from the test's thread.
  void answer(const std::string& path) { take(path).send(text("[" + path + "]")); }
  http::Exchange take(const std::string& path) {
    if (!wait([&] { return held_.count(path) > 0; })) throw std::runtime_error(path + " was not asked for");
    const std::lock_guard lock(mutex_);
    http::Exchange exchange = std::move(held_.at(path));
    held_.erase(path);
    return exchange;
  }
  // Does something to a stream on its loop's thread; what it returned.
  bool with_stream(const std::string& path, const std::function<bool(http::Stream&)>& act) {
    if (!wait([&] { return streams_.count(path) > 0; })) throw std::runtime_error(path + " did not begin");
    bool done = false;
    bool result = false;
    loops_.at(path)->post([&, stream = streams_.at(path)] {
      const bool value = act(*stream);
      const std::lock_guard lock(mutex_);
      result = value;
      done = true;
      changed_.notify_all();
    });
    if (!wait([&] { return done; })) throw std::runtime_error("the loop does not run");
    return result;
  }
  void unblock() { blocked_.set_value(); }
  void drop_stream(const std::string& path) {
    const std::lock_guard lock(mutex_);
    streams_.erase(path);
  }

 private:
  bool wait(const std::function<bool()>& condition) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(5), condition);
  }

  const http::BlockPtr large_ = text(std::string(std::size_t{8} << 20, 'x'));
  std::promise<void> blocked_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::string> seen_;
  std::map<std::string, http::Exchange> held_;
  std::map<std::string, std::shared_ptr<http::Stream>> streams_;
  std::map<std::string, http::Loop*> loops_;
};

// Looks again and again, for 5 s.
inline bool comes_true(const std::function<bool()>& condition) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(5);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::yield();
  }
  return true;
}

// How many answers of that status the server made by itself.
inline std::uint64_t own_answers(const http::Server& server, unsigned status) {
  const auto found = std::find(http::own_statuses.begin(), http::own_statuses.end(), status);
  return server.figures().own_answers.at(static_cast<std::size_t>(found - http::own_statuses.begin()));
}

// A server with its application.
struct Serving {
  explicit Serving(unsigned loops = 1, const http::ServerLimits& limits = {})
      : server(http::parse_address("127.0.0.1:0"), limits, loops, application) {}
  TestApplication application;
  http::Server server;
};

}  // namespace daybook::test
