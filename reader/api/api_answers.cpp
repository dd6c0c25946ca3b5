// Rows that are not hot or not plain, lists, streams, and what describes the API.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "reader/api/api_state.h"
#include "reader/api/csv.h"
#include "reader/api/cursor.h"
#include "reader/api/openapi.h"
#include "reader/api/text.h"

namespace daybook::reader {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* json_type = "application/json";
constexpr const char* csv_type = "text/csv; charset=utf-8; header=present";
constexpr const char* not_acceptable = "this is to be had as application/json or text/csv, and Accept has neither";

const char* word_of(KeyType type) {
  switch (type) {
    case KeyType::uuid:
      return "uuid";
    case KeyType::text:
      return "text";
    case KeyType::integer:
      return "int";
    case KeyType::date:
      return "date";
    case KeyType::timestamp:
      return "timestamp";
    case KeyType::hour:
      return "hour";
    case KeyType::minute:
      return "minute";
  }
  return "";
}

const char* word_of(ViewKind kind) {
  switch (kind) {
    case ViewKind::summary:
      return "summary";
    case ViewKind::latest:
      return "latest";
    case ViewKind::log:
      return "log";
  }
  return "";
}

const char* word_of(ColumnType type) {
  switch (type) {
    case ColumnType::int4:
      return "int";
    case ColumnType::int8:
      return "bigint";
    case ColumnType::decimal:
      return "decimal";
    case ColumnType::text:
      return "text";
    case ColumnType::boolean:
      return "boolean";
    case ColumnType::timestamp:
      return "timestamp";
    case ColumnType::date:
      return "date";
    case ColumnType::uuid:
      return "uuid";
    case ColumnType::json:
      return "json";
  }
  return "";
}

const char* word_of(Aggregate aggregate) {
  switch (aggregate) {
    case Aggregate::sum:
      return "sum";
    case Aggregate::count:
      return "count";
    case Aggregate::balance:
      return "balance";
    case Aggregate::min:
      return "min";
    case Aggregate::max:
      return "max";
    case Aggregate::avg:
      return "avg";
    case Aggregate::last:
      return "last";
    case Aggregate::ratio:
      return "ratio";
    case Aggregate::quantile:
      return "quantile";
    case Aggregate::distinct:
      return "distinct";
  }
  return "";
}

std::string shown(const Positions& events) {
  std::string all;
  for (const auto& [partition, offset] : events) all += (all.empty() ? "" : ", ") + to_string(partition, offset);
  return all;
}

// For the angle brackets of a Link.
std::string in_brackets(std::string_view path) {
  std::string all;
  for (const char c : path) all += c == '<' || c == '>' || c == '"' ? encode_percent({&c, 1}) : std::string(1, c);
  return all;
}

std::string page_json(const ListPage& page, const std::string& cursor) {
  std::string body = "{\"rows\":[";
  for (std::size_t i = 0; i < page.rows.size(); ++i) {
    if (i > 0) body += ',';
    body += page.rows[i];
  }
  return body + "],\"next\":" + (cursor.empty() ? "null" : "\"" + cursor + "\"") + "}";
}

// Nobody asked the database for it.
template <typename T>
bool is_from_memory(const Result<T>& result, const Cost& cost) {
  return std::holds_alternative<T>(result) && !cost.began_load && cost.query.count() == 0;
}

}  // namespace

void Api::when_applied(const AskedPtr& asked, const Await& await, std::function<void()> then) {
  if (await.positions.empty()) return then();
  asked->depends_on_after = true;
  const ViewDefinition& view = asked->view->definition;
  const auto refuse_partition = [this, asked, &view](const TopicPartition& partition) {
    refuse(asked, 400,
           "view " + view.name + " reads no partition " + to_string(partition) +
               ", expected one of its topics' in after=");
  };
  for (const auto& [partition, offset] : await.positions) {
    const bool reads_topic = std::any_of(view.sources.begin(), view.sources.end(),
                                         [&](const SourceRule& rule) { return rule.topic == partition.topic; });
    if (!reads_topic) return refuse_partition(partition);
  }
  asked->view->hub->await(
      asked->loop, await, [this, asked, await, refuse_partition, then = std::move(then)](bool applied) {
        if (applied) return then();
        if (asked->view->hub->has_stopped())
          return refuse(asked, Unavailable{Unavailable::Why::busy, "this reader is stopping: ask again"});
        // Only now: the first event of a new partition makes it known.
        for (const auto& [partition, offset] : await.positions)
          if (!asked->view->rows.knows(partition)) return refuse_partition(partition);
        refuse(asked, 504,
               "not all of " + shown(await.positions) + " was applied within " + std::to_string(await.wait.count()) +
                   " ms: ask again, or with a longer wait=");
      });
}

void Api::answer_row(const AskedPtr& asked) {
  if (!asked->format) return refuse(asked, 406, not_acceptable);
  const Checked<Await> parameters = read_row_parameters(asked->query);
  if (const auto* wrong = std::get_if<BadRequest>(&parameters)) return refuse(asked, 400, wrong->detail);
  if (!read_key(asked)) return;
  when_applied(asked, std::get<Await>(parameters), [this, asked] {
    if (!is_fresh(asked)) return;
    HotRowPtr row = asked->is_miss ? nullptr : asked->view->rows.find_hot(asked->key);
    if (row) {
      asked->is_hit = true;
      return finish_row(asked, row);
    }
    asked->view->rows.load(asked->key, [this, asked](Result<HotRowPtr> result, const Cost& cost) {
      asked->loop.post([this, asked, result = std::move(result), cost] {
        asked->cost = cost;
        asked->is_hit = is_from_memory(result, cost);
        finish_row(asked, result);
      });
    });
  });
}

void Api::finish_row(const AskedPtr& asked, const Result<HotRowPtr>& result) const {
  if (const auto* why = std::get_if<Unavailable>(&result)) return refuse(asked, *why);
  const HotRowPtr& found = std::get<HotRowPtr>(result);
  const HotRow& row = *found;
  if (row.kind == HotRow::Kind::absent) return send(asked, asked->view->not_found, "Vary: Accept\r\n");
  if (asked->format == Format::csv) {
    const Made made =
        make_answer(csv_type, csv_of(asked->view->definition, {row.json()}), asked->cache_control(), asked->takes_gzip);
    return send(asked, has_tag(asked->if_none_match, made.etag) ? made.not_modified : made.ok);
  }
  http::BlockPtr block = has_tag(asked->if_none_match, row.etag()) ? row.not_modified() : found;
  if (asked->depends_on_after) block = with_cache_control(*block, ViewDefinition::private_cache);
  send(asked, std::move(block), "Vary: Accept\r\n");
}

void Api::answer_list(const AskedPtr& asked) {
  if (!asked->format) return refuse(asked, 406, not_acceptable);
  Checked<ListRequest> read =
      read_list(asked->view->definition, asked->route, asked->query, row_limits(asked->view->definition, *asked->who));
  if (const auto* wrong = std::get_if<BadRequest>(&read)) return refuse(asked, 400, wrong->detail);
  asked->list = std::get<ListRequest>(std::move(read));
  when_applied(asked, asked->list.await, [this, asked] {
    if (!is_fresh(asked)) return;
    if (asked->list.sees_nothing) return finish_list(asked, ListPage{}, {});
    asked->view->rows.list(asked->list.query, [this, asked](const Result<ListPage>& result, const Cost& cost) {
      finish_list(asked, result, cost);
    });
  });
}

// On any thread: pages are packed where they were loaded, so that the loop does not wait for it.
void Api::finish_list(const AskedPtr& asked, const Result<ListPage>& result, const Cost& cost) const {
  asked->cost = cost;
  asked->is_hit = is_from_memory(result, cost);
  if (const auto* why = std::get_if<Unavailable>(&result)) {
    asked->loop.post([this, asked, why = *why] { refuse(asked, why); });
    return;
  }
  const ListPage& page = std::get<ListPage>(result);
  // A page is as new as memory was when it came: packing it and the way back to the loop make it older.
  asked->list_came = std::chrono::steady_clock::now();
  asked->list_fresh = asked->view->rows.freshness();
  asked->list_fresh.age += page.behind;
  const std::string cursor = page.after.empty() ? "" : make_cursor(asked->list.mark, page.after);
  const bool is_csv = asked->format == Format::csv;
  Made made = make_answer(is_csv ? csv_type : json_type,
                          is_csv ? csv_of(asked->view->definition, page.rows) : page_json(page, cursor),
                          asked->cache_control(), asked->takes_gzip);
  std::string link;
  if (!cursor.empty())
    link = "Link: <" + in_brackets(asked->path) + "?" + asked->list.link + "cursor=" + cursor + ">; rel=\"next\"\r\n";
  asked->loop.post([this, asked, made = std::move(made), link = std::move(link)] {
    const PerLoop age = age_at(asked->list_fresh, std::chrono::steady_clock::now() - asked->list_came);
    asked->age_headers = age.headers;
    asked->age = age.freshness.age;
    if (age.is_too_old) return refuse_stale(asked, age);
    send(asked, has_tag(asked->if_none_match, made.etag) ? made.not_modified : made.ok, link);
  });
}

void Api::answer_changes(const AskedPtr& asked) {
  const ViewDefinition& view = asked->view->definition;
  Checked<KeyFilter> read = read_changes_parameters(view, asked->query, row_limits(view, *asked->who));
  if (const auto* wrong = std::get_if<BadRequest>(&read)) return refuse(asked, 400, wrong->detail);
  if (!is_fresh(asked)) return;
  // X-Accel-Buffering: nginx passes each event on at once.
  const std::string head =
      "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: private, no-cache\r\n"
      "X-Content-Type-Options: nosniff\r\nX-Accel-Buffering: no\r\n";
  if (asked->method == http::Method::head)
    return send(asked, std::make_shared<http::Block>(http::Block{200, head, ""}));
  if (streams() >= settings_.streams_max) {
    return refuse(asked, 503,
                  "this reader has " + std::to_string(settings_.streams_max) +
                      " streams of changes, which are all that it takes: come again later, or to another one",
                  "Retry-After: 5\r\n");
  }
  const std::string age = age_of(asked->loop, asked->route.view, std::chrono::steady_clock::now()).headers;
  std::shared_ptr<http::Stream> stream = asked->exchange.stream(head + age + asked->gate_headers);
  if (observer_) {
    observer_({.view = &view, .route = asked->kind, .status = 200, .path = asked->path},
              std::chrono::steady_clock::now() - asked->begun);
  }
  asked->view->hub->subscribe(asked->loop, std::move(stream), std::get<KeyFilter>(std::move(read)),
                              asked->last_event_id, may_stay(asked));
}

// Whether a stream's client still is who it was when the stream began. One whose rights changed comes back, and is
// judged anew.
std::function<bool()> Api::may_stay(const AskedPtr& asked) const {
  if (!who_is_ || asked->authorization.empty()) return {};
  return [who_is = who_is_, authorization = std::move(asked->authorization), was = asked->who] {
    const IdentityPtr is = who_is(authorization);
    return is && (is == was || *is == *was);
  };
}

void Api::answer_views(const AskedPtr& asked) const {
  if (!asked->query.empty()) return refuse(asked, 400, "/v1/views takes no parameters");
  Json all = Json::array();
  for (const auto& own : views_) {
    const ViewDefinition& view = own->definition;
    if (!asked->who->may_read(view.name)) continue;
    Json key = Json::array();
    std::string row = "/v1/views/" + view.name;
    for (const KeyColumn& column : view.key) {
      key.push_back({{"name", column.name}, {"type", word_of(column.type)}});
      if (!column.time_zone.empty()) key.back()["time_zone"] = column.time_zone;
      row += "/{" + column.name + "}";
    }
    Json columns = Json::array();
    for (const ValueColumn& column : view.columns) {
      columns.push_back({{"name", column.name}, {"type", word_of(column.type)}});
      if (!view.has_states()) columns.back()["value"] = word_of(column.aggregate);
      if (column.type == ColumnType::decimal) columns.back()["scale"] = column.scale;
    }
    const Freshness freshness = own->rows.freshness();
    all.push_back({{"name", view.name},
                   {"kind", word_of(view.kind)},
                   {"description", view.description},
                   {"key", key},
                   {"columns", columns},
                   {"filters", view.reader.filters},
                   {"order", {{"by", view.list_order()}, {"descending", view.reader.descending}}},
                   {"limit", view.reader.limit},
                   {"links",
                    {{"rows", "/v1/views/" + view.name},
                     {"row", row},
                     {"changes", "/v1/views/" + view.name + "/changes"},
                     {"routes", view.reader.routes}}},
                   {"freshness",
                    {{"age_ms", freshness.age.count()},
                     {"feed", freshness.feed_is_lost ? "lost" : "following"},
                     {"generation", own->rows.generation()},
                     {"seq", freshness.seq}}}});
  }
  const Made made =
      make_answer(json_type, Json{{"views", all}}.dump(), ViewDefinition::private_cache, asked->takes_gzip);
  send(asked, has_tag(asked->if_none_match, made.etag) ? made.not_modified : made.ok);
}

void Api::answer_openapi(const AskedPtr& asked) const {
  if (!asked->query.empty()) return refuse(asked, 400, "/openapi.json takes no parameters");
  std::vector<const ViewDefinition*> views;
  for (const auto& view : views_) {
    if (asked->who->may_read(view->definition.name)) views.push_back(&view->definition);
  }
  const Made made =
      make_answer(json_type, openapi_of(views, settings_.version), ViewDefinition::private_cache, asked->takes_gzip);
  send(asked, has_tag(asked->if_none_match, made.etag) ? made.not_modified : made.ok);
}

}  // namespace daybook::reader
