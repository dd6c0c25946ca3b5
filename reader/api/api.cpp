// The way of a request up to where its kind is known, the hot path, and what all answers have in common.
#include "reader/api/api.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <stdexcept>

#include "reader/api/api_state.h"
#include "reader/api/key.h"
#include "reader/api/text.h"

namespace daybook::reader {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t max_loops = 256;
constexpr std::chrono::milliseconds age_refresh{10};

std::vector<const ViewDefinition*> definitions_of(const std::vector<Rows*>& rows) {
  std::vector<const ViewDefinition*> all;
  for (const Rows* own : rows) all.push_back(&own->definition());
  return all;
}

// Whether a row may be seen: for each limited column, one of the claim's values is the key's.
bool may_see(const ViewDefinition& view, const Identity& who, std::string_view key) {
  if (view.reader.rows_by_claim.empty() || who.has_scope("rows:all")) return true;
  KeyParts parts;
  if (!find_parts(view.key, key, parts)) return false;
  static thread_local std::string bytes;
  for (std::size_t i = 0; i < view.key.size(); ++i) {
    const auto limit = view.reader.rows_by_claim.find(view.key[i].name);
    if (limit == view.reader.rows_by_claim.end()) continue;
    const auto claim = who.claims.find(limit->second);
    if (claim == who.claims.end()) return false;
    const bool found = std::any_of(claim->second.begin(), claim->second.end(), [&](const std::string& value) {
      bytes.clear();
      return append_value(bytes, view.key[i].type, value) && bytes == part(key, parts, i);
    });
    if (!found) return false;
  }
  return true;
}

const char* kind_of(Route::Kind kind) {
  switch (kind) {
    case Route::Kind::openapi:
      return "openapi";
    case Route::Kind::views:
      return "views";
    case Route::Kind::row:
      return "row";
    case Route::Kind::list:
      return "list";
    case Route::Kind::changes:
      return "changes";
    default:
      return "none";
  }
}

}  // namespace

Api::Api(std::vector<Rows*> rows, Gate gate, ApiSettings settings, Observer observer, WhoIs who_is)
    : settings_(std::move(settings)),
      gate_(std::move(gate)),
      observer_(std::move(observer)),
      who_is_(std::move(who_is)),
      router_(definitions_of(rows)),
      per_loop_(max_loops) {
  for (Rows* own : rows) views_.push_back(std::make_unique<View>(*own));
  for (std::vector<PerLoop>& loop : per_loop_) loop.resize(views_.size());
}

Api::~Api() { stop(); }

void Api::end_streams() {
  for (const auto& view : views_) view->hub->end_streams();
}

void Api::stop() {
  for (const auto& view : views_) view->hub->stop();
}

std::size_t Api::streams() const {
  std::size_t all = 0;
  for (const auto& view : views_) all += view->hub->streams();
  return all;
}

void Api::on_request(const http::Incoming& request, http::Exchange exchange) {
  const Clock::time_point begun = Clock::now();
  Admission admission = gate_(request);
  const Route route = admission.status == 0 ? router_.match(request.path) : Route{};
  bool is_miss = false;
  if (route.kind == Route::Kind::row && answer_hot(request, route, admission, exchange, begun, is_miss)) return;

  const auto asked = std::make_shared<Asked>(std::move(exchange));
  asked->begun = begun;
  asked->is_miss = is_miss;
  asked->method = request.method;
  asked->gate_headers = std::move(admission.headers);
  if (admission.status != 0) return refuse(asked, admission.status, admission.detail);
  if (request.method == http::Method::post)
    return refuse(asked, 405, "this is read with GET or HEAD", "Allow: GET, HEAD\r\n");
  asked->path = request.path;
  asked->query = request.query;
  asked->route = router_.match(asked->path);
  asked->kind = kind_of(route.kind);
  asked->who = std::move(admission.who);
  asked->if_none_match = request.header("If-None-Match");
  asked->format = choose_format(request.header("Accept"));
  asked->takes_gzip = takes_gzip(request.header("Accept-Encoding"));

  switch (route.kind) {
    case Route::Kind::none:
      return refuse(asked, 404, "there is nothing at this path; /openapi.json describes what there is");
    case Route::Kind::views:
      return answer_views(asked);
    case Route::Kind::openapi:
      return answer_openapi(asked);
    default:
      break;
  }
  const bool is_known = route.kind != Route::Kind::unknown_view;
  const bool may_read = is_known && asked->who->may_read(views_[route.view]->definition.name);
  if (!may_read) {
    if (is_known && asked->who->has_scope("admin")) return refuse(asked, 403, "this token may not read the view");
    return refuse(asked, 404,
                  route.name.empty()
                      ? "there is nothing at this path; /openapi.json describes what there is"
                      : "there is no view " + std::string(route.name) + "; /v1/views lists what there is");
  }
  asked->view = views_[route.view].get();
  switch (route.kind) {
    case Route::Kind::row:
      return answer_row(asked);
    case Route::Kind::list:
      return answer_list(asked);
    case Route::Kind::changes:
      asked->last_event_id = request.header("Last-Event-ID");
      asked->authorization = request.header("Authorization");
      return answer_changes(asked);
    default: {
      std::string path = "/v1/views/" + asked->view->definition.name;
      for (const KeyColumn& column : asked->view->definition.key) path += "/{" + column.name + "}";
      return refuse(asked, 404, "a row of this view is at " + path);
    }
  }
}

// The way of nearly all requests: nothing is decoded twice, nothing is made but a line or two of headers. False: it is
// none of those, and nothing was sent; `is_miss`: since the row is not in memory.
bool Api::answer_hot(const http::Incoming& request, const Route& route, Admission& admission, http::Exchange& exchange,
                     Clock::time_point begun, bool& is_miss) {
  const View& view = *views_[route.view];
  if (!request.query.empty() || request.method == http::Method::post || !admission.who->may_read(view.definition.name))
    return false;
  const std::string_view accept = request.header("Accept");
  if (!accept.empty() && choose_format(accept) != Format::json) return false;
  static thread_local std::string key;
  key.clear();
  for (std::size_t i = 0; i < view.definition.key.size(); ++i) {
    const std::string_view value = route.values[i];
    if (value.find('%') != std::string_view::npos || !append_value(key, view.definition.key[i].type, value))
      return false;
  }
  if (!may_see(view.definition, *admission.who, key)) return false;
  const PerLoop& age = age_of(exchange.loop(), route.view, begun);
  if (age.is_too_old) return false;
  HotRowPtr row = view.rows.find_hot(key);
  if (!row) {
    is_miss = true;
    return false;
  }

  http::BlockPtr block = view.not_found;
  if (row->kind != HotRow::Kind::absent) {
    const std::string_view tags = request.header("If-None-Match");
    block = !tags.empty() && has_tag(tags, row->etag()) ? row->not_modified() : std::move(row);
  }
  const unsigned status = block->status;
  std::string headers = std::move(admission.headers);  // in its memory there is room for more
  headers += age.row_headers;
  exchange.send(std::move(block), std::move(headers));
  if (observer_) {
    observer_({&view.definition, "row", status, true, request.path, key, nullptr, age.freshness.age, {}},
              Clock::now() - begun);
  }
  return true;
}

// Read again every 10 ms at most; what is said in between is true for all of that time.
const Api::PerLoop& Api::age_of(const http::Loop& loop, std::size_t view, Clock::time_point now) const {
  PerLoop& own = per_loop_.at(loop.index())[view];
  if (now - own.read_at < age_refresh) return own;
  own = age_at(views_[view]->rows.freshness(), age_refresh);
  own.read_at = now;
  return own;
}

// What is said of an age that was read so long ago.
Api::PerLoop Api::age_at(Freshness freshness, std::chrono::nanoseconds since) const {
  PerLoop own;
  own.freshness = std::move(freshness);
  own.freshness.age += std::chrono::ceil<std::chrono::milliseconds>(since);
  own.is_too_old = own.freshness.age > settings_.max_age;
  own.headers = "Daybook-Age: " + std::to_string(own.freshness.age.count()) + "\r\n";
  if (own.freshness.feed_is_lost) own.headers += "Daybook-Feed: lost\r\n";
  own.row_headers = own.headers + "Vary: Accept\r\n";
  return own;
}

// Refuses what would be too old.
bool Api::is_fresh(const AskedPtr& asked) const {
  const PerLoop& age = age_of(asked->loop, asked->route.view, Clock::now());
  if (age.is_too_old) refuse_stale(asked, age);
  return !age.is_too_old;
}

void Api::refuse_stale(const AskedPtr& asked, const PerLoop& age) const {
  const std::string detail = "what is known of view " + asked->view->definition.name + " is " +
                             std::to_string(age.freshness.age.count()) + " ms old, and at most " +
                             std::to_string(settings_.max_age.count()) + " ms are given";
  refuse(asked, Unavailable{Unavailable::Why::stale, detail});  // why, is in the log and for operators
}

// Decodes the key and looks whether it may be seen; false: refused.
bool Api::read_key(const AskedPtr& asked) const {
  const ViewDefinition& view = asked->view->definition;
  for (std::size_t i = 0; i < view.key.size(); ++i) {
    const std::optional<std::string> value = decode_percent(asked->route.values[i]);
    if (!value) {
      asked->key.clear();
      refuse(asked, 400, "the path has a wrong encoding, expected %XX");
      return false;
    }
    if (!append_value(asked->key, view.key[i].type, *value)) {
      asked->key.clear();  // a part of one is none
      refuse(asked, 400, view.key[i].name + " is not " + std::string(expected_value(view.key[i].type)));
      return false;
    }
  }
  if (may_see(view, *asked->who, asked->key)) return true;
  if (asked->who->has_scope("admin")) {
    refuse(asked, 403, "this token may not see the row");
  } else if (is_fresh(asked)) {
    send(asked, asked->view->not_found, "Vary: Accept\r\n");
  }
  return false;
}

void Api::send(const AskedPtr& asked, http::BlockPtr block, std::string headers) const {
  if (!asked->age_headers.empty()) {
    headers = asked->age_headers + headers;
  } else if (asked->view != nullptr) {
    const PerLoop& age = age_of(asked->loop, asked->route.view, Clock::now());
    asked->age = age.freshness.age;
    headers = age.headers + headers;
  }
  headers += asked->gate_headers;
  const unsigned status = block->status;
  // The connection is let go here, on its loop: who loaded the row may hold `asked` a little longer.
  http::Exchange exchange = std::move(asked->exchange);
  exchange.send(std::move(block), std::move(headers));
  if (!observer_) return;
  observer_({asked->view == nullptr ? nullptr : &asked->view->definition, asked->kind, status, asked->is_hit,
             asked->path, asked->key, &asked->list.query.filters, asked->age, asked->cost},
            Clock::now() - asked->begun);
}

void Api::refuse(const AskedPtr& asked, unsigned status, const std::string& detail, const std::string& head) const {
  send(asked, problem_block(status, detail, head));
}

void Api::refuse(const AskedPtr& asked, const Unavailable& why) const {
  if (why.why == Unavailable::Why::database) {
    // What a database says names hosts and users: it is for the log, once a second at most.
    const std::int64_t second =
        std::chrono::duration_cast<std::chrono::seconds>(Clock::now().time_since_epoch()).count();
    if (failure_logged_at_.exchange(second) != second)
      spdlog::warn("reader: view {}: a load failed: {}", asked->view->definition.name, why.detail);
    return refuse(asked, 503, "the database can't be asked at the moment: try again", "Retry-After: 1\r\n");
  }
  refuse(asked, 503, why.detail, "Retry-After: 1\r\n");
}

}  // namespace daybook::reader
