// Answers: their order, who may give them and when, and what becomes of those that nobody gives.
#include <doctest/doctest.h>

#include <future>
#include <set>

#include "core/error.h"
#include "tests/http/application.h"

using namespace daybook;
using namespace daybook::test;
using namespace std::chrono_literals;

TEST_CASE("pipelined answers go out in order, whenever they are given") {
  Serving serving;
  HttpClient client(serving.server.port());
  client.send(get("/1") + get("/later2") + get("/3") + get("/later4") + get("/5"));
  CHECK(client.until("[/1]").find("200 OK") != std::string::npos);
  CHECK(serving.application.has_seen("/5"));  // deferred ones do not hold up those behind them
  serving.application.answer("/later4");
  CHECK(serving.application.has_seen("/later2"));
  // Whatever came now would be out of order.
  HttpClient(serving.server.port()).send(get("/other")).until("[/other]");
  CHECK_FALSE(client.has_bytes());
  serving.application.answer("/later2");
  const std::string rest = client.until("[/5]");
  CHECK(rest.find("[/later2]") < rest.find("[/3]"));
  CHECK(rest.find("[/3]") < rest.find("[/later4]"));
  CHECK(count(rest, "HTTP/1.1 200 OK") == 4);
}

TEST_CASE("answers that are ready together are written together") {
  Serving serving;
  HttpClient client(serving.server.port());
  std::string requests = get("/later");
  for (int i = 0; i < 30; ++i) requests += get("/" + std::to_string(i));
  client.send(requests);
  CHECK(serving.application.has_seen("/29"));
  serving.application.answer("/later");
  const std::string all = client.until("[/29]");
  CHECK(client.segments() == 1);  // each write of its own would be one
  CHECK(count(all, "HTTP/1.1 200 OK") == 31);
}

TEST_CASE("more requests than may wait are read when there is room again") {
  http::ServerLimits limits;
  limits.pipelined = 4;
  Serving serving(1, limits);
  HttpClient client(serving.server.port());
  std::string requests = get("/later");
  for (int i = 0; i < 100; ++i) requests += get("/" + std::to_string(i) + ".");
  client.send(requests);
  CHECK(serving.application.has_seen("/2."));
  HttpClient(serving.server.port()).send(get("/other")).until("[/other]");
  CHECK_FALSE(serving.application.saw("/3."));
  serving.application.answer("/later");
  CHECK(count(client.until("[/99.]"), "HTTP/1.1 200 OK") == 101);
}

TEST_CASE("HEAD has no body, pipelined and large ones neither") {
  Serving serving;
  HttpClient client(serving.server.port());
  const auto head = [](const std::string& target) { return "HEAD " + target + " HTTP/1.1\r\nHost: h\r\n\r\n"; };
  client.send(head("/a") + head("/large") + head("/stream") + get("/b"));
  const std::string all = client.rest();  // the stream ends the connection
  CHECK(all.find("\r\nContent-Length: 4\r\n") != std::string::npos);
  CHECK(all.find("\r\nContent-Length: 8388608\r\n") != std::string::npos);
  CHECK(all.find("\r\n\r\n\r\n") == std::string::npos);
  CHECK(count(all, "\r\n\r\nHTTP/1.1 200 OK\r\n") == 2);
  CHECK(all.substr(all.size() - 4) == "\r\n\r\n");
}

TEST_CASE("an answer is given once; one that is never given is a 500") {
  Serving serving;
  HttpClient client(serving.server.port());
  client.send(get("/twice") + get("/drops") + get("/throws") + get("/x"));
  const std::string all = client.until("[/x]");
  CHECK(count(all, "HTTP/1.1 ") == 4);
  CHECK(count(all, "first") == 1);
  CHECK(count(all, "HTTP/1.1 500 ") == 2);
  CHECK(count(all, "application/problem+json") == 2);
  CHECK(all.find("secret") == std::string::npos);
  client.send(get("/later"));
  { const http::Exchange dropped = serving.application.take("/later"); }  // on another thread
  CHECK(client.until("\r\n").rfind("HTTP/1.1 500 ", 0) == 0);
  CHECK(own_answers(serving.server, 500) == 3);
}

TEST_CASE("a 405 of the application ends the connection") {
  Serving serving;
  HttpClient client(serving.server.port());
  client.send(get("/later") + get("/only-get") + get("/behind"));
  CHECK(serving.application.has_seen("/only-get"));
  serving.application.answer("/later");
  const std::string answers = client.rest();
  CHECK(count(answers, "HTTP/1.1 ") == 2);
  CHECK(count(answers, "\r\nConnection: close\r\n") == 1);
  CHECK(own_answers(serving.server, 405) == 0);  // the application counts its own
}

TEST_CASE("a client that has ended its side still gets its answers") {
  Serving serving;
  HttpClient client(serving.server.port());
  client.send(get("/1") + get("/later") + get("/3") + "GET /unfinished");
  client.end();
  CHECK(serving.application.has_seen("/3"));
  serving.application.answer("/later");
  const std::string all = client.rest();
  CHECK(count(all, "HTTP/1.1 200 OK") == 3);
  CHECK(all.substr(all.size() - 4) == "[/3]");
}

TEST_CASE("a client that is gone costs nothing; its answer goes nowhere") {
  Serving serving;
  {
    HttpClient client(serving.server.port());
    client.send(get("/later"));
    CHECK(serving.application.has_seen("/later"));
    client.reset_at_end();
  }
  CHECK(comes_true([&] { return serving.server.figures().connections == 0; }));
  serving.application.answer("/later");
  CHECK(HttpClient(serving.server.port()).send(get("/x")).until("[/x]").find("200 OK") != std::string::npos);
}

TEST_CASE("a large answer is taken in pieces, with the next ones behind it") {
  Serving serving;
  HttpClient client(serving.server.port());
  client.send(get("/large") + get("/large") + get("/x"));
  const std::string all = client.until("[/x]");
  CHECK(all.size() > 2 * (std::size_t{8} << 20));
  CHECK(count(all, "HTTP/1.1 200 OK") == 3);
  CHECK(all.find("xHTTP/1.1 200 OK") != std::string::npos);
}

TEST_CASE("loops share an address, and nobody else gets it") {
  Serving serving(2);
  std::set<std::string> loops;
  std::vector<std::unique_ptr<HttpClient>> clients;
  for (int i = 0; i < 100 && loops.size() < 2; ++i) {
    clients.push_back(std::make_unique<HttpClient>(serving.server.port()));
    const std::string answer = clients.back()->send(get("/loop")).until(";");
    loops.insert(answer.substr(answer.find("loop ")));
  }
  CHECK(loops == std::set<std::string>{"loop 0;", "loop 1;"});
  TestApplication other;
  for (unsigned count : {1u, 2u})
    CHECK_THROWS_AS(http::Server(http::parse_address(serving.server.address()), {}, count, other), UsageError);
}

TEST_CASE("connections are bounded over all loops") {
  http::ServerLimits limits;
  limits.connections = 8;
  Serving serving(2, limits);
  std::vector<std::unique_ptr<HttpClient>> clients;
  for (int i = 0; i < 40; ++i) {
    clients.push_back(std::make_unique<HttpClient>(serving.server.port()));
    clients.back()->send(get("/x")).until("\r\n\r\n");
    CHECK(serving.server.figures().connections <= 8);
  }
  const auto figures = serving.server.figures();
  CHECK(figures.connections == 8);
}

TEST_CASE("an exchange may outlive its server") {
  auto application = std::make_unique<TestApplication>();
  auto server = std::make_unique<http::Server>(
      http::parse_address("127.0.0.1:0"),
      [] {
        http::ServerLimits limits;
        limits.drain_timeout = 50ms;
        return limits;
      }(),
      1, *application);
  HttpClient client(server->port());
  client.send(get("/later1") + get("/later2"));
  CHECK(application->has_seen("/later2"));
  server.reset();
  CHECK(client.rest().empty());
  application->answer("/later1");
  application.reset();
}
