// An HTTP/1.1 server: GET, HEAD and POST without a body, pipelined or not; answers now, later, or without end. Loops
// with a thread each share an address by SO_REUSEPORT. It knows nothing of Daybook but its error types.
//
// It is meant for untrusted input: connections, headers and times are bounded, and a request with a body is refused, so
// that where it ends is never in question.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "http/exchange.h"
#include "http/limits.h"

namespace daybook::http {

struct Address {
  std::string host;  // an IP address
  std::uint16_t port = 0;
  bool is_loopback = false;
};
// Reads "127.0.0.1:9464", "[::1]:9464" or "localhost:9464". Throws UsageError.
Address parse_address(const std::string& text);

// Of requests that no application answered: refused before one saw them, or (500) dropped by it.
inline constexpr std::array<unsigned, 7> own_statuses = {400, 405, 408, 413, 431, 500, 505};

struct ServerFigures {
  std::size_t connections = 0;
  std::size_t streams = 0;
  std::uint64_t turned_away = 0;  // since the start, for want of room
  // Since the start: answers that the server made by itself, in the order of own_statuses.
  std::array<std::uint64_t, own_statuses.size()> own_answers{};
};

class Server {
 public:
  // Listens at once; port 0 takes a free one. Throws UsageError when the address can't be had. `application` has to
  // outlive the server.
  Server(const Address& address, const ServerLimits& limits, unsigned loops, Application& application);
  ~Server();  // stops it
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  // Takes no more connections, answers the requests under way, closes idle connections and streams; returns when all
  // are gone or the drain timeout is over. Loops and their tasks end with it.
  void stop();

  // Where it listens: "127.0.0.1:40123".
  std::string address() const;
  std::uint16_t port() const;
  ServerFigures figures() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace daybook::http
