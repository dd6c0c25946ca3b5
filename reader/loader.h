// Brings rows and pages from the database into memory: once however many ask (single flight), and the misses of one
// moment with one query. Any thread.
#pragma once

#include <absl/container/flat_hash_map.h>

#include <atomic>
#include <deque>
#include <functional>
#include <mutex>
#include <string>
#include <vector>

#include "reader/cache.h"
#include "reader/databases.h"
#include "reader/hot_row.h"
#include "reader/pages.h"
#include "reader/rows.h"
#include "sql/render_reader.h"

namespace daybook::reader {

class Loader {
 public:
  using RowDone = std::function<void(Result<HotRowPtr>, Cost)>;
  using ListDone = std::function<void(Result<ListPage>, Cost)>;
  Loader(const ViewDefinition& view, sql::ReaderStatements statements, const AnswerStyle& style, Cache& cache,
         Pages& pages, Frontier& frontier, Databases& databases);

  void load(std::string key, RowDone done);
  void list(ListQuery query, ListDone done);
  // Fills memory with the newest days, at most `rows` rows. Blocks. Throws as Pool::read does. Returns how many it
  // took; none when another one is at it.
  std::size_t warm(std::size_t rows);

  struct Figures {
    std::uint64_t rows = 0;     // loaded
    std::uint64_t queries = 0;  // that was done with
    std::uint64_t joins = 0;    // asked for a row or page that was being loaded
    std::uint64_t repeats = 0;  // loads that were not allowed to be shown
    std::uint64_t failures = 0;
    std::uint64_t list_queries = 0;
  };
  Figures figures() const;

 private:
  struct ListWaiter {
    ListDone done;
    std::int64_t floor = 0;  // what memory had when it asked: its answer is at least that new
    bool began = false;      // the load was begun for it
  };
  struct ListFlight {
    ListQuery query;
    std::vector<ListWaiter> waiters;
  };
  struct Answer {
    std::int64_t seq = 0;
    std::string nonce;
    std::vector<HotRowPtr> rows;  // one for each key asked for
  };
  struct ListAnswer {
    std::int64_t seq = 0;
    std::string nonce;
    ListPagePtr page;
  };

  void run_batches();
  void load_batch(std::vector<std::string> keys);
  void read(bool on_primary, std::int64_t& seq, const std::function<void(pqxx::transaction_base&)>& work);
  // `took` grows by the time that the database takes.
  Answer query_rows(const std::vector<std::string>& keys, bool on_primary, std::chrono::nanoseconds& took);
  bool finish(const std::string& key, const Loaded& loaded, std::chrono::nanoseconds took);
  void fail(const std::string& key, const Unavailable& why, std::chrono::nanoseconds took);
  std::vector<RowDone> take_waiters(const std::string& key);
  void run_list(const std::string& text, std::chrono::steady_clock::time_point asked);
  ListAnswer query_list(const ListQuery& query, bool on_primary, std::chrono::nanoseconds& took);
  bool finish_list(const std::string& text, const ListAnswer& list, std::chrono::steady_clock::time_point begun,
                   std::chrono::nanoseconds took);
  void fail_list(const std::string& text, const Unavailable& why, std::chrono::nanoseconds took);

  const ViewDefinition& view_;
  const sql::ReaderStatements statements_;
  const AnswerStyle style_;
  const HotRowPtr absent_;
  Cache& cache_;
  Pages& pages_;
  Frontier& frontier_;
  Databases& databases_;

  std::atomic_flag warming_;
  std::mutex mutex_;
  absl::flat_hash_map<std::string, std::vector<RowDone>, KeyHash, KeyEqual>
      row_flights_;  // by key: who waits, and began it
  std::deque<std::string> queue_;
  int batches_ = 0;  // being done
  absl::flat_hash_map<std::string, ListFlight, KeyHash, KeyEqual> list_flights_;
  std::atomic<std::uint64_t> rows_{0}, queries_{0}, joins_{0}, repeats_{0}, failures_{0}, list_queries_{0};
};

}  // namespace daybook::reader
