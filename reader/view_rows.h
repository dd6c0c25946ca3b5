// One view's rows in a reader: memory, kept up by the feed, filled by loads.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "reader/cache.h"
#include "reader/databases.h"
#include "reader/loader.h"
#include "reader/pages.h"
#include "reader/recent.h"
#include "reader/rows.h"

namespace daybook::reader {

// Where a view stands, read in one snapshot.
struct ViewState {
  std::int64_t seq = 0;
  std::string nonce;
  Positions positions;
};

class ViewRows : public Rows {
 public:
  struct Settings {
    std::size_t rows_bytes = 256 << 20;
    std::size_t pages_bytes = 32 << 20;
    std::size_t recent_bytes = 16 << 20;
    std::chrono::milliseconds lost_after{1500};  // without a look that found the end of the feed
    std::string cache_control = "no-cache";
  };
  using Clock = std::chrono::steady_clock;

  // `table`: schema and name, each quoted, as daybook.generation has it.
  ViewRows(ViewDefinition view, int generation, const std::string& table, const Settings& settings,
           Databases& databases);

  const ViewDefinition& definition() const override { return view_; }
  int generation() const override { return generation_; }
  HotRowPtr find_hot(std::string_view key) override { return cache_.find(key); }
  void load(std::string key, std::function<void(Result<HotRowPtr>, Cost)> done) override;
  void list(ListQuery query, std::function<void(Result<ListPage>, Cost)> done) override;
  Freshness freshness() const override { return freshness_at(Clock::now()); }
  bool has_applied(const TopicPartition& partition, std::int64_t next_offset) const override;
  bool knows(const TopicPartition& partition) const override;
  void on_change(std::function<void(const ChangeSetPtr&)> listener) override;
  std::optional<std::vector<ChangeSetPtr>> changes_since(int generation, std::int64_t seq,
                                                         std::string_view nonce) const override;

  // --- The feed's side: one thread.
  const std::string& state_statement() const { return state_statement_; }
  // Memory begins anew at this state. `fell_back`: the database lost commits (a restored backup, a standby that
  // lagged).
  void begin_at(const ViewState& state, bool fell_back);
  // The next commit: change.seq is seq() + 1. False: a load showed another one under this number, so that the database
  // fell back; nothing was done.
  bool apply(Change change);
  // The newest commit that anything was shown of.
  std::int64_t floor() const { return frontier_.now().floor; }
  // All that was committed before `when` is in memory.
  void confirm(Clock::time_point when);
  // The feed can't be read, or not any more; what is known stays, and ages. Empty: it can again.
  void report(const std::string& trouble);
  std::int64_t seq() const { return seq_; }
  std::string nonce() const;

  Freshness freshness_at(Clock::time_point now) const;
  // Nothing is answered any more that was read before this: of any row, or of this one and what depends on it.
  void clear();
  bool invalidate(std::string_view key);
  std::size_t warm(std::size_t rows) { return loader_.warm(rows); }
  void set_limit(std::size_t bytes) { cache_.set_limit(bytes); }

  struct Figures {
    Cache::Figures rows;
    Pages::Figures pages;
    Loader::Figures loads;
    std::uint64_t applied = 0;  // commits
    std::uint64_t resets = 0;   // memory began anew, beyond the first time
  };
  Figures figures() const;

 private:
  void tell(const ChangeSetPtr& set);

  const ViewDefinition view_;
  const int generation_;
  const Settings settings_;
  const std::string state_statement_;
  const AnswerStyle style_;
  Frontier frontier_;
  Cache cache_;
  Pages pages_;
  std::atomic<std::int64_t> seq_{0};
  std::atomic<Clock::time_point> confirmed_;
  std::atomic<std::uint64_t> applied_{0}, begun_{0};

  mutable std::mutex mutex_;  // of what follows
  std::string trouble_;
  Positions positions_;
  Recent recent_;
  std::vector<std::function<void(const ChangeSetPtr&)>> listeners_;

  Loader loader_;  // last: its answers use the rest
};

}  // namespace daybook::reader
