// The server's end: no request that it has taken goes without its answer.
#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <future>
#include <memory>
#include <thread>
#include <vector>

#include "tests/http/application.h"

using namespace daybook;
using namespace daybook::test;
using namespace std::chrono_literals;

namespace {

// Begins to stop the server; returns once it takes no more connections.
std::future<void> begin_stop(http::Server& server) {
  const std::uint16_t port = server.port();
  auto stopped = std::async(std::launch::async, [&server] { server.stop(); });
  CHECK(comes_true([&] {
    try {
      HttpClient probe(port);
      return false;
    } catch (const std::runtime_error&) {
      return true;
    }
  }));
  return stopped;
}

}  // namespace

TEST_CASE("requests under way, pipelined and half sent ones get their answers when the server stops") {
  Serving serving;
  HttpClient deferred(serving.server.port());
  HttpClient half(serving.server.port());
  HttpClient idle(serving.server.port());
  idle.send(get("/idle")).until("[/idle]");
  deferred.send(get("/later1") + get("/2") + get("/later3"));
  half.send(get("/first") + "GET /half HT").until("[/first]");
  CHECK(serving.application.has_seen("/later3"));
  auto stopped = begin_stop(serving.server);
  CHECK(idle.rest().empty());
  half.send("TP/1.1\r\nHost: h\r\n\r\n");
  const std::string answer = half.rest();
  CHECK(answer.find("\r\nConnection: close\r\n") != std::string::npos);
  CHECK(answer.substr(answer.size() - 7) == "[/half]");
  // While it stops, what is sent on a connection with a request under way is still answered.
  deferred.send(get("/4"));
  CHECK(serving.application.has_seen("/4"));
  CHECK(stopped.wait_for(0s) == std::future_status::timeout);
  serving.application.answer("/later1");
  serving.application.answer("/later3");
  const std::string answers = deferred.rest();
  CHECK(count(answers, "HTTP/1.1 200 OK") == 4);
  CHECK(answers.find("\r\nConnection: close\r\n") > answers.find("[/later3]"));
  CHECK(answers.substr(answers.size() - 4) == "[/4]");
  CHECK(stopped.wait_for(5s) == std::future_status::ready);
}

TEST_CASE("the server stops though a request never gets its answer") {
  http::ServerLimits limits;
  limits.drain_timeout = 200ms;
  Serving serving(1, limits);
  HttpClient client(serving.server.port());
  client.send(get("/later"));
  CHECK(serving.application.has_seen("/later"));
  serving.server.stop();
  CHECK(client.rest().empty());
}

TEST_CASE("clients that ask all the time lose no request when the server stops") {
  for (int round = 0; round < 3; ++round) {
    CAPTURE(round);
    Serving serving(2);
    std::atomic<int> answered{0};
    std::atomic<int> served{0};  // clients that had an answer: who only connects while a listener closes is refused
    std::atomic<int> cut{0};
    std::vector<std::thread> clients;
    for (int i = 0; i < 8; ++i) {
      clients.emplace_back([&, pipelined = i % 2 == 0] {
        HttpClient client(serving.server.port());
        for (bool is_first = true;; is_first = false) {
          client.send(pipelined ? get("/a") + get("/z") : get("/z"));
          const std::string answer = client.until("[/z]");
          if (answer.find("<ended>") != std::string::npos) {
            ++cut;
            return;
          }
          ++answered;
          if (is_first) ++served;
          if (answer.find("\r\nConnection: close\r\n") != std::string::npos) return;
        }
      });
    }
    CHECK(comes_true([&] { return answered > 200 && served == 8; }));
    serving.server.stop();
    for (std::thread& client : clients) client.join();
    CHECK(cut == 0);
  }
}

TEST_CASE("a client that has just got an answer has time to send the next request") {
  Serving serving;
  HttpClient holds(serving.server.port());
  holds.send(get("/later"));
  CHECK(serving.application.has_seen("/later"));
  HttpClient client(serving.server.port());
  const auto begun = std::chrono::steady_clock::now();
  client.send(get("/first")).until("[/first]");
  auto stopped = begin_stop(serving.server);
  // Its connection is closed once the time for that is over, and not before.
  CHECK(client.rest().empty());
  CHECK(std::chrono::steady_clock::now() - begun >= 200ms);
  serving.application.answer("/later");
  CHECK(holds.rest().find("[/later]") != std::string::npos);
  CHECK(stopped.wait_for(5s) == std::future_status::ready);
}

TEST_CASE("connections that the server has not taken yet are served when it stops") {
  Serving serving(2);
  // The loop of a connection is the system's choice: until there is one on each.
  std::unique_ptr<HttpClient> blocked, other;
  while (!blocked || !other) {
    auto client = std::make_unique<HttpClient>(serving.server.port());
    const bool is_first = client->send(get("/loop")).until(";").ends_with("loop 0;");
    (is_first ? blocked : other) = std::move(client);
  }
  other->send(get("/stream")).until("\r\n\r\n");
  blocked->send(get("/blocks"));
  CHECK(serving.application.has_seen("/blocks"));
  std::vector<std::unique_ptr<HttpClient>> clients;
  for (int i = 0; i < 32; ++i) {
    clients.push_back(std::make_unique<HttpClient>(serving.server.port()));
    clients.back()->send(get("/x"));
  }
  auto stopped = std::async(std::launch::async, [&] { serving.server.stop(); });
  // The first loop is told before the second one, whose stream has ended now.
  CHECK(other->rest().empty());
  serving.application.unblock();
  for (const auto& client : clients) CHECK(client->rest().ends_with("[/x]"));
  CHECK(blocked->rest().ends_with("[/blocks]"));
  CHECK(stopped.wait_for(5s) == std::future_status::ready);
}

TEST_CASE("a stream that begins while the server stops ends at once") {
  Serving serving;
  HttpClient client(serving.server.port());
  client.send(get("/later"));
  CHECK(serving.application.has_seen("/later"));
  auto stopped = begin_stop(serving.server);
  client.send(get("/stream"));
  CHECK(serving.application.has_seen("/stream"));
  CHECK(serving.application.with_stream("/stream", [](http::Stream& stream) { return stream.has_ended(); }));
  serving.application.answer("/later");
  const std::string answers = client.rest();
  CHECK(answers.find("[/later]") != std::string::npos);
  CHECK(answers.find("Content-Type: text/event-stream\r\n") != std::string::npos);
  CHECK(answers.ends_with("\r\n\r\n"));
  CHECK(stopped.wait_for(5s) == std::future_status::ready);
}
