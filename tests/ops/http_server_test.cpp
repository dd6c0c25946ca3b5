// The HTTP server against raw sockets: what it refuses, what it bounds, and that the others are served meanwhile.
#include <doctest/doctest.h>

#include <chrono>
#include <string>
#include <vector>

#include "core/error.h"
#include "http/small_server.h"
#include "tests/support/http_client.h"

using namespace daybook;
using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

namespace {

http::Response echo(const http::Request& request) {
  if (request.path == "/throws") throw std::runtime_error("a secret");
  if (request.path == "/large") return {200, "text/plain", std::string(std::size_t{8} << 20, 'x'), {}};
  return {200, "text/plain", request.method + " " + request.path + " " + request.query, {}};
}

http::ServerLimits short_limits() {
  http::ServerLimits limits;
  limits.connections = 4;
  limits.header_bytes = 1024;
  limits.request_timeout = 150ms;
  limits.answer_timeout = 300ms;
  limits.idle_timeout = 10s;
  return limits;
}

struct Client : test::HttpClient {
  explicit Client(const http::SmallServer& server) : HttpClient(server.port()) {}
};

std::string get(const std::string& target) { return "GET " + target + " HTTP/1.1\r\nHost: h\r\n\r\n"; }

std::string ask(const http::SmallServer& server, const std::string& bytes) { return Client(server).send(bytes).rest(); }

bool is_problem(const std::string& answer, int status) {
  return answer.rfind("HTTP/1.1 " + std::to_string(status) + " ", 0) == 0 &&
         answer.find("\r\nContent-Type: application/problem+json\r\n") != std::string::npos &&
         answer.find("\"status\":" + std::to_string(status)) != std::string::npos &&
         answer.find("\r\nConnection: close\r\n") != std::string::npos;
}

}  // namespace

TEST_CASE("answers, one connection for many") {
  http::SmallServer server(http::parse_address("127.0.0.1:0"), short_limits(), echo);
  Client client(server);
  const std::string first = client.send(get("/a?b=c")).until("GET /a b=c");
  CHECK(first.rfind("HTTP/1.1 200 OK\r\n", 0) == 0);
  CHECK(first.find("\r\nContent-Length: 10\r\n") != std::string::npos);
  CHECK(first.find("\r\nConnection: keep-alive\r\n") != std::string::npos);
  // Two at once are answered in order.
  const std::string both = client.send(get("/1") + get("/2")).until("GET /2 ");
  CHECK(both.find("GET /1 HTTP/1.1 200 OK") != std::string::npos);
  // Nothing is decoded or resolved: it is the handler that knows its paths.
  CHECK(client.send(get("/../../etc/passwd")).until("GET /../../etc/passwd ").find("200 OK") != std::string::npos);
  CHECK(client.send(get("/%2e%2e/x")).until("GET /%2e%2e/x ").find("200 OK") != std::string::npos);
  const std::string last = client.send("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").rest();
  CHECK(last.find("\r\nConnection: close\r\n") != std::string::npos);
  CHECK(ask(server, "GET / HTTP/1.0\r\n\r\n").find("\r\nConnection: close\r\n") != std::string::npos);
}

TEST_CASE("HEAD has GET's header and no body") {
  http::SmallServer server(http::parse_address("127.0.0.1:0"), short_limits(), echo);
  const std::string answer = ask(server, "HEAD /a HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
  CHECK(answer.find("\r\nContent-Length: 8\r\n") != std::string::npos);
  CHECK(answer.substr(answer.size() - 4) == "\r\n\r\n");
}

TEST_CASE("refusals are problems and close the connection") {
  http::SmallServer server(http::parse_address("127.0.0.1:0"), short_limits(), echo);
  const std::string head = " HTTP/1.1\r\nHost: h\r\n";
  const std::vector<std::pair<std::string, int>> cases = {
      {"POST /" + head + "\r\n", 405},
      {"POST /" + head + "Content-Length: 3\r\n\r\nabc", 413},
      {"DELETE /" + head + "\r\n", 405},
      {"OPTIONS *" + head + "\r\n", 405},
      {"GET /" + head + "Content-Length: 3\r\n\r\nabc", 413},
      {"GET /" + head + "Content-Length: 99999999999\r\n\r\n", 413},
      {"GET /" + head + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 413},
      {"GET /" + head + "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
      {"GET /" + head + "Content-Length: 0\r\nContent-Length: 3\r\n\r\nabc", 400},
      {"GET /" + head + "Content-Length: -1\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400},
      {"GET http://h/metrics HTTP/1.1\r\nHost: h\r\n\r\n", 400},
      {"GET / HTTP/3.0\r\nHost: h\r\n\r\n", 505},
      {"GET /\r\n\r\n", 400},
      {"hello\r\n\r\n", 400},
      {std::string("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 11), 400},  // TLS
      {"GET / HTTP/1.1\r\nHost : h\r\n\r\n", 400},
      {"GET /" + head + "A: " + std::string(2000, 'a') + "\r\n\r\n", 431},
      {"GET /" + std::string(5000, 'a') + head + "\r\n", 431},
      {"GET /" + head + "A: " + std::string(200'000, 'a'), 431},  // it never ends
  };
  for (const auto& [bytes, status] : cases) {
    CAPTURE(bytes.substr(0, 100));
    const std::string answer = ask(server, bytes);
    CAPTURE(answer);
    CHECK(is_problem(answer, status));
  }
  CHECK(ask(server, cases[0].first).find("\r\nAllow: GET, HEAD\r\n") != std::string::npos);
  // What a handler throws is for the log only.
  const std::string failed = ask(server, "GET /throws HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
  CHECK(is_problem(failed, 500));
  CHECK(failed.find("secret") == std::string::npos);
}

TEST_CASE("slow clients time out, others are served meanwhile") {
  http::SmallServer server(http::parse_address("127.0.0.1:0"), short_limits(), echo);
  Client slow(server);
  slow.send("GET / HTT");
  Client does_not_read(server);
  does_not_read.send(get("/large"));
  Client other(server);
  CHECK(other.send(get("/x")).until("GET /x ").find("200 OK") != std::string::npos);
  CHECK(is_problem(slow.rest(), 408));
  // 8 MiB do not fit into the socket's buffers: the answer is cut when its time is over, for who reads it then.
  const Clock::time_point begin = Clock::now();
  while (Clock::now() - begin < 600ms)
    CHECK(other.send(get("/x")).until("GET /x ").find("200 OK") != std::string::npos);
  CHECK(does_not_read.rest().size() < std::size_t{8} << 20);
}

TEST_CASE("connections are bounded: idle ones make room, busy ones don't") {
  http::ServerLimits limits = short_limits();
  limits.request_timeout = 10s;
  http::SmallServer server(http::parse_address("127.0.0.1:0"), limits, echo);
  {
    std::vector<std::unique_ptr<Client>> idle;
    for (int i = 0; i < 20; ++i) {
      idle.push_back(std::make_unique<Client>(server));
      CHECK(idle.back()->send(get("/x")).until("GET /x ").find("200 OK") != std::string::npos);
    }
    CHECK(idle.front()->rest().empty());  // closed, without a word
    CHECK(idle.back()->send(get("/y")).until("GET /y ").find("200 OK") != std::string::npos);
  }
  std::vector<std::unique_ptr<Client>> busy;
  std::string answer;
  const Clock::time_point deadline = Clock::now() + 5s;
  do {  // those that were closed above may take a moment to be gone
    busy.push_back(std::make_unique<Client>(server));
    // With the answer to the first request, the server has the begin of the second one, too.
    busy.back()->send(get("/x") + "GET / HTT").until("GET /x ");
    Client one_more(server);
    answer = one_more.send("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").rest();
  } while (!is_problem(answer, 503) && Clock::now() < deadline);
  CHECK(is_problem(answer, 503));
  CHECK(answer.find("\r\nRetry-After: ") != std::string::npos);
}

TEST_CASE("it ends within a second whatever its clients do") {
  auto server = std::make_unique<http::SmallServer>(http::parse_address("127.0.0.1:0"), http::ServerLimits{}, echo);
  Client idle(*server);
  idle.send(get("/x")).until("GET /x ");
  Client slow(*server);
  slow.send("GET / HTT");
  Client does_not_read(*server);
  does_not_read.send(get("/large"));
  Client(*server).send(get("/x")).until("GET /x ");  // by now the others' bytes have been seen
  const Clock::time_point begin = Clock::now();
  server.reset();
  CHECK(Clock::now() - begin < 2s);  // a loaded machine's second
  CHECK(idle.rest().empty());
}

TEST_CASE("addresses") {
  CHECK(http::parse_address("127.0.0.1:9464").port == 9464);
  CHECK(http::parse_address("localhost:1").host == "127.0.0.1");
  CHECK(http::parse_address("[::1]:1").is_loopback);
  CHECK(http::parse_address("127.1.2.3:1").is_loopback);
  CHECK_FALSE(http::parse_address("0.0.0.0:1").is_loopback);
  CHECK_FALSE(http::parse_address("[::]:1").is_loopback);
  for (const char* wrong : {"", "9464", ":9464", "127.0.0.1", "127.0.0.1:", "127.0.0.1:x", "127.0.0.1:70000",
                            "127.0.0.1:-1", "127.0.0.1:80x", "::1:80", "example.org:80", "[127.0.0.1]:80", "[]:80"}) {
    CAPTURE(wrong);
    CHECK_THROWS_AS(http::parse_address(wrong), UsageError);
  }
}

TEST_CASE("an address in use is an error at once") {
  http::SmallServer first(http::parse_address("127.0.0.1:0"), {}, echo);
  CHECK_THROWS_AS(http::SmallServer(http::parse_address(first.address()), {}, echo), UsageError);
}
