// A view computed from the log by plain code: feed it every record between the view's start and its
// positions, then ask for the rows. docs/verify.md states the rules. Pure: no broker, no database.
//
// It shares with the worker the definition as read (ViewDefinition) and nothing else.
#pragma once

#include <absl/container/flat_hash_map.h>
#include <absl/numeric/int128.h>
#include <absl/time/time.h>

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/definition.h"
#include "core/error.h"
#include "core/position.h"
#include "verify/event.h"
#include "verify/gathered.h"
#include "verify/states.h"

namespace daybook::verify {

// Key columns as PostgreSQL prints them: uuid in lower case, date as 2026-11-23, integers in decimal, text.
using Key = std::vector<std::string>;
using Values = std::vector<std::int64_t>;

// What one matching rule does to one row.
struct Change {
  Key key;
  std::vector<std::pair<std::size_t, std::int64_t>> amounts;  // column, amount
  // min, max, last: column, value (times in microseconds since 1970); quantile: bucket; distinct: register
  struct Take {
    std::size_t column;
    std::int64_t value;
    std::string text;  // instead, of a last of type text
  };
  std::vector<Take> takes;
};

enum class Outcome {
  contributes,
  passed_over,  // a tombstone, a type that no rule declares, a `where` that does not hold
  other_view,   // redriven for another view
  invalid,
};

using Identity = std::array<std::uint64_t, 2>;  // a keyed hash of (source, id)

struct Judgement {
  Outcome outcome = Outcome::passed_over;
  TopicPartition partition;
  std::int64_t offset = 0;
  bool tombstone = false;
  Identity identity{};
  std::vector<Change> changes;       // `summary`
  std::vector<StateChange> states;   // `latest` and `log`
  std::optional<std::int64_t> time;  // of the event, in microseconds since 1970; read only where a `last` needs it
  Rejection rejection;               // invalid only
};

// What the worker recorded about a record that it could not apply.
struct DeadLetter {
  TopicPartition partition;
  std::int64_t offset = 0;
  std::string code;
};

// Where the dead letters and verify's own judgement disagree.
struct DeadLetterDifference {
  enum class Kind {
    missing,    // the record is invalid, and there is no dead letter
    unfounded,  // there is a dead letter, and the record is valid
    no_record,  // there is a dead letter, and no record at its offset
  };
  Kind kind = Kind::missing;
  TopicPartition partition;
  std::int64_t offset = 0;
  std::string code;
  std::string detail;
};

// A row as the log says it is. `low` and `high` differ from `values` where it is uncertain what the worker had to
// count: a copy of an event with other data, or one beyond the deduplication window.
struct ExpectedRow {
  bool in_log = false;         // an event that counts touched it
  bool may_be_absent = false;  // nothing touched it for certain
  bool uncertain = false;
  std::vector<absl::int128> values, low, high;    // of sums: scaled
  std::vector<std::optional<std::string>> texts;  // of all columns, as PostgreSQL prints them; nullopt: NULL
  std::vector<bool> doubtful;                     // of columns that are no sums: anything may be there
};

struct Counts {
  std::int64_t events = 0;  // records read that are no tombstones
  std::int64_t contributing = 0;
  std::int64_t duplicates = 0;
  std::int64_t passed_over = 0;
  std::int64_t other_view = 0;      // redriven for another view
  std::int64_t dead_letters = 0;    // recorded by the worker between start and position
  std::int64_t reused_ids = 0;      // copies with other data
  std::int64_t outside_window = 0;  // copies that may lie further apart than the deduplication window
};

class Recomputation {
 public:
  // Throws StopError when the system's time-zone database lacks a zone of the definition.
  explicit Recomputation(ViewDefinition definition);

  // A partition that will be read, from `start` up to `next`. Needed to know how far apart two copies can be.
  void expect(const TopicPartition& partition, std::int64_t start, std::int64_t next);
  void expect(const DeadLetter& letter);
  // Of a log: see States.
  void pass_over_before(std::string time) { states_.pass_over_before(std::move(time)); }

  // judge is pure and may run in several threads; apply takes the judgements of one partition in order.
  void add(const LogRecord& record) { apply(judge(record)); }
  Judgement judge(const LogRecord& record) const;
  void apply(const Judgement& judgement);

  std::map<Key, Values> rows() const;                         // what the table has to hold
  std::map<Key, ExpectedRow> expected_rows() const;           // the same, with what is uncertain
  std::map<Key, std::vector<std::string>> text_rows() const;  // the same as PostgreSQL prints it, or NULL
  std::vector<DeadLetterDifference> dead_letter_differences() const;
  const Counts& counts() const { return counts_; }
  const ViewDefinition& definition() const { return definition_; }
  const States& states() const { return states_; }  // of a `latest` or `log` view, in place of the rows

 private:
  using RowId = std::uint32_t;
  struct Row {
    std::vector<absl::int128> values, below, above;  // below and above: what is uncertain
    std::int64_t touched = 0;                        // contributions that count
    std::int64_t withdrawable = 0;                   // of these, the ones in whose place a copy may stand
    bool uncertain = false;
    std::vector<Gathered> gathered;  // by column; empty while nothing was taken
  };
  struct Item {  // one amount of one contributing event
    std::int64_t amount;
    RowId row;
    // Of n columns: below n an amount, below 2n one event of an average, below 3n a value taken (of a text, its number
    // in texts_). no_column: the row is touched and nothing added.
    std::uint32_t column;
    bool operator==(const Item&) const = default;
  };
  struct Seen {  // the first copy of an identity
    std::int64_t offset;
    std::uint32_t first_item;
    std::uint32_t items;
    std::uint32_t partition;
  };
  struct Partition {
    std::int64_t length = 0;
    std::map<std::int64_t, std::pair<std::string, bool>> letters;  // offset -> code, met
  };
  static constexpr std::uint32_t no_column = UINT32_MAX;

  // `exact`: the event with its numbers as they were written.
  std::optional<Change> read_change(const SourceRule& rule, const Event& event, const Event& exact,
                                    const LogRecord& record, Judgement& judgement, Rejection& rejection) const;
  std::optional<StateChange> read_state(const SourceRule& rule, const Event& event, const Event& exact,
                                        const LogRecord& record, Rejection& rejection) const;
  std::optional<std::vector<std::string>> read_key(const SourceRule& rule, const Event& event, const LogRecord& record,
                                                   Rejection& rejection) const;
  bool lies_in_future(std::int64_t instant, std::int64_t timestamp_ms) const;
  std::optional<std::string> read_key(std::size_t column, const nlohmann::json& member, TimeUnit unit,
                                      std::int64_t timestamp_ms, Rejection& rejection) const;
  std::uint32_t partition_index(const TopicPartition& partition);
  RowId row_id(const Key& key);
  std::optional<std::int64_t> read_number(const ValueColumn& column, const nlohmann::json& member,
                                          const nlohmann::json* exact) const;
  bool read_take(const SourceRule& rule, const Take& take, const Event& event, const Event& exact,
                 const LogRecord& record, Judgement& judgement, Change& change, Rejection& rejection) const;
  bool read_time(const SourceRule& rule, const Event& event, const LogRecord& record, Judgement& judgement,
                 Rejection& rejection) const;
  std::int64_t text_number(const std::string& text);
  void gather(const Item& item, const Order& order);
  void doubt_taken(const Item& item);
  void finish_texts(ExpectedRow& expected, const Row& row) const;

  void contribute(const Judgement& judgement, std::uint32_t partition);
  void contribute_states(const Judgement& judgement, std::uint32_t partition);
  bool may_be_forgotten(const Seen& first, std::uint32_t partition, std::int64_t offset) const;
  void judge_copy(const Seen& first, std::uint32_t partition, const Judgement& judgement, std::size_t copy);

  ViewDefinition definition_;
  std::vector<absl::TimeZone> zones_;  // by key column
  std::array<unsigned char, 16> hash_key_{};

  std::map<TopicPartition, std::uint32_t> partition_index_;
  std::vector<Partition> partitions_;
  std::int64_t total_length_ = 0;

  bool reads_decimals_ = false;
  std::size_t cells_ = 0;  // of Row::values: a column each, and one more each where there are averages
  std::map<std::string, std::int64_t> text_numbers_;
  std::vector<std::string> texts_;

  absl::flat_hash_map<Identity, Seen> seen_;
  std::vector<Item> items_;  // of all first copies, one after the other
  absl::flat_hash_map<Key, RowId> row_ids_;
  std::vector<Row> rows_;
  States states_;
  std::vector<DeadLetterDifference> differences_;
  Counts counts_;
};

}  // namespace daybook::verify
