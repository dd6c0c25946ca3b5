#include "reader/serve/report.h"

#include <nlohmann/json.hpp>

#include "ops/families.h"

namespace daybook::reader {
namespace {

using Json = nlohmann::ordered_json;
using ops::Families;
using ops::Labels;

double number(std::uint64_t value) { return static_cast<double>(value); }
double seconds_of(std::chrono::milliseconds duration) { return std::chrono::duration<double>(duration).count(); }

std::string text_of(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n"; }

http::Response json_response(const Json& json) { return {200, "application/json", text_of(json), {}}; }

Json view_json(const CacheStats::View& view) {
  const auto& figures = view.figures;
  const std::uint64_t asked = figures.rows.hits + figures.rows.misses;
  Json json = {{"view", view.name},
               {"generation", view.generation},
               {"seq", view.freshness.seq},
               {"cache_age_seconds", seconds_of(view.freshness.age)},
               {"feed", view.freshness.feed_is_lost ? "lost" : "followed"}};
  if (view.freshness.feed_is_lost) json["reason"] = view.freshness.detail;
  json["cache_size"] = figures.rows.entries;
  json["cache_bytes"] = figures.rows.bytes;
  json["hits"] = figures.rows.hits;
  json["misses"] = figures.rows.misses;
  json["hit_rate"] = asked == 0 ? Json(nullptr) : Json(number(figures.rows.hits) / number(asked));
  json["negative_hits"] = figures.rows.negative_hits;
  json["evictions"] = figures.rows.evictions;
  json["load_queries"] = figures.loads.queries;
  json["loaded_rows"] = figures.loads.rows;
  json["joined_loads"] = figures.loads.joins;
  json["failed_loads"] = figures.loads.failures;
  json["list_hits"] = figures.pages.hits;
  json["list_misses"] = figures.pages.misses;
  json["list_bytes"] = figures.pages.bytes;
  json["commits_followed"] = figures.applied;
  json["resets"] = figures.resets;
  return json;
}

Json views_json(const CacheStats& cache) {
  Json views = Json::array();
  for (const CacheStats::View& view : cache.views) views.push_back(view_json(view));
  return views;
}

void add_requests(Families& to, const std::array<Traffic::Route, Traffic::routes.size()>& traffic) {
  const std::vector<double> bounds(Traffic::bounds.begin(), Traffic::bounds.end());
  for (std::size_t i = 0; i < traffic.size(); ++i) {
    const std::string route(Traffic::routes[i]);
    for (std::size_t k = 0; k < Traffic::statuses.size(); ++k) {
      // Statuses that never happened are left out, but for those of a good answer: a rate needs its zero.
      if (traffic[i].answers[k] == 0 && Traffic::statuses[k] != 200) continue;
      to.counter("daybook_reader_requests_total", "Requests answered, by route and status",
                 {{"route", route}, {"status", std::to_string(Traffic::statuses[k])}}, number(traffic[i].answers[k]));
    }
    to.histogram("daybook_reader_request_duration_seconds", "From reading a request until its answer was handed over",
                 {{"route", route}}, bounds, {traffic[i].durations.begin(), traffic[i].durations.end()},
                 traffic[i].seconds);
  }
}

void add_cache(Families& to, const CacheStats::View& view) {
  const Labels labels = {{"view", view.name}};
  const auto& figures = view.figures;
  to.counter("daybook_reader_cache_hits_total", "Rows answered from memory", labels, number(figures.rows.hits));
  to.counter("daybook_reader_cache_misses_total", "Rows that were not in memory", labels, number(figures.rows.misses));
  to.counter("daybook_reader_cache_negative_hits_total", "Hits that said that there is no such row", labels,
             number(figures.rows.negative_hits));
  to.counter("daybook_reader_cache_evictions_total", "Rows dropped for want of space", labels,
             number(figures.rows.evictions));
  to.gauge("daybook_reader_cache_rows", "Rows in memory", labels, number(figures.rows.entries));
  to.gauge("daybook_reader_cache_bytes", "Memory of these rows", labels, number(figures.rows.bytes));
  to.gauge("daybook_reader_cache_age_seconds", "All that was committed longer ago than this is in every answer", labels,
           seconds_of(view.freshness.age));
  to.counter("daybook_reader_list_hits_total", "Lists answered from memory", labels, number(figures.pages.hits));
  to.counter("daybook_reader_list_misses_total", "Lists that were not in memory", labels, number(figures.pages.misses));
  to.gauge("daybook_reader_list_bytes", "Memory of lists", labels, number(figures.pages.bytes));
  to.counter("daybook_reader_load_queries_total", "Queries that loaded missing rows", labels,
             number(figures.loads.queries));
  to.counter("daybook_reader_loaded_rows_total", "Rows that these brought", labels, number(figures.loads.rows));
  to.counter("daybook_reader_joined_loads_total", "Requests that waited for a load that was under way", labels,
             number(figures.loads.joins));
  to.counter("daybook_reader_failed_loads_total", "Loads without a result", labels, number(figures.loads.failures));
}

void add_feed(Families& to, const CacheStats::View& view) {
  const Labels labels = {{"view", view.name}};
  to.gauge("daybook_reader_feed_lost", "1: the change feed can't be read at the moment", labels,
           view.freshness.feed_is_lost ? 1 : 0);
  to.gauge("daybook_reader_feed_seq", "The last commit that memory knows", labels,
           static_cast<double>(view.freshness.seq));
  to.counter("daybook_reader_feed_commits_total", "Commits followed", labels, number(view.figures.applied));
  to.counter("daybook_reader_resets_total", "Times that memory began anew", labels, number(view.figures.resets));
}

}  // namespace

std::string why_not_ready(const Condition& reader) {
  if (reader.stopping) return "the reader is stopping";
  if (reader.cache.views.empty()) return "there is no view yet: run `daybook views apply`";
  std::string why;
  for (const CacheStats::View& view : reader.cache.views) {
    if (!view.freshness.feed_is_lost) continue;
    why += (why.empty() ? "" : "; ") + view.name + ": the change feed is lost: " + view.freshness.detail;
  }
  if (why.empty() && !reader.cache.warm) return "the most recent rows are being loaded";
  return why;
}

http::Response readyz(const Condition& reader) {
  const std::string why = why_not_ready(reader);
  if (why.empty()) return {200, "text/plain; charset=utf-8", "ok\n", {}};
  return http::problem(503, why);
}

http::Response healthz(const Condition& reader) {
  const std::string why = why_not_ready(reader);
  Json json = {{"ready", why.empty()}, {"reason", why}, {"version", reader.version}};
  json["views"] = views_json(reader.cache);
  json["connections"] = reader.server.connections;
  json["sse_clients"] = reader.streams;
  return json_response(json);
}

http::Response cache_stats(const Condition& reader) {
  const Pool::Figures& pool = reader.cache.pool;
  return json_response({{"views", views_json(reader.cache)},
                        {"pool",
                         {{"open", pool.open},
                          {"in_use", pool.in_use},
                          {"opened", pool.opened},
                          {"waits", pool.waits},
                          {"timeouts", pool.timeouts}}},
                        {"feed_connects", reader.cache.feed_connects},
                        {"warm", reader.cache.warm}});
}

http::Response metrics(const Condition& reader, const std::array<Traffic::Route, Traffic::routes.size()>& traffic) {
  Families families;
  add_requests(families, traffic);
  for (const CacheStats::View& view : reader.cache.views) {
    add_cache(families, view);
    add_feed(families, view);
  }
  families.gauge("daybook_reader_ready", "1: this reader should get requests; else /readyz says why", {},
                 why_not_ready(reader).empty() ? 1 : 0);
  families.gauge("daybook_reader_connections", "Connections that are open", {}, number(reader.server.connections));
  for (std::size_t i = 0; i < http::own_statuses.size(); ++i) {
    families.counter("daybook_reader_refused_requests_total",
                     "Requests that came to no route: answered by the server itself, by status",
                     {{"status", std::to_string(http::own_statuses[i])}}, number(reader.server.own_answers[i]));
  }
  families.gauge("daybook_reader_sse_clients", "Clients that follow changes", {}, number(reader.streams));
  families.counter("daybook_reader_shed_connections_total", "Connections turned away or closed for want of room", {},
                   number(reader.server.turned_away));
  const Pool::Figures& pool = reader.cache.pool;
  families.gauge("daybook_reader_pool_connections", "Database sessions of loads that are open", {}, number(pool.open));
  families.gauge("daybook_reader_pool_in_use", "Those that are loading", {}, number(pool.in_use));
  families.counter("daybook_reader_pool_waits_total", "Loads that had to wait for a session", {}, number(pool.waits));
  families.counter("daybook_reader_pool_timeouts_total", "Loads that got no session in time", {},
                   number(pool.timeouts));
  families.counter("daybook_reader_feed_connects_total", "Times that the feed's session was opened", {},
                   number(reader.cache.feed_connects));
  ops::add_process(families, reader.version, reader.process);
  return {200, ops::metrics_content_type, families.text(), {}};
}

}  // namespace daybook::reader
