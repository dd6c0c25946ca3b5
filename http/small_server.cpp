#include "http/small_server.h"

namespace daybook::http {

class SmallServer::Answers final : public Application {
 public:
  explicit Answers(Handler handler) : handler_(std::move(handler)) {}

  void on_request(const Incoming& request, Exchange exchange) override {
    if (request.method == Method::post) {
      Response response = problem(405, "only GET and HEAD are answered here");
      response.headers.emplace_back("Allow", "GET, HEAD");
      return exchange.send(to_block(response));
    }
    const char* const method = request.method == Method::head ? "HEAD" : "GET";
    exchange.send(to_block(handler_({method, std::string(request.path), std::string(request.query)})));
  }

 private:
  const Handler handler_;
};

SmallServer::SmallServer(const Address& address, ServerLimits limits, Handler handler)
    : answers_(std::make_unique<Answers>(std::move(handler))) {
  limits.drain_timeout = std::chrono::milliseconds(500);
  server_ = std::make_unique<Server>(address, limits, 1, *answers_);
}

SmallServer::~SmallServer() = default;

}  // namespace daybook::http
