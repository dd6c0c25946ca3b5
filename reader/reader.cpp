#include "reader/reader.h"

#include <spdlog/spdlog.h>

#include <algorithm>

#include "core/definition_reader.h"
#include "core/error.h"
#include "sql/apply.h"
#include "sql/render_reader.h"

namespace daybook::reader {
namespace {

Feed::Settings feed_settings(const ReaderSettings& settings) {
  Feed::Settings feed = settings.feed;
  feed.uri = settings.feed_database.empty() ? settings.database : settings.feed_database;
  return feed;
}

// A view that this program can't read is left out: the others are served.
std::optional<ViewDefinition> definition_of(const std::string& view, const std::string& text,
                                            const std::string& served) {
  DefinitionOrMistakes read = read_stored_definition(text, served);
  if (ViewDefinition* definition = std::get_if<ViewDefinition>(&read)) return std::move(*definition);
  spdlog::error(
      "reader: view {} is not served: its definition in the database is not one that this program can read: {}; "
      "use the program that applied it, or a newer one",
      view, to_string(std::get<std::vector<DefinitionMistake>>(read).front()));
  return std::nullopt;
}

}  // namespace

Reader::Reader(ReaderSettings settings)
    : settings_(std::move(settings)),
      databases_(settings_.database, settings_.replicas, settings_.pool),
      feed_(
          feed_settings(settings_),
          [this](pqxx::connection& connection, const Views& before) { return renew(connection, before); },
          [this](const Views& views) { take(views); }, [this](const std::shared_ptr<ViewRows>& view) { warm(view); }) {
  feed_.start();
  starting_ = false;
}

Reader::~Reader() { stop(); }

void Reader::stop() {
  feed_.stop();
  databases_.stop();
}

Reader::Views Reader::views() const {
  const std::lock_guard lock(mutex_);
  return views_;
}

std::shared_ptr<ViewRows> Reader::find(std::string_view view) const {
  const std::lock_guard lock(mutex_);
  const auto found =
      std::find_if(views_.begin(), views_.end(), [&](const auto& rows) { return rows->definition().name == view; });
  return found == views_.end() ? nullptr : *found;
}

void Reader::on_views(std::function<void(const Views&)> listener) {
  const std::lock_guard lock(mutex_);
  listeners_.push_back(std::move(listener));
}

Reader::Views Reader::renew(pqxx::connection& connection, const Views& before) {
  sql::require_migrated(connection);
  Views after;
  try {
    pqxx::nontransaction transaction(connection);
    const pqxx::result generations = transaction.exec(sql::reader_generations());
    const std::size_t share = std::max<std::size_t>(generations.size(), 1);
    for (const auto& row : generations) {
      const int id = row[0].as<int>();
      const std::string name = row[1].as<std::string>();
      const std::string served = row[4].as<std::string>();
      const auto known = std::find_if(before.begin(), before.end(), [&](const auto& view) {
        return view->generation() == id && served_[view.get()] == served;
      });
      if (known != before.end()) {
        after.push_back(*known);
        continue;
      }
      if (!row[5].as<bool>()) {
        if (headless_told_.insert(id).second) {
          spdlog::error(
              "reader: view {} is not served: its generation {} has no row in daybook.view_head, where its last commit "
              "should be; restore the database from a whole backup",
              name, id);
        }
        continue;
      }
      std::optional<ViewDefinition> definition = definition_of(name, row[3].as<std::string>(), served);
      if (!definition) continue;
      ViewRows::Settings settings;
      settings.rows_bytes = settings_.cache_bytes / share;
      settings.pages_bytes = settings_.pages_bytes / share;
      settings.recent_bytes = settings_.recent_bytes;
      settings.lost_after = settings_.lost_after;
      settings.cache_control = definition->cache_control();
      after.push_back(
          std::make_shared<ViewRows>(std::move(*definition), id, row[2].as<std::string>(), settings, databases_));
      served_[after.back().get()] = served;
    }
  } catch (...) {
    postgres::rethrow("database: reading the views");
  }
  return after;
}

void Reader::take(const Views& views) {
  std::vector<std::function<void(const Views&)>> listeners;
  {
    const std::lock_guard lock(mutex_);
    for (const auto& view : views_) {
      if (std::find(views.begin(), views.end(), view) != views.end()) continue;
      former_.push_back(view);  // loads may be under way
      view->set_limit(0);
      view->clear();
    }
    for (const auto& view : views) view->set_limit(settings_.cache_bytes / views.size());
    views_ = views;
    listeners = listeners_;
  }
  for (const auto& listener : listeners) listener(views);
}

// Memory is empty: the newest days come back without being asked for. Not again and again, while large commits empty
// it.
void Reader::warm(const std::shared_ptr<ViewRows>& view) {
  if (settings_.warm_rows == 0) return;
  {
    const std::lock_guard lock(mutex_);
    const auto now = std::chrono::steady_clock::now();
    const auto [last, is_first] = warmed_.try_emplace(view.get(), now);
    if (!is_first && now - last->second < settings_.warm_pause) return;
    last->second = now;
  }
  const int counted = starting_ ? 1 : 0;
  warming_ += counted;
  databases_.crew().post([this, view, counted] {
    const std::string& name = view->definition().name;
    try {
      const std::size_t rows = view->warm(settings_.warm_rows);
      spdlog::info("reader: view {}: {} rows in memory", name, rows);
    } catch (const std::exception& error) {
      spdlog::warn("reader: view {}: no rows were loaded beforehand: {}", name, error.what());
    }
    warming_ -= counted;
  });
}

void Reader::clear() {
  for (const auto& view : views()) view->clear();
}

CacheStats Reader::stats() const {
  CacheStats stats;
  for (const auto& view : views())
    stats.views.push_back({view->definition().name, view->generation(), view->figures(), view->freshness()});
  stats.pool = databases_.primary().figures();
  stats.feed_connects = feed_.connects();
  stats.warm = is_warm();
  return stats;
}

}  // namespace daybook::reader
