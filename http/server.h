// A small HTTP/1.1 server for what people and tools look at: GET and HEAD, ready-made answers, one thread of its own.
// It knows nothing of Daybook but its error types.
//
// It is meant for untrusted input and few clients: connections, headers and times are bounded, and a request with a
// body is refused, so that where it ends is never in question.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "http/message.h"

namespace daybook::http {

struct ServerLimits {
  std::size_t connections = 64;  // when all are taken, the one that has been idle longest makes room, else 503
  std::size_t header_bytes = 8 * 1024;
  std::chrono::milliseconds request_timeout{5'000};  // from a request's first byte to its last
  std::chrono::milliseconds idle_timeout{75'000};    // between two requests; longer than the usual scrape intervals
  std::chrono::milliseconds answer_timeout{5'000};   // for a client to take its answer
};

struct Address {
  std::string host;  // an IP address
  std::uint16_t port = 0;
  bool is_loopback = false;
};
// Reads "127.0.0.1:9464", "[::1]:9464" or "localhost:9464". Throws UsageError.
Address parse_address(const std::string& text);

class Server {
 public:
  // Listens at once; port 0 takes a free one. Throws UsageError when the address can't be had.
  Server(const Address& address, ServerLimits limits, Handler handler);
  // Ends within a second: idle connections are closed at once, answers under way have half a second.
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  // Where it listens: "127.0.0.1:40123".
  std::string address() const;
  std::uint16_t port() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace daybook::http
