#include "reader/api/router.h"

#include <algorithm>

namespace daybook::reader {
namespace {

constexpr std::string_view views_prefix = "/v1/views/";

// The next segment of "a/b/c"; `rest` becomes what is behind its '/'. False: that was the last one.
bool next_segment(std::string_view& rest, std::string_view& segment) {
  const std::size_t slash = rest.find('/');
  segment = rest.substr(0, slash);
  if (slash == std::string_view::npos) return false;
  rest.remove_prefix(slash + 1);
  return true;
}

}  // namespace

Router::Router(std::vector<const ViewDefinition*> views) : views_(std::move(views)) {
  for (std::size_t i = 0; i < views_.size(); ++i) {
    for (const std::string& path : views_[i]->reader.routes) add_alias(path, i);
  }
  const auto comes_first = [](const Alias& a, const Alias& b) {
    if (a.segments.size() != b.segments.size()) return a.segments.size() < b.segments.size();
    for (std::size_t i = 0; i < a.segments.size(); ++i) {
      const bool a_is_value = a.segments[i].literal.empty();
      const bool b_is_value = b.segments[i].literal.empty();
      if (a_is_value != b_is_value) return b_is_value;
    }
    return false;
  };
  std::stable_sort(aliases_.begin(), aliases_.end(), comes_first);
}

void Router::add_alias(const std::string& path, std::size_t view) {
  const std::vector<KeyColumn>& key = views_[view]->key;
  Alias alias{{}, view};
  std::string_view rest = std::string_view(path).substr(1);
  std::string_view text;
  for (bool more = true; more;) {
    more = next_segment(rest, text);
    if (text.front() != '{') {
      alias.segments.push_back({std::string(text), 0});
      continue;
    }
    const std::string_view name = text.substr(1, text.size() - 2);
    const auto column = std::find_if(key.begin(), key.end(), [&](const KeyColumn& k) { return k.name == name; });
    alias.segments.push_back({"", static_cast<std::size_t>(column - key.begin())});
  }
  const auto same = [&](const Alias& other) {
    return std::equal(alias.segments.begin(), alias.segments.end(), other.segments.begin(), other.segments.end(),
                      [](const Segment& a, const Segment& b) { return a.literal == b.literal; });
  };
  if (const auto other = std::find_if(aliases_.begin(), aliases_.end(), same); other != aliases_.end()) {
    conflicts_.push_back("route " + path + " of view " + views_[view]->name + " is one of view " +
                         views_[other->view]->name + " already, which keeps it");
    return;
  }
  aliases_.push_back(std::move(alias));
}

Route Router::match(std::string_view path) const {
  if (path.starts_with(views_prefix)) return match_views(path.substr(views_prefix.size()));
  Route route;
  if (path == "/v1/views") {
    route.kind = Route::Kind::views;
    return route;
  }
  if (path == "/openapi.json") {
    route.kind = Route::Kind::openapi;
    return route;
  }
  return aliases_.empty() ? route : match_alias(path);
}

Route Router::match_views(std::string_view rest) const {
  Route route;
  bool more = next_segment(rest, route.name);
  const auto view =
      std::find_if(views_.begin(), views_.end(), [&](const ViewDefinition* v) { return v->name == route.name; });
  if (view == views_.end()) {
    route.kind = Route::Kind::unknown_view;
    return route;
  }
  route.view = static_cast<std::size_t>(view - views_.begin());
  if (!more) {
    route.kind = Route::Kind::list;
    return route;
  }
  if (rest == "changes") {
    route.kind = Route::Kind::changes;
    return route;
  }
  route.kind = Route::Kind::wrong_key;
  const std::size_t wanted = (*view)->key.size();
  std::size_t found = 0;
  while (more && found < wanted) more = next_segment(rest, route.values[found++]);
  if (found == wanted && !more) {
    route.kind = Route::Kind::row;
    route.given = (1U << wanted) - 1;
  }
  return route;
}

Route Router::match_alias(std::string_view path) const {
  if (path.empty() || path.front() != '/') return {};
  for (const Alias& alias : aliases_) {
    Route route;
    std::string_view rest = path.substr(1);
    std::string_view text;
    bool more = true;
    bool fits = true;
    for (std::size_t i = 0; i < alias.segments.size() && fits; ++i) {
      fits = more;
      if (!fits) break;
      more = next_segment(rest, text);
      const Segment& segment = alias.segments[i];
      if (!segment.literal.empty()) {
        fits = segment.literal == text;
      } else {
        route.values[segment.column] = text;
        route.given |= 1U << segment.column;
      }
    }
    if (!fits || more) continue;
    route.view = alias.view;
    const bool whole = route.given == (1U << views_[alias.view]->key.size()) - 1;
    route.kind = whole ? Route::Kind::row : Route::Kind::list;
    return route;
  }
  return {};
}

}  // namespace daybook::reader
