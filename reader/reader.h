// The rows of all live views of one database, in memory and kept up to date: what `daybook reader` serves.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "reader/databases.h"
#include "reader/feed.h"
#include "reader/view_rows.h"

namespace daybook::reader {

struct ReaderSettings {
  std::string database;               // of loads; may be a pooler
  std::string feed_database;          // of the feed: a direct connection; empty: `database`
  std::vector<std::string> replicas;  // of loads, in turn; what is behind the feed is loaded from `database` again
  PoolSettings pool;
  std::size_t cache_bytes = 256 << 20;           // for all views together, in equal shares
  std::size_t pages_bytes = 32 << 20;            // of lists, the same
  std::size_t recent_bytes = 16 << 20;           // of commits remembered for those who come back, for each view
  std::size_t warm_rows = 100'000;               // loaded at start, for each view; 0: none
  std::chrono::milliseconds warm_pause{90'000};  // more than one may take: large commits empty memory again and again
  std::chrono::milliseconds lost_after{1500};
  Feed::Settings feed;  // its uri is set from the above
};

struct CacheStats {
  struct View {
    std::string name;
    int generation = 0;
    ViewRows::Figures figures;
    Freshness freshness;
  };
  std::vector<View> views;
  Pool::Figures pool;  // of the primary
  std::uint64_t feed_connects = 0;
  bool warm = false;
};

class Reader {
 public:
  using Views = std::vector<std::shared_ptr<ViewRows>>;

  // Connects, reads the live generations and where they stand, and begins to follow them. Throws RetryError when the
  // database can't be reached, StopError when it is not what this program expects.
  explicit Reader(ReaderSettings settings);
  ~Reader();
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;

  // Views come, go and change their definition while a reader runs: then there is another object, and the one before
  // answers on but says that its feed is lost. All of them stay valid as long as this object, and no longer.
  Views views() const;
  std::shared_ptr<ViewRows> find(std::string_view view) const;
  // Called on the feed's thread after views() changed.
  void on_views(std::function<void(const Views&)> listener);

  // The rows that were to be loaded at start are there, or could not be loaded. What is loaded later, when memory
  // begins anew or a view comes, does not count: all readers do that at the same time, and one of them has to serve.
  bool is_warm() const { return warming_ == 0; }
  CacheStats stats() const;
  // Everything is loaded again when it is asked for.
  void clear();
  // No answer is given any more that was not asked for before.
  void stop();

 private:
  Views renew(pqxx::connection& connection, const Views& before);
  void take(const Views& views);
  void warm(const std::shared_ptr<ViewRows>& view);

  const ReaderSettings settings_;
  Databases databases_;
  mutable std::mutex mutex_;  // of what follows
  Views views_;
  Views former_;
  std::map<const ViewRows*, std::chrono::steady_clock::time_point> warmed_;  // when it last began
  std::vector<std::function<void(const Views&)>> listeners_;
  std::map<const ViewRows*, std::string> served_;  // the member `reader` that it was made with; the feed's thread
  std::set<int> headless_told_;                    // generations; the feed's thread
  std::atomic<bool> starting_{true};
  std::atomic<int> warming_{0};  // of those that began at start
  Feed feed_;
};

}  // namespace daybook::reader
