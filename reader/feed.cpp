#include "reader/feed.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <map>
#include <set>

#include "core/error.h"
#include "sql/render_reader.h"

namespace daybook::reader {
namespace {

using Clock = std::chrono::steady_clock;

struct Entry {
  std::int64_t seq = 0;
  std::string nonce;
  std::string kind;
  std::string body;
  Positions positions;
};

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

Feed::Feed(Settings settings, Renew renew, Taken taken, Emptied emptied)
    : settings_(std::move(settings)),
      renew_(std::move(renew)),
      taken_(std::move(taken)),
      emptied_(std::move(emptied)) {}

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
      connection_.reset();
      if (!lost) spdlog::warn("reader: the change feed is lost: {}; trying again", error.what());
      lost = true;
      for (const auto& view : views_) view->report(error.what());
      const auto until = Clock::now() + delay;
      while (!stopping_ && Clock::now() < until) std::this_thread::sleep_for(std::chrono::milliseconds(10));
      delay = std::min(2 * delay, settings_.retry_max);
    }
  }
  connection_.reset();
}

void Feed::connect() {
  connection_ = postgres::connect(settings_.uri, "daybook-reader-feed", std::chrono::seconds(2));
  ++connects_;
  postgres::bound_statements(*connection_, settings_.statement_max);
  try {
    pqxx::nontransaction transaction(*connection_);
    standby_ = transaction.exec(sql::reader_is_standby())[0][0].as<bool>();
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
  const Clock::time_point begun = Clock::now();
  std::map<int, std::pair<std::int64_t, std::string>> heads;
  std::map<int, std::vector<Entry>> entries;
  try {
    std::vector<std::pair<int, std::int64_t>> from;
    for (const auto& view : views_) from.emplace_back(view->generation(), view->seq());
    pqxx::nontransaction transaction(*connection_);
    for (const auto& row : transaction.exec(sql::render_feed_poll(from, settings_.entries_a_look))) {
      const int generation = row[0].as<int>();
      Entry entry{row[1].as<std::int64_t>(), row[2].as<std::string>(), row[3].as<std::string>(),
                  row[4].as<std::string>(), {}};
      if (entry.kind == "head") {
        heads[generation] = {entry.seq, entry.nonce};
      } else {
        entry.positions = positions_of(row[5], row[6], row[7]);
        entries[generation].push_back(std::move(entry));
      }
    }
  } catch (...) {
    postgres::rethrow("database: reading the change feed");
  }

  std::set<int> live;
  for (const auto& [generation, head] : heads) live.insert(generation);
  if (live != live_) {
    take_views();
    live_ = std::move(live);
    return false;
  }

  bool at_end = true;
  for (const auto& view : views_) {
    const auto& [head, head_nonce] = heads.at(view->generation());
    std::vector<Entry>& news = entries[view->generation()];
    std::sort(news.begin(), news.end(), [](const Entry& a, const Entry& b) { return a.seq < b.seq; });
    const bool full = news.size() == settings_.entries_a_look;

    const std::int64_t known = view->seq();
    const bool has_known = !news.empty() && news.front().seq == known;
    if (head < known || (head == known && head_nonce != view->nonce()) ||
        (has_known && news.front().nonce != view->nonce())) {
      spdlog::warn("reader: view {}: the database fell back from commit {} to another past; all rows are loaded again",
                   view->definition().name, known);
      begin_anew(view, true);
      continue;
    }
    if (has_known) news.erase(news.begin());
    // Before the first commit there is nothing that could be another one.
    if (head > known && !has_known && known > 0) {
      spdlog::warn("reader: view {}: what follows commit {} is not in the change feed any more; all rows are loaded again",
                   view->definition().name, known);
      begin_anew(view, false);
      continue;
    }
    bool anew = false;
    for (Entry& entry : news) {
      Change change{entry.seq, entry.nonce, Change::Kind::none, {}, {}, {}, std::move(entry.positions)};
      read_change(view->definition(), entry.kind, entry.body, change);
      anew = entry.seq != view->seq() + 1 || change.kind == Change::Kind::reset;
      if (anew) break;
      view->apply(std::move(change));
    }
    if (!anew && view->seq() < head && !full) anew = true;  // entries are missing
    if (anew) {
      begin_anew(view, false);
    } else if (view->seq() >= head) {
      view->confirm(begun);
    } else {
      at_end = false;
    }
  }
  return at_end;
}

void Feed::begin_anew(const std::shared_ptr<ViewRows>& rows, bool fell_back) {
  ViewRows& view = *rows;
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
    throw RetryError("view " + view.definition().name + ": generation " + std::to_string(view.generation()) + " is gone");
  view.begin_at(state, fell_back);
  view.confirm(begun);
  emptied_(rows);
}

// Other generations are live than those that are followed.
void Feed::take_views() {
  const Views before = views_;
  const Views after = renew_(*connection_, before);
  for (const auto& view : before) {
    if (std::find(after.begin(), after.end(), view) == after.end())
      view->report("generation " + std::to_string(view->generation()) + " of view " + view->definition().name +
                   " is not live any more");
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
    begin_anew(view, false);
  }
  views_ = after;
  taken_(views_);
}

}  // namespace daybook::reader
