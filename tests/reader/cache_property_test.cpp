// Loads, feed entries, resets, evictions, warm-up and reads in any order, against a model of the database that keeps
// all of its past. Every answer must be what the database said at some commit that is no older than the feed's and no
// older than what was shown of that key before. When the database falls back to a state from before, what was loaded
// ahead of the feed may be of the lost past until the feed comes there, and not longer.
#include <doctest/doctest.h>

#include <algorithm>
#include <iostream>
#include <map>
#include <random>
#include <set>

#include "core/row_key.h"
#include "reader/cache.h"

using namespace daybook;
using namespace daybook::reader;

namespace {

struct Size {
  int entities = 3;
  int dates = 5;
};
using Place = std::pair<int, int>;  // entity, date

// The rows after one commit, and what it changed.
struct Version {
  std::map<Place, std::string> rows;
  Change change;
};

std::string key_of(const Place& place) {
  std::string key;
  row_key::append_integer(key, place.first);
  row_key::append_date(key, postgres_epoch + place.second);
  return key;
}

std::string entity_of(int entity) {
  std::string key;
  row_key::append_integer(key, entity);
  return key;
}

class Database {
 public:
  Database(const Size& size, bool carries) : size_(size), carries_(carries) { versions_.emplace_back(); }
  std::int64_t head() const { return static_cast<std::int64_t>(versions_.size()) - 1; }
  const Version& at(std::int64_t seq) const { return versions_.at(static_cast<std::size_t>(seq)); }

  // "r…" a row, "c…" carried from that row, "" absent.
  std::string answer(const Place& place, std::int64_t seq) const { return answer(place, at(seq)); }
  std::string answer(const Place& place, const Version& version) const {
    const auto& rows = version.rows;
    const auto row = rows.find(place);
    if (row != rows.end()) return "r" + row->second;
    if (carries_) {
      auto before = rows.lower_bound(place);
      if (before != rows.begin() && (--before)->first.first == place.first) return "c" + before->second;
    }
    return "";
  }

  Place any_place(std::mt19937& random) const {
    const auto entity = random() % static_cast<unsigned>(size_.entities);
    return {static_cast<int>(entity), static_cast<int>(random() % static_cast<unsigned>(size_.dates))};
  }
  void commit(std::mt19937& random) {
    Version next{versions_.back().rows, {}};
    Change& change = next.change;
    change.seq = head() + 1;
    const std::string value = std::to_string(lineage_) + "." + std::to_string(change.seq);
    change.nonce = value;
    const bool with_values = random() % 3 != 0;
    change.kind = with_values ? Change::Kind::rows : Change::Kind::keys;
    std::set<Place> written;
    for (std::size_t n = random() % 3; n > 0; --n) {  // none: positions only
      const Place place = any_place(random);
      next.rows[place] = value;
      written.insert(place);
      if (!with_values) change.keys.push_back(key_of(place));
      if (!carries_) continue;
      // A level: the later rows of the entity change as well.
      for (auto later = next.rows.upper_bound(place); later != next.rows.end() && later->first.first == place.first;
           ++later) {
        later->second = value;
        written.insert(later->first);
      }
      if (!with_values) change.ranges.push_back({entity_of(place.first), place.second, std::nullopt});
    }
    if (with_values) {
      for (const Place& place : written) change.rows.push_back({key_of(place), next.rows[place]});
    }
    versions_.push_back(std::move(next));
  }
  // Some of the last answers are of a past that was lost.
  bool lost(const Place& place, const std::string& text) const {
    return std::any_of(lost_.begin(), lost_.end(),
                       [&](const Version& version) { return answer(place, version) == text; });
  }
  void fall_back(std::int64_t seq) {
    lost_.insert(lost_.end(), versions_.begin() + seq + 1, versions_.end());
    versions_.resize(static_cast<std::size_t>(seq) + 1);
    ++lineage_;
  }

 private:
  const Size size_;
  const bool carries_;
  int lineage_ = 0;
  std::vector<Version> versions_, lost_;
};

std::string text_of(const HotRow& row) {
  switch (row.kind) {
    case HotRow::Kind::row:
      return "r" + row.json();
    case HotRow::Kind::carried:
      return "c" + row.json();
    case HotRow::Kind::absent:
      return "";
  }
  return "?";
}

class Run {
 public:
  Run(std::uint32_t seed, const Size& size, bool carries)
      : random_(seed),
        database_(size, carries),
        cache_({true, carries, 16 * 700, 2}, frontier_,
               [this](const ChangedRow& row) { return make_row(style_, HotRow::Kind::row, row.json); }) {}

  // Empty: all was as it must be. Else what was not.
  std::string run(int steps) {
    for (int i = 0; i < steps && mistake_.empty(); ++i) step();
    return mistake_;
  }
  int answers() const { return answers_; }
  int lost_answers() const { return lost_answers_; }

 private:
  struct Load {
    bool has_snapshot = false;
    Loaded loaded;
  };

  Place any_place() { return database_.any_place(random_); }
  HotRowPtr hot(const Place& place, std::int64_t seq) {
    const std::string text = database_.answer(place, seq);
    if (text.empty()) return absent_;
    return make_row(style_, text[0] == 'r' ? HotRow::Kind::row : HotRow::Kind::carried, text.substr(1));
  }
  // What a load reads now: the primary, or a replica that lags.
  std::int64_t snapshot() {
    const std::int64_t lag = random_() % 2 == 0 ? 0 : static_cast<std::int64_t>(random_() % 6);
    return std::max<std::int64_t>(0, database_.head() - lag);
  }

  void check(const char* what, const Place& place, const HotRow& row) {
    ++answers_;
    const std::string text = text_of(row);
    const std::int64_t first = std::max(applied_, shown_[place]);
    for (std::int64_t seq = first; seq <= database_.head(); ++seq) {
      if (database_.answer(place, seq) != text) continue;
      shown_[place] = seq;
      return;
    }
    if (frontier_.now().floor > applied_ && database_.lost(place, text)) {
      ++lost_answers_;
      return;
    }
    mistake_ = std::string(what) + " of entity " + std::to_string(place.first) + " date " +
               std::to_string(place.second) + " answered '" + text + "', which was in the database at no commit from " +
               std::to_string(first) + " to " + std::to_string(database_.head()) + " (applied " +
               std::to_string(applied_) + ")";
  }

  void step() {
    switch (random_() % 16) {
      case 0:
      case 1:
        database_.commit(random_);
        break;
      case 2:
      case 3:
        feed();
        break;
      case 4:
      case 5:
      case 6: {
        const Place place = any_place();
        if (const HotRowPtr row = cache_.find(key_of(place))) check("a read", place, *row);
        break;
      }
      case 7:
      case 8: {
        const Place place = any_place();
        if (loads_.contains(place)) break;
        const Cache::Begun begun = cache_.begin_load(key_of(place));
        if (begun.present) {
          check("a read", place, *begun.present);
        } else {
          loads_[place] = {};
        }
        break;
      }
      case 9:
      case 10:
      case 11:
        go_on_loading();
        break;
      case 12:
        bulk();
        break;
      case 13:
        cache_.invalidate(key_of(any_place()));
        break;
      case 14:
        if (random_() % 20 == 0) fall_back(random_() % 2 == 0);
        break;
      case 15:
        if (random_() % 20 == 0) begin_anew(false);  // the worker's reset: the state of now is read
        break;
    }
  }

  // The two halves of ViewRows::apply: loads may begin and end between them.
  void feed() {
    if (rising_) {
      cache_.apply(database_.at(applied_ + 1).change);
      ++applied_;
      rising_ = false;
    } else if (database_.head() < frontier_.now().floor) {
      begin_anew(true);
    } else if (applied_ < database_.head()) {
      if (frontier_.rise(applied_ + 1, database_.at(applied_ + 1).change.nonce)) {
        rising_ = true;
      } else {
        begin_anew(true);
      }
    }
  }
  void begin_anew(bool fell_back) {
    frontier_.begin_anew(database_.head(), database_.at(database_.head()).change.nonce, fell_back);
    cache_.clear();
    applied_ = database_.head();
    rising_ = false;
  }

  void go_on_loading() {
    if (loads_.empty()) return;
    auto load = loads_.begin();
    std::advance(load, random_() % loads_.size());
    const Place place = load->first;
    if (!load->second.has_snapshot) {
      const std::int64_t seq = snapshot();
      load->second = {true, {seq, nonce_of(seq), hot(place, seq)}};
      return;
    }
    if (random_() % 10 == 0) {
      cache_.abandon_load(key_of(place));
      loads_.erase(load);
      return;
    }
    const auto finished = cache_.finish_load(key_of(place), load->second.loaded);
    if (const HotRowPtr* row = std::get_if<HotRowPtr>(&finished)) {
      loads_.erase(load);
      check("a load", place, **row);
    } else {
      load->second.has_snapshot = false;
    }
  }

  void bulk() {
    if (!bulk_) {
      cache_.begin_bulk();
      bulk_ = snapshot();
      return;
    }
    for (const auto& [place, json] : bulk_rows_) cache_.offer(key_of(place), {*bulk_, bulk_nonce_, hot_of(json)});
    if (!bulk_rows_.empty()) {
      cache_.end_bulk();
      bulk_.reset();
      bulk_rows_.clear();
    } else {
      bulk_ = snapshot();
      bulk_nonce_ = nonce_of(*bulk_);
      bulk_rows_ = database_.at(*bulk_).rows;
      if (bulk_rows_.empty()) {
        cache_.end_bulk();
        bulk_.reset();
      }
    }
  }
  std::string nonce_of(std::int64_t seq) const { return database_.at(seq).change.nonce; }
  HotRowPtr hot_of(const std::string& json) { return make_row(style_, HotRow::Kind::row, json); }

  // A standby that lagged takes over: its numbers mean other commits from now on. What was read of the former past may
  // arrive later. `seen`: the feed notices at once, since it was further than that standby.
  void fall_back(bool seen) {
    const std::int64_t least = seen ? 0 : applied_ + (rising_ ? 1 : 0);
    const std::int64_t to = std::max(least, database_.head() - static_cast<std::int64_t>(random_() % 4));
    database_.fall_back(to);
    for (std::size_t n = random_() % 3; n > 0; --n) database_.commit(random_);
    for (auto& [place, seq] : shown_) seq = std::min(seq, to);
    if (seen) begin_anew(true);
  }

  std::mt19937 random_;
  Database database_;
  Frontier frontier_;
  const AnswerStyle style_{"v", "no-cache"};
  const HotRowPtr absent_ = make_absent(style_);
  Cache cache_;
  std::int64_t applied_ = 0;
  bool rising_ = false;
  std::map<Place, std::int64_t> shown_;
  std::map<Place, Load> loads_;
  std::optional<std::int64_t> bulk_;
  std::string bulk_nonce_;
  std::map<Place, std::string> bulk_rows_;
  int answers_ = 0, lost_answers_ = 0;
  std::string mistake_;
};

}  // namespace

TEST_CASE("any order of loads, changes, resets, evictions and reads: no wrong answer, none goes back in time") {
  int answers = 0, lost_answers = 0;
  for (std::uint32_t seed = 1; seed <= 3000; ++seed) {
    // With few rows everything happens to the same ones.
    const bool few = seed % 2 == 0;
    Run run(seed, few ? Size{1, 2} : Size{}, seed % 4 != 0);
    const std::string mistake = run.run(few ? 800 : 400);
    answers += run.answers();
    lost_answers += run.lost_answers();
    INFO("seed ", seed);
    REQUIRE(mistake == "");
  }
  std::cout << "cache: 3000 seeds, " << answers << " answers checked, " << lost_answers
            << " of a past that was lost just before\n";
  CHECK(answers > 150'000);
  CHECK(lost_answers > 100);
}
