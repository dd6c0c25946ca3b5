// All that a reader answers: the API, the page, health and metrics, administration. Chooses who answers a request;
// the API follows when views come and go.
#pragma once

#include <atomic>
#include <chrono>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "http/exchange.h"
#include "http/server.h"
#include "reader/access/gate.h"
#include "reader/api/api.h"
#include "reader/reader.h"
#include "reader/serve/report.h"
#include "reader/serve/traffic.h"

namespace daybook::reader {

struct FrontSettings {
  std::string version;
  std::chrono::milliseconds max_age{30'000};
  std::chrono::milliseconds slow{500};  // requests that take longer are in the log
  std::size_t streams_max = 9'000;      // of changes, at once
};

class Front final : public http::Application {
 public:
  // Both outlive it; the reader is stopped before it goes.
  Front(Reader& reader, Gate& gate, FrontSettings settings);
  ~Front() override;

  void on_request(const http::Incoming& request, http::Exchange exchange) override;

  // For figures; the server is made after its application.
  void know(const http::Server& server) { server_ = &server; }
  // Before the server stops: /readyz says so, streams and waits end.
  void stop();

 private:
  void take_views();
  Condition condition() const;
  // Null: the path is not one of these.
  http::BlockPtr own_answer(const http::Incoming& request, std::string_view& route);
  http::BlockPtr administer(const http::Incoming& request, std::string& headers);
  http::Response administer_as(const http::Incoming& request, const Identity& who);
  http::Response invalidate(std::string_view rest);
  void note(const Served& served, std::chrono::nanoseconds duration);

  Reader& reader_;
  Gate& gate_;
  const FrontSettings settings_;
  Traffic traffic_;
  std::atomic<const http::Server*> server_{nullptr};
  std::atomic<bool> stopping_{false};
  std::atomic<std::int64_t> slow_second_{0};
  std::atomic<unsigned> slow_lines_{0};

  // An API for each set of views that there was: views rarely change, and requests of a former one may be under way.
  mutable std::mutex mutex_;
  std::vector<std::unique_ptr<Api>> apis_;
  std::atomic<Api*> current_{nullptr};
};

}  // namespace daybook::reader
