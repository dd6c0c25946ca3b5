#include "reader/feed.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <map>

#include "core/error.h"
#include "sql/render_reader.h"

namespace daybook::reader {
namespace {

using Clock = std::chrono::steady_clock;

// The elements of an array in PostgreSQL's text form.
std::vector<std::string> elements_of(const pqxx::field& field) {
  std::vector<std::string> elements;
  using Juncture = pqxx::array_parser::juncture;
  pqxx::array_parser parser = field.as_array();
  for (auto item = parser.get_next(); item.first != Juncture::done; item = parser.get_next()) {
    if (item.first == Juncture::string_value) elements.push_back(item.second);
  }
  return elements;
}

Positions positions_of(const pqxx::field& topics, const pqxx::field& partitions, const pqxx::field& offsets) {
  const std::vector<std::string> t = elements_of(topics), p = elements_of(partitions), o = elements_of(offsets);
  if (t.size() != p.size() || t.size() != o.size())
    throw StopError("feed: topics, partitions and offsets of an entry are not as many");
  Positions positions;
  for (std::size_t i = 0; i < t.size(); ++i) positions[{t[i], std::stoi(p[i])}] = std::stoll(o[i]);
  return positions;
}

}  // namespace

struct Feed::Entry {
  std::int64_t seq = 0;
  std::string nonce;
  std::string kind;
  std::string body;
  Positions positions;
};

// What one statement read of all views, by generation.
struct Feed::Look {
  struct Head {
    std::int64_t seq = 0;
    std::string nonce;
  };
  Clock::time_point begun;
  std::map<int, std::int64_t> floors;  // as of before it
  std::map<int, Head> heads;
  std::map<int, std::vector<Entry>> entries;
  std::map<int, std::string> live;
  std::size_t limit = 0;  // entries of a view
};

Feed::Feed(Settings settings, Renew renew, Taken taken, Emptied emptied)
    : settings_(std::move(settings)),
      renew_(std::move(renew)),
      taken_(std::move(taken)),
      emptied_(std::move(emptied)),
      limit_(settings_.entries_a_look) {}

void Feed::start() {
  connect();
  look();
  thread_ = std::thread([this] { run(); });
}

void Feed::stop() {
  stopping_ = true;
  if (thread_.joinable()) thread_.join();
}

void Feed::run() {
  std::chrono::milliseconds delay{25};
  bool lost = false;
  while (!stopping_) {
    try {
      if (!connection_) {
        connect();
        look();
        spdlog::info("reader: the change feed is read again");
      }
      if (lost) {
        for (const auto& view : views_) view->report("");
        lost = false;
        delay = std::chrono::milliseconds(25);
      }
      wait();
      look();
    } catch (const std::exception& error) {
      disconnect();
      if (stopping_) break;
      if (!lost) spdlog::warn("reader: the change feed is lost: {}; trying again", error.what());
      lost = true;
      for (const auto& view : views_) view->report(error.what());
      const auto until = Clock::now() + delay;
      while (!stopping_ && Clock::now() < until) std::this_thread::sleep_for(std::chrono::milliseconds(10));
      delay = std::min(2 * delay, settings_.retry_max);
    }
  }
  disconnect();
}

void Feed::disconnect() { connection_.reset(); }

void Feed::connect() {
  connection_ = postgres::connect(settings_.uri, "daybook-reader-feed", std::chrono::seconds(2));
  if (stopping_) throw RetryError("the reader is stopping");  // stop() may have come before that
  ++connects_;
  postgres::bound_statements(*connection_, settings_.statement_max);
  try {
    pqxx::nontransaction transaction(*connection_);
    standby_ = transaction.exec(sql::reader_standby())[0][0].as<bool>();
    lag_ = std::chrono::milliseconds(0);
    if (standby_) return;
    for (const auto& view : views_) transaction.exec(sql::reader_listen(view->generation()));
  } catch (...) {
    postgres::rethrow("database: following the change feed");
  }
}

void Feed::wait() {
  const auto interval = standby_ ? settings_.standby_look_interval : settings_.look_interval;
  try {
    connection_->await_notification(0, static_cast<int>(1000 * interval.count()));
  } catch (...) {
    postgres::rethrow("database: waiting for changes");
  }
}

void Feed::look() {
  while (!look_once() && !stopping_) {
  }
}

bool Feed::look_once() {
  if (standby_) lag_ = standby_lag();
  Look look;
  try {
    look = poll(limit_);
  } catch (...) {
    limit_ = std::max<std::size_t>(1, limit_ / 2);
    postgres::rethrow("database: reading the change feed");
  }
  limit_ = std::min(limit_ + 1, settings_.entries_a_look);

  if (look.live != live_) {
    take_views();
    live_ = std::move(look.live);
    return false;
  }
  bool at_end = true;
  for (const auto& view : views_) {
    if (!look.heads.contains(view->generation())) {
      view->report("generation " + std::to_string(view->generation()) + " of view " + view->definition().name +
                   " has no head in the database");
      live_.clear();  // the next look asks again which views there are
      continue;
    }
    if (!follow(view, look, look.entries[view->generation()])) at_end = false;
  }
  return at_end;
}

Feed::Look Feed::poll(std::size_t limit) {
  Look look;
  look.begun = Clock::now();
  look.limit = limit;
  std::vector<std::pair<int, std::int64_t>> from;
  for (const auto& view : views_) {
    from.emplace_back(view->generation(), view->seq());
    look.floors[view->generation()] = view->floor();
  }
  pqxx::nontransaction transaction(*connection_);
  for (const auto& row : transaction.exec(sql::render_feed_poll(from, limit))) {
    const int generation = row[0].as<int>();
    Entry entry{
        row[1].as<std::int64_t>(), row[2].as<std::string>(), row[3].as<std::string>(), row[4].as<std::string>(), {}};
    if (entry.kind == "head") {
      look.heads[generation] = {entry.seq, entry.nonce};
      look.live[generation] = entry.body;
    } else {
      entry.positions = positions_of(row[5], row[6], row[7]);
      look.entries[generation].push_back(std::move(entry));
    }
  }
  return look;
}

// Brings a view to the state that a look found. False: there is more to read at once.
bool Feed::follow(const std::shared_ptr<ViewRows>& view, const Look& look, std::vector<Entry>& news) {
  const auto& [head, head_nonce] = look.heads.at(view->generation());
  std::sort(news.begin(), news.end(), [](const Entry& a, const Entry& b) { return a.seq < b.seq; });
  const bool full = news.size() == look.limit;
  const auto fell_back = [&] {
    spdlog::warn("reader: view {}: the database fell back from commit {} to another past; all rows are loaded again",
                 view->definition().name, view->floor());
    begin_anew(view, true);
    return true;
  };

  const std::int64_t known = view->seq();
  const bool has_known = !news.empty() && news.front().seq == known;
  if (head < known || (head == known && head_nonce != view->nonce()) ||
      (has_known && news.front().nonce != view->nonce()))
    return fell_back();
  // Loads showed what is not there any more. They were from the primary, which a standby may be behind.
  if (!standby_ && head < look.floors.at(view->generation())) return fell_back();
  if (has_known) news.erase(news.begin());
  // Before the first commit there is nothing that could be another one.
  if (head > known && !has_known && known > 0) {
    spdlog::warn(
        "reader: view {}: what follows commit {} is not in the change feed any more; all rows are loaded again",
        view->definition().name, known);
    begin_anew(view, false);
    return true;
  }
  bool anew = false;
  for (Entry& entry : news) {
    Change change{entry.seq, entry.nonce, Change::Kind::none, {}, {}, {}, std::move(entry.positions)};
    read_entry(*view, entry, change);
    anew = entry.seq != view->seq() + 1 || change.kind == Change::Kind::reset;
    if (anew) break;
    if (!view->apply(std::move(change))) return fell_back();
  }
  if (!anew && view->seq() < head && !full) anew = true;  // entries are missing
  if (anew) {
    begin_anew(view, false);
  } else if (view->seq() >= head) {
    confirm(*view, look.begun);
  } else {
    return false;
  }
  return true;
}

// What can't be read, as from a newer worker, may have changed anything: the other views, and this one, go on.
void Feed::read_entry(const ViewRows& view, const Entry& entry, Change& change) {
  try {
    read_change(view.definition(), entry.kind, entry.body, change);
  } catch (const StopError& error) {
    change.kind = Change::Kind::reset;
    if (unreadable_told_.insert(view.generation()).second)
      spdlog::error("reader: view {}: {}; all rows are loaded again, now and after each such entry",
                    view.definition().name, error.what());
  }
}

std::optional<std::chrono::milliseconds> Feed::standby_lag() {
  bool receives = false;
  std::chrono::milliseconds lag{0};
  try {
    pqxx::nontransaction transaction(*connection_);
    const pqxx::result standby = transaction.exec(sql::reader_standby());
    if (!standby[0][0].as<bool>()) throw RetryError("the standby was promoted");  // it has notifications now
    receives = standby[0][1].as<bool>();
    lag = std::chrono::milliseconds(standby[0][2].as<std::int64_t>());
  } catch (...) {
    postgres::rethrow("database: asking a standby");
  }
  for (const auto& view : views_) view->report(receives ? "" : "the standby receives nothing from its primary");
  if (!receives) return std::nullopt;
  return lag;
}

// The end of the feed was found by a look that began then.
void Feed::confirm(ViewRows& view, Clock::time_point begun) {
  if (lag_) view.confirm(begun - *lag_);
}

void Feed::begin_anew(const std::shared_ptr<ViewRows>& view, bool fell_back) {
  read_state(*view, fell_back);
  emptied_(view);
}

void Feed::read_state(ViewRows& view, bool fell_back) {
  const Clock::time_point begun = Clock::now();
  ViewState state;
  try {
    pqxx::nontransaction transaction(*connection_);
    for (const auto& row : transaction.exec(view.state_statement())) {
      state.seq = row[0].as<std::int64_t>();
      state.nonce = row[1].as<std::string>();
      if (!row[2].is_null()) state.positions[{row[2].as<std::string>(), row[3].as<int>()}] = row[4].as<std::int64_t>();
    }
  } catch (...) {
    postgres::rethrow("database: reading where view " + view.definition().name + " stands");
  }
  if (state.nonce.empty())
    throw RetryError("view " + view.definition().name + ": generation " + std::to_string(view.generation()) +
                     " is gone");
  view.begin_at(state, fell_back);
  confirm(view, begun);
}

// Other generations are live than those that are followed, or one is to be served in another way.
void Feed::take_views() {
  const Views before = views_;
  const Views after = renew_(*connection_, before);
  Views added;
  for (const auto& view : before) {
    if (std::find(after.begin(), after.end(), view) == after.end())
      view->report("generation " + std::to_string(view->generation()) + " of view " + view->definition().name +
                   " is not live any more, or served in another way now");
  }
  for (const auto& view : after) {
    if (std::find(before.begin(), before.end(), view) != before.end()) continue;
    if (!standby_) {
      try {
        pqxx::nontransaction transaction(*connection_);
        transaction.exec(sql::reader_listen(view->generation()));
      } catch (...) {
        postgres::rethrow("database: following the change feed");
      }
    }
    read_state(*view, false);
    added.push_back(view);
  }
  views_ = after;
  taken_(views_);
  for (const auto& view : added) emptied_(view);
}

}  // namespace daybook::reader
