// What the HTTP server costs with nothing behind it: answers ready-made blocks that a hash table finds by path. With
// one loop also /stream, which never ends, and /broadcast, which writes one event to all of those.
//
//   http_bench LOOPS BODY_BYTES   prints its address, ends on SIGTERM or SIGINT
#include <absl/container/flat_hash_map.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "http/message.h"
#include "http/server.h"

namespace {

using namespace daybook;

class Rows final : public http::Application {
 public:
  explicit Rows(std::size_t body) {
    for (int i = 0; i < 28'000; ++i)
      rows_["/row/" + std::to_string(i)] = http::to_block({200, "application/json", std::string(body, 'x'), {}});
    absent_ = http::to_block(http::problem(404, "no such row"));
  }
  void on_request(const http::Incoming& request, http::Exchange exchange) override {
    if (request.path == "/stream") {
      streams_.push_back(exchange.stream("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"));
      return;
    }
    if (request.path == "/broadcast") {
      const auto event = std::make_shared<const std::string>("data: " + std::string(280, 'x') + "\n\n");
      for (const auto& stream : streams_) stream->write(event);
    }
    const auto found = rows_.find(absl::string_view(request.path.data(), request.path.size()));
    exchange.send(found == rows_.end() ? absent_ : found->second);
  }

 private:
  absl::flat_hash_map<std::string, http::BlockPtr> rows_;
  http::BlockPtr absent_;
  std::vector<std::shared_ptr<http::Stream>> streams_;  // of the only loop
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: http_bench LOOPS BODY_BYTES\n");
    return 2;
  }
  sigset_t ends;
  sigemptyset(&ends);
  sigaddset(&ends, SIGTERM);
  sigaddset(&ends, SIGINT);
  pthread_sigmask(SIG_BLOCK, &ends, nullptr);
  Rows rows(std::strtoul(argv[2], nullptr, 10));
  http::ServerLimits limits;
  limits.connections = 20'000;
  http::Server server(http::parse_address("127.0.0.1:0"), limits,
                      static_cast<unsigned>(std::strtoul(argv[1], nullptr, 10)), rows);
  std::printf("%s\n", server.address().c_str());
  std::fflush(stdout);
  int signal = 0;
  sigwait(&ends, &signal);
  return 0;
}
