#include "reader/serve/front.h"

#include <spdlog/spdlog.h>

#include "core/error.h"
#include "http/message.h"
#include "reader/api/key.h"
#include "reader/api/text.h"
#include "reader/page/page.h"

namespace daybook::reader {
namespace {

constexpr std::string_view admin_prefix = "/api/admin/";
constexpr unsigned slow_lines_max = 10;  // a second
constexpr std::string_view invalidate_prefix = "/api/admin/cache/invalidate/";

http::Response ok_text() { return {200, "text/plain; charset=utf-8", "ok\n", {}}; }

http::Response not_allowed(const std::string& allowed) {
  http::Response response = http::problem(405, "expected the method " + allowed + " here");
  response.headers.emplace_back("Allow", allowed);
  return response;
}

std::string_view name_of(spdlog::level::level_enum level) {
  const auto name = spdlog::level::to_string_view(level);
  return {name.data(), name.size()};
}

// GET tells the level, POST sets it: ?level=debug.
http::Response log_level(const http::Incoming& request) {
  if (request.method == http::Method::post) {
    constexpr std::string_view parameter = "level=";
    if (!request.query.starts_with(parameter))
      return http::problem(400, "expected ?level=debug, info, warning or error");
    const std::string name(request.query.substr(parameter.size()));
    const auto level = spdlog::level::from_str(name);
    if (level == spdlog::level::off) {  // what from_str() makes of all else
      return http::problem(400, "level " + name + " is none: expected debug, info, warning or error");
    }
    spdlog::set_level(level);
    spdlog::info("admin: log level {}", name);
  }
  return {200, "application/json", "{\"level\":\"" + std::string(name_of(spdlog::get_level())) + "\"}\n", {}};
}

}  // namespace

Front::Front(Reader& reader, Gate& gate, FrontSettings settings)
    : reader_(reader), gate_(gate), settings_(std::move(settings)) {
  reader_.on_views([this](const Reader::Views&) { take_views(); });
  take_views();  // behind that: what changes in between is not missed
}

Front::~Front() { stop(); }

// On the feed's thread, and when it is made. Reads them under the mutex, so that the last one to come takes the newest.
void Front::take_views() {
  const std::lock_guard lock(mutex_);
  std::vector<Rows*> rows;
  for (const auto& view : reader_.views()) rows.push_back(view.get());
  auto api = std::make_unique<Api>(
      std::move(rows),
      [this](const http::Incoming& request) {
        return gate_.admit(request.header("authorization"), request.peer, request.path,
                           std::chrono::system_clock::now());
      },
      ApiSettings{settings_.max_age, settings_.streams_max, settings_.version},
      [this](const Served& served, std::chrono::nanoseconds duration) { note(served, duration); },
      [this](std::string_view authorization) { return gate_.who_is(authorization, std::chrono::system_clock::now()); });
  for (const std::string& conflict : api->conflicts()) spdlog::warn("reader: {}", conflict);
  Api* const former = current_.exchange(api.get());
  apis_.push_back(std::move(api));
  if (former) former->end_streams();  // its clients come back to the new one
  if (stopping_) apis_.back()->stop();
}

void Front::stop() {
  stopping_ = true;
  const std::lock_guard lock(mutex_);
  for (const auto& api : apis_) api->stop();
}

void Front::note(const Served& served, std::chrono::nanoseconds duration) {
  traffic_.count(served.route, served.status, duration);
  // A stream lasts as long as its client wants.
  if (duration < settings_.slow || served.route == "changes") return;
  // Under overload all are slow: a few lines a second say as much as all of them.
  const auto second =
      std::chrono::duration_cast<std::chrono::seconds>(std::chrono::steady_clock::now().time_since_epoch()).count();
  if (slow_second_.exchange(second) != second) slow_lines_ = 0;
  if (++slow_lines_ > slow_lines_max) return;
  spdlog::warn("{}", slow_request(served, duration));
}

Condition Front::condition() const {
  Condition now;
  now.version = settings_.version;
  now.cache = reader_.stats();
  if (const http::Server* server = server_) now.server = server->figures();
  if (const Api* api = current_) now.streams = api->streams();
  now.stopping = stopping_;
  now.process = ops::process_figures();
  return now;
}

void Front::on_request(const http::Incoming& request, http::Exchange exchange) {
  if (request.path.starts_with("/v1/")) return current_.load()->on_request(request, std::move(exchange));
  const auto begun = std::chrono::steady_clock::now();
  std::string headers;
  std::string_view route = "admin";
  const http::BlockPtr block =
      request.path.starts_with(admin_prefix) ? administer(request, headers) : own_answer(request, route);
  if (!block)
    return current_.load()->on_request(request, std::move(exchange));  // aliases of views, the API's description
  traffic_.count(route, block->status, std::chrono::steady_clock::now() - begun);
  exchange.send(block, std::move(headers));
}

http::BlockPtr Front::own_answer(const http::Incoming& request, std::string_view& route) {
  const std::string_view path = request.path;
  if (request.method == http::Method::post) return nullptr;
  route = "page";
  if (http::BlockPtr file = page::find(path)) return file;
  route = "health";
  if (path == "/livez") return http::to_block(ok_text());
  if (path == "/readyz") return http::to_block(readyz(condition()));
  if (path == "/healthz" || path == "/health") return http::to_block(healthz(condition()));
  if (path == "/metrics") return http::to_block(metrics(condition(), traffic_.total()));
  return nullptr;
}

http::BlockPtr Front::administer(const http::Incoming& request, std::string& headers) {
  Admission admission =
      gate_.admit(request.header("authorization"), request.peer, request.path, std::chrono::system_clock::now());
  headers = std::move(admission.headers);
  if (admission.status != 0) return http::to_block(http::problem(admission.status, admission.detail));
  return http::to_block(administer_as(request, *admission.who));
}

http::Response Front::administer_as(const http::Incoming& request, const Identity& who) {
  if (!who.has_scope("admin")) {
    return http::problem(403,
                         "administration needs a token with the scope admin: `daybook tokens new --scope admin`, and"
                         " the reader's --tokens");
  }
  const bool is_post = request.method == http::Method::post;
  const std::string_view path = request.path;
  if (path == "/api/admin/cache/stats") return is_post ? not_allowed("GET") : cache_stats(condition());
  if (path == "/api/admin/log-level") return log_level(request);
  if (path == "/api/admin/cache/clear") {
    if (!is_post) return not_allowed("POST");
    reader_.clear();
    spdlog::info("admin: {} cleared the cache", who.subject);
    return ok_text();
  }
  if (path.starts_with(invalidate_prefix)) {
    if (!is_post) return not_allowed("POST");
    return invalidate(path.substr(invalidate_prefix.size()));
  }
  return http::problem(404,
                       "there is GET /api/admin/cache/stats, POST /api/admin/cache/clear, POST"
                       " /api/admin/cache/invalidate/{view}/{key...} and GET or POST /api/admin/log-level");
}

// {view}/{key...}, as in /v1/views.
http::Response Front::invalidate(std::string_view rest) {
  std::vector<std::string_view> segments;
  for (;;) {
    const std::size_t slash = rest.find('/');
    segments.push_back(rest.substr(0, slash));
    if (slash == std::string_view::npos) break;
    rest.remove_prefix(slash + 1);
  }
  const std::shared_ptr<ViewRows> view = reader_.find(segments.front());
  if (!view) return http::problem(404, "there is no view " + std::string(segments.front()));
  const std::vector<KeyColumn>& columns = view->definition().key;
  if (segments.size() != columns.size() + 1) {
    return http::problem(400, "view " + view->definition().name + ": found " + std::to_string(segments.size() - 1) +
                                  " values of its key, expected " + std::to_string(columns.size()));
  }
  std::string key;
  for (std::size_t i = 0; i < columns.size(); ++i) {
    const std::optional<std::string> value = decode_percent(segments[i + 1]);
    if (!value || !append_value(key, columns[i].type, *value))
      return http::problem(400, columns[i].name + " is not " + std::string(expected_value(columns[i].type)));
  }
  const bool was_there = view->invalidate(key);
  return {200, "application/json", std::string("{\"invalidated\":") + (was_there ? "true" : "false") + "}\n", {}};
}

}  // namespace daybook::reader
