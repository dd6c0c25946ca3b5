// The rows of a `latest` or `log` view, from what events say of them: plain maps, a column at a time. Part of the
// recomputation; shares nothing with the worker's fold.
#pragma once

#include <absl/container/flat_hash_map.h>

#include <array>
#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "core/definition.h"
#include "core/position.h"

namespace daybook::verify {

// What one matching rule says of one row: columns, each with its value as PostgreSQL prints it (nullopt: NULL), or that
// they are gone.
struct StateChange {
  std::vector<std::string> key;
  bool gone = false;
  std::int64_t version = 0;
  std::map<std::size_t, std::optional<std::string>> values;
  bool operator==(const StateChange&) const = default;
};

// A value column as PostgreSQL prints it (jsonb in the form of normal_json()). `exact`: the same member with its
// numbers as they were written. False: it does not fit the column.
bool read_value(const ValueColumn& column, const nlohmann::json& member, const nlohmann::json& exact, TimeUnit unit,
                std::optional<std::string>& value);

// An instant as PostgreSQL prints a timestamptz in UTC, in microseconds since 1970 and in whole seconds (floor).
struct Moment {
  std::string text;
  std::int64_t microseconds = 0;
  std::int64_t seconds = 0;
};
// Of a date-time, or of a count of units; nullopt: it is none.
std::optional<Moment> moment_of(const nlohmann::json& value, TimeUnit unit);

// One spelling of a JSON value of parse_json(…, exact): members sorted, numbers without needless digits.
std::string normal_json(const nlohmann::json& exact);

class States {
 public:
  using Key = std::vector<std::string>;
  using Identity = std::array<std::uint64_t, 2>;

  explicit States(const ViewDefinition& definition);

  struct Row;
  // The first copy of an event, as far as it is needed to judge others.
  struct First {
    const TopicPartition* partition = nullptr;
    std::int64_t offset = 0;
    std::size_t content = 0;  // a hash of what it says
    std::vector<Row*> rows;
  };
  const First* find(const Identity& identity) const;
  void add(const Identity& identity, const TopicPartition& partition, std::int64_t offset,
           const std::vector<StateChange>& changes);
  // The worker may have taken `copy` in place of the first, or after it.
  void doubt(const First& first, const std::vector<StateChange>& copy);
  static std::size_t content_of(const std::vector<StateChange>& changes);

  // Rows before this time (as PostgreSQL prints it in UTC) were archived: events make none of them.
  void pass_over_before(std::string time) { rows_from_ = std::move(time); }

  struct Cell {
    const TopicPartition* partition = nullptr;  // where its state is from; nullptr: no event named this column
    std::int64_t version = 0;
    std::int64_t offset = 0;
    std::optional<std::string> value;
    bool gone = false;
    bool is_tied = false;  // another event of the same version says something else
  };
  struct Row {
    std::vector<Cell> cells;                                  // by column
    std::set<std::pair<std::size_t, std::int64_t>> doubtful;  // columns and versions of events whose place is not sure
    bool uncertain = false;

    bool is_there() const;
    std::optional<std::string> value(std::size_t column) const;
    bool is_uncertain() const;
  };
  // All that events named, those that are gone among them.
  const std::map<Key, Row>& rows() const { return rows_; }
  // Such a row has to be in no table.
  bool is_archived(const Key& key) const;

 private:
  bool first_counts_;
  std::size_t columns_;
  std::size_t time_;  // of a log: the place of the timestamp in the key
  std::string rows_from_;
  std::map<Key, Row> rows_;
  std::set<TopicPartition> partitions_;
  absl::flat_hash_map<Identity, First> firsts_;
};

}  // namespace daybook::verify
