// What could make two parties see different ends of a request is refused, and nothing behind it is looked at.
#include <doctest/doctest.h>

#include "tests/http/application.h"

using namespace daybook;
using namespace daybook::test;
using namespace std::chrono_literals;

namespace {

struct Attack {
  const char* name;
  std::string bytes;
  int status;
};

std::string with(const std::string& lines) { return "GET / HTTP/1.1\r\nHost: h\r\n" + lines; }

const std::vector<Attack>& attacks() {
  static const std::vector<Attack> all = {
      {"length, then chunked", with("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), 400},
      {"chunked, then length", with("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n"), 400},
      {"two credentials", with("Authorization: Bearer a\r\nAuthorization: Bearer b\r\n\r\n"), 400},
      {"chunked", with("Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), 413},
      {"chunked, with a bad chunk", with("Transfer-Encoding: chunked\r\n\r\nzz\r\n\r\n"), 413},
      {"chunked, hidden", with("Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"), 413},
      {"chunked, after identity", with("Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
       413},
      {"chunked in HTTP/1.0", "GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 413},
      {"two lengths", with("Content-Length: 0\r\nContent-Length: 5\r\n\r\nabcde"), 400},
      {"the same length twice", with("Content-Length: 0\r\nContent-Length: 0\r\n\r\n"), 400},
      {"a list of lengths", with("Content-Length: 0, 5\r\n\r\nabcde"), 400},
      {"length with a sign", with("Content-Length: +0\r\n\r\n"), 400},
      {"length in hexadecimal", with("Content-Length: 0x0\r\n\r\n"), 400},
      {"length too large for 64 bits", with("Content-Length: 99999999999999999999\r\n\r\n"), 400},
      {"a body", with("Content-Length: 5\r\n\r\nabcde"), 413},
      {"a body of POST", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nabcde", 413},
      {"a folded line", with("A: b\r\n c\r\n\r\n"), 400},
      {"a folded length", with("Content-Length:\r\n 5\r\n\r\nabcde"), 413},
      {"line feed alone behind the request line", "GET / HTTP/1.1\nHost: h\r\n\r\n", 400},
      {"line feed alone behind a header line", "GET / HTTP/1.1\r\nHost: h\nA: b\r\n\r\n", 400},
      {"carriage return alone", with("A: b\rc\r\n\r\n"), 400},
      {"space before the colon", with("Content-Length : 5\r\n\r\nabcde"), 400},
      {"space before a name", "GET / HTTP/1.1\r\n Host: h\r\n\r\n", 400},
      {"NUL in a value", with(std::string("A: b\0c\r\n\r\n", 10)), 400},
      {"NUL in a name", with(std::string("A\0: b\r\n\r\n", 9)), 400},
      {"NUL in the path", std::string("GET /\0 HTTP/1.1\r\nHost: h\r\n\r\n", 28), 400},
      {"a line without colon", with("abc\r\n\r\n"), 400},
      {"a line without name", with(": abc\r\n\r\n"), 400},
      {"two hosts", with("Host: i\r\n\r\n"), 400},
      {"no host", "GET / HTTP/1.1\r\n\r\n", 400},
      {"another method", "PUT / HTTP/1.1\r\nHost: h\r\n\r\n", 405},
      {"an unknown method", "SMUGGLE / HTTP/1.1\r\nHost: h\r\n\r\n", 405},
      {"a tunnel", "CONNECT h:1 HTTP/1.1\r\nHost: h\r\n\r\n", 405},
      {"HTTP/2 in clear text", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505},
      {"101 lines", with([] {
         std::string lines;
         for (int i = 0; i < 101; ++i) lines += "A: b\r\n";
         return lines + "\r\n";
       }()),
       431},
      {"a huge value", with("A: " + std::string(9'000, 'a') + "\r\n\r\n"), 431},
  };
  return all;
}

}  // namespace

TEST_CASE("framing attacks are refused, and what is behind them is not a request") {
  Serving serving;
  std::map<unsigned, std::uint64_t> expected;
  for (const Attack& attack : attacks()) {
    CAPTURE(attack.name);
    expected[static_cast<unsigned>(attack.status)] += 2;
    // In one piece, and with a request before it.
    for (const std::string& before : {std::string(), get("/before")}) {
      HttpClient client(serving.server.port());
      const std::string answer = client.send(before + attack.bytes + get("/smuggled")).rest();
      CAPTURE(answer);
      const std::size_t at = answer.rfind("HTTP/1.1 ");
      REQUIRE(at != std::string::npos);
      CHECK(answer.substr(at + 9, 3) == std::to_string(attack.status));
      CHECK(answer.find("application/problem+json", at) != std::string::npos);
      CHECK(answer.find("\r\nConnection: close\r\n", at) != std::string::npos);
      CHECK(count(answer, "HTTP/1.1 ") == (before.empty() ? 1 : 2));
    }
  }
  CHECK_FALSE(serving.application.saw("/smuggled"));
  for (const unsigned status : http::own_statuses) {
    CAPTURE(status);
    CHECK(own_answers(serving.server, status) == expected[status]);
  }
}

TEST_CASE("a request may come in any pieces") {
  Serving serving;
  const std::string request = "GET /header HTTP/1.1\r\nHost: h\r\nX-Test: abc\r\n\r\n";
  for (std::size_t first = 1; first < request.size(); ++first) {
    HttpClient client(serving.server.port());
    client.send(get("/before")).until("[/before]");  // the server waits for the next one
    client.send(request.substr(0, first));
    // Another connection's request uses the same buffer in between.
    HttpClient(serving.server.port()).send(get("/other")).until("[/other]");
    const std::string answer = client.send(request.substr(first)).until("\r\n\r\nabc");
    CHECK(answer.find("200 OK") != std::string::npos);
    CHECK(answer.find("\r\nX-Own: 1\r\n") != std::string::npos);
  }
  HttpClient client(serving.server.port());
  for (const char byte : request) client.send(std::string(1, byte));
  CHECK(client.until("\r\n\r\nabc").find("200 OK") != std::string::npos);
}

TEST_CASE("POST comes without a body") {
  Serving serving;
  for (const char* lines : {"", "Content-Length: 0\r\n"}) {
    HttpClient client(serving.server.port());
    client.send(std::string("POST /x HTTP/1.1\r\nHost: h\r\n") + lines + "\r\n" + get("/y"));
    CHECK(client.until("[/x by POST]").find("200 OK") != std::string::npos);
    CHECK(client.until("[/y]").find("200 OK") != std::string::npos);
  }
}

TEST_CASE("a client may send its header slowly, but not forever") {
  http::ServerLimits limits;
  limits.request_timeout = 100ms;
  limits.header_bytes = 64 * 1024;
  Serving serving(1, limits);
  HttpClient slow(serving.server.port());
  slow.send(get("/first")).until("[/first]");
  slow.send("GET / HTTP/1.1\r\n");
  HttpClient other(serving.server.port());
  CHECK(comes_true([&] {
    slow.send("A: b\r\n");  // further bytes win no time
    other.send(get("/other")).until("[/other]");
    return slow.has_bytes();
  }));
  CHECK(slow.until("\r\n").rfind("HTTP/1.1 408 ", 0) == 0);
  CHECK(own_answers(serving.server, 408) == 1);
}
