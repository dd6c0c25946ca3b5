// Tails the change feeds of all views: one thread, one database session of its own. Notifications wake it; looking is
// the truth, so that a hot standby, which has no notifications, serves as well.
//
// Each look reads the last entry known again, with all that is behind it. The memory of a view begins anew when that
// entry is another one (another nonce: the database fell back to a state from before), when it is gone while there are
// newer ones, when there is a gap, when the worker says so (`reset`), and when loads showed commits that turn out to be
// others.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "postgres/connection.h"
#include "reader/view_rows.h"

namespace daybook::reader {

class Feed {
 public:
  struct Settings {
    std::string uri;  // direct: notifications do not come through a pooler in transaction mode
    std::chrono::milliseconds look_interval{100};
    std::chrono::milliseconds standby_look_interval{20};
    std::chrono::milliseconds statement_max{1'000};
    std::chrono::milliseconds retry_max{500};
    std::size_t entries_a_look = 64;  // of each view; fewer after a look that failed: it may have taken too long
  };
  using Views = std::vector<std::shared_ptr<ViewRows>>;
  // Other generations are live than those of `views`, or one is to be served in another way. Returns all that are now
  // and can be read; may throw.
  using Renew = std::function<Views(pqxx::connection& connection, const Views& views)>;
  // These are followed from now on, and their states are known.
  using Taken = std::function<void(const Views& views)>;
  // The memory of a view was emptied, or is new.
  using Emptied = std::function<void(const std::shared_ptr<ViewRows>& view)>;

  // The functions are called on the feed's thread, and in start().
  Feed(Settings settings, Renew renew, Taken taken, Emptied emptied);
  ~Feed() { stop(); }
  Feed(const Feed&) = delete;
  Feed& operator=(const Feed&) = delete;

  // Connects and brings all views to the state of now; throws when that does not work. Then goes on by itself.
  void start();
  void stop();

  std::uint64_t connects() const { return connects_; }

 private:
  void run();
  void connect();
  void disconnect();
  void look();
  bool look_once();  // false: there is more to read at once
  struct Entry;
  struct Look;
  Look poll(std::size_t limit);
  bool follow(const std::shared_ptr<ViewRows>& view, const Look& look, std::vector<Entry>& news);
  void read_entry(const ViewRows& view, const Entry& entry, Change& change);
  void take_views();
  void begin_anew(const std::shared_ptr<ViewRows>& view, bool fell_back);
  void read_state(ViewRows& view, bool fell_back);
  void wait();
  std::optional<std::chrono::milliseconds> standby_lag();
  void confirm(ViewRows& view, std::chrono::steady_clock::time_point begun);

  const Settings settings_;
  const Renew renew_;
  const Taken taken_;
  const Emptied emptied_;
  Views views_;
  // Generations and how they are served, with those that can't be followed.
  std::map<int, std::string> live_;
  std::size_t limit_;              // entries of the next look
  std::set<int> unreadable_told_;  // generations
  postgres::Connection connection_;
  bool standby_ = false;
  // By how much a standby is behind its primary; nothing: it does not know. Zero for a primary.
  std::optional<std::chrono::milliseconds> lag_{0};
  std::atomic<bool> stopping_{false};
  std::atomic<std::uint64_t> connects_{0};
  std::thread thread_;
};

}  // namespace daybook::reader
