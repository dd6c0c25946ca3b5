// What bounds a server: in number, size and time.
#pragma once

#include <chrono>
#include <cstddef>

namespace daybook::http {

struct ServerLimits {
  std::size_t connections =
      64;  // of all loops; when all are taken, the one that has been idle longest makes room, else 503
  std::size_t header_bytes = 8 * 1024;
  std::size_t pipelined = 64;                        // requests of one connection that wait for their answers
  std::size_t stream_bytes = std::size_t{1} << 20;   // queued for a stream's client; one that is slower is closed
  std::chrono::milliseconds request_timeout{5'000};  // from a request's first byte to its last
  std::chrono::milliseconds idle_timeout{75'000};    // between two requests; longer than the usual scrape intervals
  std::chrono::milliseconds answer_timeout{5'000};   // for a client to take its answer, or to keep up with a stream
  std::chrono::milliseconds drain_timeout{10'000};   // for requests under way when the server stops
};

}  // namespace daybook::http
