// Health: for machines that restart or route (/livez, /readyz), and for people (/healthz).
#include <algorithm>
#include <nlohmann/json.hpp>

#include "ops/endpoint.h"

namespace daybook::ops {
namespace {

using Json = nlohmann::ordered_json;

std::string text_of(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace); }

double seconds_since(const Worker& worker, std::chrono::steady_clock::time_point at) {
  return std::chrono::duration<double>(worker.now - at).count();
}

std::string in_seconds(std::chrono::steady_clock::duration age) {
  return std::to_string(std::chrono::duration_cast<std::chrono::seconds>(age).count()) + " s";
}

// Why a view does not read; empty when it does.
std::string why_not_ready(const Worker& worker, const ViewStatus& view) {
  if (!view.is_ready()) return view.reason.empty() ? to_string(view.state) : view.reason;
  const auto age = worker.now - view.stepped_at;
  if (age <= ready_within) return "";
  return "the loop has made no step for " + in_seconds(age) + ": a call to the broker or the database does not return";
}

http::Response unavailable(const std::string& detail, const Json& views) {
  return http::problem(503, detail, "\"views\":" + text_of(views));
}

http::Response ok() { return {200, "text/plain; charset=utf-8", "ok\n", {}}; }

Json partitions_of(const ViewStatus& view) {
  Json all = Json::array();
  for (const PartitionStatus& partition : view.partitions) {
    Json one = {{"topic", partition.name.topic},
                {"partition", partition.name.partition},
                {"next_offset", partition.next_offset}};
    one["lag_records"] =
        partition.log_end ? Json(std::max<std::int64_t>(0, *partition.log_end - partition.next_offset)) : Json(nullptr);
    all.push_back(std::move(one));
  }
  return all;
}

// Of all its partitions; null when the end of one is not known yet.
Json lag_of(const ViewStatus& view) {
  std::int64_t lag = 0;
  for (const PartitionStatus& partition : view.partitions) {
    if (!partition.log_end) return nullptr;
    lag += std::max<std::int64_t>(0, *partition.log_end - partition.next_offset);
  }
  return lag;
}

}  // namespace

http::Response livez(const Worker& worker) {
  Json hanging = Json::array();
  std::string names;
  for (const ViewStatus& view : worker.views) {
    const auto age = worker.now - view.stepped_at;
    if (age <= live_within) continue;
    hanging.push_back({{"view", view.view}, {"reason", "the loop has made no step for " + in_seconds(age)}});
    names += (names.empty() ? "" : ", ") + view.view;
  }
  return hanging.empty() ? ok() : unavailable("hangs: " + names, hanging);
}

http::Response readyz(const Worker& worker) {
  Json waiting = Json::array();
  std::string detail;
  for (const ViewStatus& view : worker.views) {
    const std::string why = why_not_ready(worker, view);
    if (why.empty()) continue;
    waiting.push_back({{"view", view.view}, {"state", to_string(view.state)}, {"reason", why}});
    detail += (detail.empty() ? "" : "; ") + view.view + " is " + to_string(view.state) + ": " + why;
  }
  return waiting.empty() ? ok() : unavailable(detail, waiting);
}

http::Response healthz(const Worker& worker) {
  Json views = Json::array();
  bool all_ready = true;
  for (const ViewStatus& view : worker.views) {
    const std::string why = why_not_ready(worker, view);
    all_ready = all_ready && why.empty();
    Json one = {{"view", view.view}, {"ready", why.empty()}, {"state", to_string(view.state)}, {"reason", why}};
    one["lag_records"] = lag_of(view);
    one["last_commit_age_seconds"] =
        view.committed_at ? Json(seconds_since(worker, *view.committed_at)) : Json(nullptr);
    one["last_step_age_seconds"] = seconds_since(worker, view.stepped_at);
    one["database_connected"] = view.database_connected;
    one["partitions"] = partitions_of(view);
    views.push_back(std::move(one));
  }
  const Json all = {{"ready", all_ready}, {"version", worker.version}, {"views", std::move(views)}};
  return {200, "application/json", text_of(all) + "\n", {}};
}

http::Response answer(const http::Request& request, const Worker& worker) {
  if (request.path == "/livez") return livez(worker);
  if (request.path == "/readyz") return readyz(worker);
  if (request.path == "/healthz") return healthz(worker);
  if (request.path == "/metrics") return metrics(worker);
  return http::problem(404, "there is /livez, /readyz, /healthz and /metrics");
}

}  // namespace daybook::ops
