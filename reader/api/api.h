// The reader's HTTP API over the rows of some views: docs/reader.md describes it to those who call it. What is hot is
// answered on the spot, from ready blocks; what has to be loaded or waited for, later.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "http/exchange.h"
#include "reader/api/answer.h"
#include "reader/api/hub.h"
#include "reader/api/negotiation.h"
#include "reader/api/query.h"
#include "reader/api/router.h"
#include "reader/api/served.h"
#include "reader/identity.h"
#include "reader/rows.h"

namespace daybook::reader {

struct ApiSettings {
  std::chrono::milliseconds max_age{30'000};  // what is known to be older is not given: 503
  std::size_t streams_max = 9'000;            // at once; who comes then gets 503
  std::string version = "0.1.0";              // of the program, for the API's description
};

class Api final : public http::Application {
 public:
  using Gate = std::function<Admission(const http::Incoming&)>;
  using Observer = std::function<void(const Served&, std::chrono::nanoseconds)>;
  // Who the holder of that Authorization header is by now; null: it would be refused.
  using WhoIs = std::function<IdentityPtr(std::string_view)>;

  // The rows outlive the API. `observer` and `who_is` may be empty; they are called on any thread.
  Api(std::vector<Rows*> rows, Gate gate, ApiSettings settings, Observer observer = {}, WhoIs who_is = {});
  ~Api() override;

  void on_request(const http::Incoming& request, http::Exchange exchange) override;

  // Ends the streams of changes: another API answers from now on. Requests under way are answered by this one.
  void end_streams();
  // Answers also those who wait for changes. To be called before the server's loops go.
  void stop();

  // Routes of definitions that collide with those of another view, for the log.
  const std::vector<std::string>& conflicts() const { return router_.conflicts(); }
  std::size_t streams() const;

 private:
  struct View;
  struct PerLoop;
  struct Asked;
  using AskedPtr = std::shared_ptr<Asked>;

  bool answer_hot(const http::Incoming& request, const Route& route, Admission& admission, http::Exchange& exchange,
                  std::chrono::steady_clock::time_point begun, bool& is_miss);
  void answer_row(const AskedPtr& asked);
  void finish_row(const AskedPtr& asked, const Result<HotRowPtr>& result) const;
  std::function<bool()> may_stay(const AskedPtr& asked) const;
  void answer_list(const AskedPtr& asked);
  void finish_list(const AskedPtr& asked, const Result<ListPage>& result, const Cost& cost) const;
  void answer_changes(const AskedPtr& asked);
  void answer_views(const AskedPtr& asked) const;
  void answer_openapi(const AskedPtr& asked) const;
  void when_applied(const AskedPtr& asked, const Await& await, std::function<void()> then);
  bool read_key(const AskedPtr& asked) const;

  const PerLoop& age_of(const http::Loop& loop, std::size_t view, std::chrono::steady_clock::time_point now) const;
  PerLoop age_at(Freshness freshness, std::chrono::nanoseconds since) const;
  bool is_fresh(const AskedPtr& asked) const;
  void refuse_stale(const AskedPtr& asked, const PerLoop& age) const;

  void send(const AskedPtr& asked, http::BlockPtr block, std::string headers = {}) const;
  void refuse(const AskedPtr& asked, unsigned status, const std::string& detail, const std::string& head = "") const;
  void refuse(const AskedPtr& asked, const Unavailable& why) const;

  const ApiSettings settings_;
  const Gate gate_;
  const Observer observer_;
  const WhoIs who_is_;
  std::vector<std::unique_ptr<View>> views_;
  Router router_;
  mutable std::atomic<std::int64_t> failure_logged_at_{0};  // seconds
  mutable std::vector<std::vector<PerLoop>> per_loop_;      // by the loop's index and the view; each loop has its own
};

}  // namespace daybook::reader
