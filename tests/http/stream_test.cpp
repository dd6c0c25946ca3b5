// Endless answers: shared bytes, clients that leave, clients that do not keep up, the server's end.
#include <doctest/doctest.h>

#include <future>

#include "tests/http/application.h"

using namespace daybook;
using namespace daybook::test;
using namespace std::chrono_literals;

namespace {

std::shared_ptr<const std::string> event(const std::string& text) { return std::make_shared<std::string>(text); }

}  // namespace

TEST_CASE("a stream's bytes go to all who listen, in order") {
  Serving serving;
  HttpClient one(serving.server.port());
  HttpClient other(serving.server.port());
  one.send(get("/x") + get("/stream1"));
  other.send(get("/stream2"));
  CHECK(one.until("[/x]").find("200 OK") != std::string::npos);
  const auto shared = event("data: 1\n\n");
  for (const char* path : {"/stream1", "/stream2"}) {
    CHECK(serving.application.with_stream(path, [&](http::Stream& stream) {
      const bool fine = stream.write(shared) && stream.write(event("")) && stream.write(event("data: 2\n\n"));
      return fine && !stream.has_ended();
    }));
  }
  for (HttpClient* client : {&one, &other}) {
    const std::string head = client->until("\r\n\r\n");
    CHECK(head.find("\r\nConnection: close\r\n") != std::string::npos);
    CHECK(head.find("\r\nContent-Type: text/event-stream\r\n") != std::string::npos);
    CHECK(client->until("2\n\n") == "data: 1\n\ndata: 2\n\n");
  }
  CHECK(serving.server.figures().streams == 2);
  serving.application.with_stream("/stream1", [](http::Stream& stream) {
    stream.write(event("last"));
    stream.end();
    return !stream.write(event("too late"));
  });
  CHECK(one.rest() == "last");
  serving.application.drop_stream("/stream2");  // its last handle is gone, on another thread
  CHECK(other.rest().empty());
}

TEST_CASE("a stream that began before earlier answers waits for its turn; what is behind it is not asked") {
  Serving serving;
  HttpClient client(serving.server.port());
  client.send(get("/later") + get("/stream") + get("/behind"));
  CHECK(serving.application.with_stream("/stream", [](http::Stream& stream) { return stream.write(event("data")); }));
  serving.application.answer("/later");
  const std::string all = client.until("data");
  CHECK(count(all, "HTTP/1.1 200 OK") == 2);
  CHECK(all.find("[/later]HTTP/1.1 200 OK") != std::string::npos);
  CHECK_FALSE(serving.application.saw("/behind"));
}

TEST_CASE("a stream knows when its client is gone") {
  Serving serving;
  for (const bool resets : {false, true}) {
    const std::string path = resets ? "/stream-reset" : "/stream-closed";
    {
      HttpClient client(serving.server.port());
      client.send(get(path)).until("\r\n\r\n");
      if (resets) client.reset_at_end();
    }
    CHECK(comes_true([&] {
      return serving.application.with_stream(path, [](http::Stream& stream) { return stream.has_ended(); });
    }));
    CHECK_FALSE(serving.application.with_stream(path, [](http::Stream& stream) { return stream.write(event("x")); }));
  }
  CHECK(serving.server.figures().streams == 0);
}

TEST_CASE("a client that does not read is ended, the others go on") {
  http::ServerLimits limits;
  limits.stream_bytes = 256 * 1024;
  Serving serving(1, limits);
  HttpClient slow(serving.server.port());
  HttpClient quick(serving.server.port());
  slow.send(get("/stream-slow")).until("\r\n\r\n");
  quick.send(get("/stream-quick")).until("\r\n\r\n");
  const auto block = event(std::string(64 * 1024, 'x') + "|");
  // What the system's own buffers take is limited; then the queue fills, up to its limit.
  CHECK(comes_true([&] {
    return !serving.application.with_stream("/stream-slow", [&](http::Stream& stream) { return stream.write(block); });
  }));
  CHECK(serving.application.with_stream("/stream-slow", [](http::Stream& stream) { return stream.has_ended(); }));
  CHECK(serving.application.with_stream("/stream-quick", [&](http::Stream& stream) { return stream.write(block); }));
  CHECK(quick.until("|").size() == block->size());
  CHECK(comes_true([&] { return serving.server.figures().connections == 1; }));
}

TEST_CASE("a client that stops reading is ended though little is sent") {
  http::ServerLimits limits;
  limits.answer_timeout = 100ms;
  limits.stream_bytes = std::size_t{64} << 20;
  Serving serving(1, limits);
  HttpClient slow(serving.server.port());
  slow.send(get("/stream")).until("\r\n\r\n");
  // More than the system's buffers take, and less than the queue.
  serving.application.with_stream(
      "/stream", [](http::Stream& stream) { return stream.write(event(std::string(std::size_t{16} << 20, 'x'))); });
  CHECK(comes_true([&] { return serving.server.figures().connections == 0; }));
}

TEST_CASE("streams end with the server, with all that was written") {
  auto serving = std::make_unique<Serving>(2);
  std::vector<std::unique_ptr<HttpClient>> clients;
  for (int i = 0; i < 10; ++i) {
    const std::string path = "/stream" + std::to_string(i);
    clients.push_back(std::make_unique<HttpClient>(serving->server.port()));
    clients.back()->send(get(path)).until("\r\n\r\n");
    serving->application.with_stream(path, [](http::Stream& stream) { return stream.write(event("last")); });
  }
  auto stopped = std::async(std::launch::async, [&] { serving->server.stop(); });
  for (const auto& client : clients) CHECK(client->rest() == "last");
  clients.clear();
  CHECK(stopped.wait_for(5s) == std::future_status::ready);
}
