#include "reader/view_rows.h"

namespace daybook::reader {

ViewRows::ViewRows(ViewDefinition view, int generation, const std::string& table, const Settings& settings,
                   Databases& databases)
    : view_(std::move(view)),
      generation_(generation),
      settings_(settings),
      state_statement_(sql::ReaderStatements(view_, generation, table).state),
      style_{view_.name, settings.cache_control},
      cache_({view_.has_date(), view_.has_balance(), settings.rows_bytes}, frontier_,
             [this](const std::string& json) { return make_row(style_, HotRow::Kind::row, json); }),
      pages_(view_.has_date(), settings.pages_bytes, frontier_),
      confirmed_(Clock::now()),
      recent_(settings.recent_bytes),
      loader_(view_, sql::ReaderStatements(view_, generation, table), style_, cache_, pages_, frontier_, databases) {}

void ViewRows::load(std::string key, std::function<void(Result<HotRowPtr>, Cost)> done) {
  loader_.load(std::move(key), std::move(done));
}

void ViewRows::list(ListQuery query, std::function<void(Result<ListPage>, Cost)> done) {
  loader_.list(std::move(query), std::move(done));
}

Freshness ViewRows::freshness_at(Clock::time_point now) const {
  Freshness freshness;
  freshness.age = std::chrono::ceil<std::chrono::milliseconds>(now - confirmed_.load());
  freshness.feed_is_lost = freshness.age > settings_.lost_after;
  freshness.seq = seq_;
  if (freshness.feed_is_lost) {
    const std::lock_guard lock(mutex_);
    freshness.detail = trouble_.empty() ? "the change feed was not read to its end for " +
                                              std::to_string(freshness.age.count()) + " ms"
                                        : trouble_;
  }
  return freshness;
}

bool ViewRows::has_applied(const TopicPartition& partition, std::int64_t next_offset) const {
  const std::lock_guard lock(mutex_);
  const auto position = positions_.find(partition);
  return position != positions_.end() && position->second >= next_offset;
}

bool ViewRows::knows(const TopicPartition& partition) const {
  const std::lock_guard lock(mutex_);
  return positions_.contains(partition);
}

void ViewRows::on_change(std::function<void(const ChangeSetPtr&)> listener) {
  const std::lock_guard lock(mutex_);
  listeners_.push_back(std::move(listener));
}

std::optional<std::vector<ChangeSetPtr>> ViewRows::changes_since(int generation, std::int64_t seq,
                                                                 std::string_view nonce) const {
  if (generation != generation_) return std::nullopt;
  const std::lock_guard lock(mutex_);
  return recent_.since(seq, nonce);
}

std::string ViewRows::nonce() const {
  const std::lock_guard lock(mutex_);
  const std::string* const nonce = recent_.nonce_of(seq_);
  return nonce != nullptr ? *nonce : std::string();
}

void ViewRows::begin_at(const ViewState& state, bool fell_back) {
  frontier_.begin_anew(state.seq, state.nonce, fell_back);
  cache_.clear();
  pages_.clear();
  {
    const std::lock_guard lock(mutex_);
    positions_ = state.positions;
    recent_.begin_at(state.seq, state.nonce);
    seq_ = state.seq;
  }
  ++begun_;
  auto set = std::make_shared<ChangeSet>();
  set->generation = generation_;
  set->seq = state.seq;
  set->nonce = state.nonce;
  set->reset = true;
  tell(set);
}

bool ViewRows::apply(Change change) {
  // First, so that a load that begins after its key was dropped is not answered from before this commit.
  if (!frontier_.rise(change.seq, change.nonce)) return false;
  cache_.apply(change);
  pages_.apply(change);
  auto set = std::make_shared<ChangeSet>();
  set->generation = generation_;
  set->seq = change.seq;
  set->nonce = change.nonce;
  // Which rows changed is known, but not how: whoever follows values has to ask.
  set->reset = change.kind == Change::Kind::keys;
  set->rows = std::move(change.rows);
  {
    const std::lock_guard lock(mutex_);
    for (const auto& [partition, next_offset] : change.positions) positions_[partition] = next_offset;
    recent_.add(set);
    seq_ = change.seq;
  }
  ++applied_;
  tell(set);
  return true;
}

void ViewRows::tell(const ChangeSetPtr& set) {
  std::vector<std::function<void(const ChangeSetPtr&)>> listeners;
  {
    const std::lock_guard lock(mutex_);
    listeners = listeners_;
  }
  for (const auto& listener : listeners) listener(set);
}

void ViewRows::confirm(Clock::time_point when) { confirmed_ = when; }

void ViewRows::report(const std::string& trouble) {
  const std::lock_guard lock(mutex_);
  trouble_ = trouble;
}

void ViewRows::clear() {
  frontier_.begin_epoch();
  cache_.clear();
  pages_.clear();
}

bool ViewRows::invalidate(std::string_view key) {
  pages_.invalidate(key);
  return cache_.invalidate(key);
}

ViewRows::Figures ViewRows::figures() const {
  return {cache_.figures(), pages_.figures(), loader_.figures(), applied_, begun_ > 0 ? begun_ - 1 : 0};
}

}  // namespace daybook::reader
