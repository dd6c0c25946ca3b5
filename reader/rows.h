// The rows of one view as the API sees them: hot ones at once, others loaded, lists, positions, changes. What is behind
// (cache, feed, database) is in the same room; tests put fakes here.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "core/definition.h"
#include "core/position.h"
#include "http/exchange.h"

namespace daybook::reader {

// A row, or what is said of one that is not there: the answer, ready to be sent, 200 with JSON or the 404. Rows lie all
// over memory, and what a request touches first it waits for: so a row is one object, and what all of a view share is
// not in it.
struct HotRow : http::Block {
  enum class Kind {
    row,      // it is in the table
    carried,  // no row of its own: the level of the date before, zero flows (views with a balance)
    absent    // nothing is known of this key: 404
  };
  Kind kind = Kind::absent;

  const std::string& json() const { return body; }  // without a line end
  std::string_view etag() const;                    // with its quotes: of the body alone, so that all readers agree
  http::BlockPtr not_modified() const;              // makes the 304
};
using HotRowPtr = std::shared_ptr<const HotRow>;

// Why there is no answer: 503 in each case.
struct Unavailable {
  enum class Why { database, busy, stale } why = Why::database;
  std::string detail;
};
template <typename T>
using Result = std::variant<T, Unavailable>;

// What a row or list took to come.
struct Cost {
  std::chrono::nanoseconds query{0};  // of the database for what was loaded; 0: it was in memory
  bool began_load = false;            // the load was made for this request: none was under way that it could join
};

struct Filter {
  enum class Test { equal, at_least, greater, at_most, less };
  std::string column;
  Test test = Test::equal;
  std::vector<std::string> operands;  // one; several with `equal`: any of them. In PostgreSQL's text form, checked
};
struct ListQuery {
  std::vector<Filter> filters;
  std::vector<std::string> order;  // columns; with the rest of the primary key behind them the order is total
  bool descending = false;
  std::size_t limit = 100;
  std::vector<std::string>
      after;  // values of the order's columns in the last row of the page before; empty: first page
};
struct ListPage {
  std::vector<std::string> rows;   // JSON objects, as HotRow::json
  std::vector<std::string> after;  // for the next page; empty: this is the last one
  // Rows changed while it was loaded: it may be this much older than Freshness::age says.
  std::chrono::milliseconds behind{0};
};

// One commit of a worker as the feed told it, applied to memory already.
struct ChangedRow {
  std::string key;   // bytes, as core/row_key.h has them
  std::string json;  // as HotRow::json
};
struct ChangeSet {
  int generation = 0;
  std::int64_t seq = 0;
  std::string nonce;
  bool reset = false;  // what was known may have changed anywhere: ask again
  std::vector<ChangedRow> rows;
};
using ChangeSetPtr = std::shared_ptr<const ChangeSet>;

struct Freshness {
  // Everything that was committed longer ago than this is in every answer given now.
  std::chrono::milliseconds age{0};
  bool feed_is_lost = false;
  std::int64_t seq = 0;
  std::string detail;  // why it is lost
};

class Rows {
 public:
  virtual ~Rows() = default;
  virtual const ViewDefinition& definition() const = 0;
  virtual int generation() const = 0;

  // What is in memory; null: it has to be loaded. Any thread; never waits for the database.
  virtual HotRowPtr find_hot(std::string_view key) = 0;
  // Loads a row, once however many ask for it, and calls `done` from another thread.
  virtual void load(std::string key, std::function<void(Result<HotRowPtr>, Cost)> done) = 0;
  virtual void list(ListQuery query, std::function<void(Result<ListPage>, Cost)> done) = 0;

  virtual Freshness freshness() const = 0;
  // The next offset of each partition of which memory knows all that is below.
  virtual bool has_applied(const TopicPartition& partition, std::int64_t next_offset) const = 0;
  virtual bool knows(const TopicPartition& partition) const = 0;

  // `listener` is called from the feed's thread after each commit was applied to memory (with ones that changed no row,
  // too: positions move). Listeners stay as long as this object.
  virtual void on_change(std::function<void(const ChangeSetPtr&)> listener) = 0;
  // The change sets after that one, oldest first, when memory still has them all; nothing: they are gone (or never
  // were).
  virtual std::optional<std::vector<ChangeSetPtr>> changes_since(int generation, std::int64_t seq,
                                                                 std::string_view nonce) const = 0;
};

}  // namespace daybook::reader
