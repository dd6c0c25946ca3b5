// The rows of a `latest` or `log` view, from what events say of them: plain maps, a column at a time. Part of the
// recomputation; shares nothing with the worker's fold.
#pragma once

#include <absl/container/flat_hash_map.h>

#include <array>
#include <compare>
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
bool read_value(const ValueColumn& column, const nlohmann::json* member, const nlohmann::json* exact,
                std::optional<std::string>& value);

// A date-time as PostgreSQL prints a timestamptz in UTC, and its microseconds since 1970; nullopt: it is none.
struct Moment {
  std::string text;
  std::int64_t microseconds = 0;
};
std::optional<Moment> moment_of(const std::string& text);

// One spelling of a JSON value of parse_json(…, exact): members sorted, numbers without needless digits.
std::string normal_json(const nlohmann::json& exact);

class States {
 public:
  using Key = std::vector<std::string>;
  using Identity = std::array<std::uint64_t, 2>;

  explicit States(const ViewDefinition& definition);

  // The first copy of an event.
  struct First {
    TopicPartition partition;
    std::int64_t offset = 0;
    std::vector<StateChange> changes;
  };
  const First* find(const Identity& identity) const;
  void add(const Identity& identity, const TopicPartition& partition, std::int64_t offset,
           const std::vector<StateChange>& changes);
  // The worker may have taken `copy` in place of the first, or after it.
  void doubt(const First& first, const std::vector<StateChange>& copy);

  // Rows before this time (as PostgreSQL prints it in UTC) were archived: events make none of them.
  void pass_over_before(std::string time) { rows_from_ = std::move(time); }

  struct Row {
    std::vector<std::optional<std::string>> values;
    bool is_there = false;
    bool uncertain = false;
  };
  std::map<Key, Row> rows() const;

 private:
  struct Order {
    std::int64_t version = 0;
    TopicPartition partition;
    std::int64_t offset = 0;
    auto operator<=>(const Order&) const = default;
  };
  struct Cell {
    Order order;
    bool gone = false;
    std::optional<std::string> value;
    bool is_tied = false;             // another event of the same version says something else
    std::set<std::int64_t> doubtful;  // versions of events whose place is not sure
  };

  bool first_counts_;
  std::size_t columns_;
  std::size_t time_;  // of a log: the place of the timestamp in the key
  std::string rows_from_;
  std::map<Key, std::map<std::size_t, Cell>> cells_;
  std::set<Key> uncertain_;
  absl::flat_hash_map<Identity, First> firsts_;
};

}  // namespace daybook::verify
