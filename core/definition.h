// A view definition, read: everything that is to be known of a view. `definition_reader.h` makes one from
// JSON; docs/views.md explains each member to those who write them.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "core/envelope.h"
#include "core/json_pointer.h"

namespace daybook {

enum class KeyType { uuid, text, integer, date, timestamp, hour, minute };

struct KeyColumn {
  std::string name;
  KeyType type = KeyType::text;
  std::string time_zone;  // IANA name; date and hour columns only
};

enum class ViewKind { summary, latest, log };
enum class Aggregate { sum, count, balance, min, max, avg, last, ratio, quantile, distinct };
enum class ColumnType { int4, int8, decimal, text, boolean, timestamp, date, uuid, json };

struct ValueColumn {
  std::string name;
  Aggregate aggregate = Aggregate::sum;
  ColumnType type = ColumnType::int4;
  int scale = 0;          // decimal: digits behind the point
  bool required = false;  // `latest` and `log`: events without a value are dead letters
  // Columns that it is computed from, as indexes: a ratio's numerator and denominator; the quantile column whose sketch
  // this one reads, none if it has its own.
  std::vector<std::size_t> of = {};
  int quantile_millionths = 0;  // quantile: 950000 for 0.95
};

using Scalar = std::variant<std::nullptr_t, bool, std::int64_t, double, std::string>;

// One condition on a member. A member that is missing counts as null.
struct Condition {
  enum class Test { in, not_in, is_null, is_not_null };
  JsonPointer member;
  Test test = Test::in;
  std::vector<Scalar> operands;  // in, not_in (`equals` and `not_equals` are lists of one); never null
};

// What one matching event adds to one column: `sign` × (a constant, or the member's integer value).
struct Amount {
  std::size_t column = 0;  // index into ViewDefinition::columns
  int sign = 1;            // +1 under "add", -1 under "subtract"
  // A constant is scaled already: 0.5 for a decimal of scale 2 is 50.
  std::variant<std::int64_t, JsonPointer> value;
};

// `latest` and `log`: the column is what the member says; NULL when that is null or missing.
struct Setting {
  std::size_t column = 0;  // index into ViewDefinition::columns
  Place member;            // with a unit for times only
};

// What one matching event gives to one column that is not added up (min, max, avg, last, quantile, distinct).
struct Take {
  std::size_t column = 0;
  JsonPointer member;
};

// How events of one type on one topic change the view's rows.
struct SourceRule {
  std::string topic;
  Envelope envelope;             // the same in all rules of a topic
  std::string event_type;        // a source with several types becomes as many rules
  std::vector<Condition> where;  // all must hold, else the event is passed over by this rule
  std::vector<Place> key;        // one for each of ViewDefinition::key, in its order
  std::vector<Amount> amounts;
  // Of `latest` and `log` views. A rule of `latest` either sets or deletes.
  Place version;  // `latest`: an integer or a date-time; of two states the greater is the newer one
  std::vector<Setting> settings;
  std::vector<std::size_t> deletes;  // columns, each with its whole part
  std::vector<Take> takes;
};

// How a `log` view's table is divided, in UTC.
enum class PartitionBy { day, month };

// How the reader serves the rows (docs/reader.md). Rows do not depend on it, so it may change at any time.
struct Serving {
  std::string cache_control = "no-cache";  // of the answers that do not depend on who asks
  std::vector<std::string> filters;        // columns that lists can be filtered by, beside the first ones of the key
  std::vector<std::string> order;          // of lists; the rest of the key comes behind it
  bool descending = false;
  std::size_t limit = 100;          // rows of a page, at most
  std::vector<std::string> routes;  // other paths of a row or a list, such as "/dashboard/{facility_id}/{date}"
  std::map<std::string, std::string> rows_by_claim;  // key column -> the claim that has the values one may see
};

struct ViewDefinition {
  std::string name;  // the view and its table
  ViewKind kind = ViewKind::summary;
  std::string description;
  std::vector<KeyColumn> key;  // the primary key, in this order; at most one date, hour or minute, the last
  std::vector<ValueColumn> columns;
  bool updated_at_with_time_zone = true;
  std::vector<SourceRule> sources;
  PartitionBy partition = PartitionBy::day;  // `log`
  std::optional<std::int64_t> keep_days;     // `log`: what `daybook archive` leaves
  // Events whose date-time lies further than this beyond their record's Kafka timestamp are dead letters.
  std::optional<std::int64_t> max_future_seconds;
  std::uint64_t deduplication_window_events = 20'000'000;  // a minimum
  std::string canonical_json;  // the definition as stored and compared: sorted members, no white space
  Serving reader;
  std::string reader_json;  // the member `reader` in the same form, no part of canonical_json; empty: there is none

  // The distinct topics in order of first mention; Record::topic indexes this list.
  std::vector<std::string> topics() const;
  // Of the topic's records; `topic` is one that a source names.
  const Envelope& envelope(const std::string& topic) const;
  bool has_date() const { return !key.empty() && key.back().type == KeyType::date; }
  // The last key column is a time: a date, an hour or a minute.
  bool has_time() const;
  bool has_balance() const;
  // Rows are states: `latest` and `log`.
  bool has_states() const { return kind != ViewKind::summary; }
  // The part of the row that each column belongs to, from 0 on: columns that the same sources set or delete. Of one
  // part either all columns are there or none. A `log` view has one part.
  std::vector<std::size_t> parts() const;
  std::size_t part_count() const;
  bool can_be_null(const ValueColumn& column) const;
  // The place in the key of the timestamp that a `log` view's rows are ordered and divided by.
  std::optional<std::size_t> timestamp_key() const;
  // Cache-Control of this view's answers. One that depends on who asks, as all do of a view with `rows_by_claim`, must
  // not be given to anybody else.
  std::string cache_control() const { return reader.rows_by_claim.empty() ? reader.cache_control : private_cache; }
  static constexpr const char* private_cache = "private, no-cache";
  // The columns that lists are ordered by: total, since the whole key is among them.
  std::vector<std::string> list_order() const;
};

}  // namespace daybook
