// What the API keeps: of a view, of a loop, of a request that is not answered on the spot. For the API's own files.
#pragma once

#include <atomic>
#include <optional>

#include "reader/api/api.h"

namespace daybook::reader {

struct Api::View {
  explicit View(Rows& own)
      : rows(own),
        definition(own.definition()),
        cache_control(definition.cache_control()),
        not_found(problem_block(404, "view " + definition.name + " has no row with this key")),
        hub(Hub::make(own)) {}

  Rows& rows;
  const ViewDefinition& definition;
  const std::string cache_control;
  const http::BlockPtr not_found;  // for rows that are not there and rows that one may not see: the same bytes
  const std::shared_ptr<Hub> hub;
};

struct Api::PerLoop {
  std::chrono::steady_clock::time_point read_at{};
  Freshness freshness;
  bool is_too_old = true;
  std::string headers;      // Daybook-Age, Daybook-Feed
  std::string row_headers;  // and Vary, which ready rows do not have
};

// Lives until the answer is sent. On its loop's thread, but for what is made of loaded rows.
struct Api::Asked {
  explicit Asked(http::Exchange own) : exchange(std::move(own)), loop(exchange.loop()) {}

  http::Exchange exchange;
  http::Loop& loop;
  std::chrono::steady_clock::time_point begun;
  http::Method method = http::Method::get;
  std::string path;
  std::string query;
  Route route;  // points into `path`
  std::string if_none_match;
  std::string last_event_id;
  std::string authorization;     // of a stream
  std::optional<Format> format;  // nothing: none that we have
  bool takes_gzip = false;
  std::string gate_headers;
  IdentityPtr who;
  View* view = nullptr;  // null: none, or one that must not be told of
  const char* kind = "none";
  std::string key;
  bool depends_on_after = false;
  bool is_hit = false;
  Cost cost;
  bool is_miss = false;  // it was looked for in memory already
  ListRequest list;
  std::chrono::steady_clock::time_point list_came;
  Freshness list_fresh;     // at that time
  std::string age_headers;  // of an answer with an age of its own; empty: that of memory
  std::chrono::milliseconds age{0};

  std::string cache_control() const { return depends_on_after ? ViewDefinition::private_cache : view->cache_control; }
};

}  // namespace daybook::reader
