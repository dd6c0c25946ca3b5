// What DESIGN.md promises, checked on the database's state alone: the table is the fold of the valid, distinct events
// below the stored positions, each applied once, and everything else below them is a dead letter, once. Written without
// any of the worker's decode and fold.
#pragma once

#include <absl/container/flat_hash_map.h>

#include <string>
#include <vector>

#include "tests/simulation/events.h"
#include "tests/simulation/log.h"

namespace daybook::simulation {

class Database;

class Invariants {
 public:
  explicit Invariants(const Events& events);

  // Throws Violation.
  void check(const SimulatedLog& log, const Database& database);
  // The same by verify's recomputation of the whole log.
  void check_with_verify(const SimulatedLog& log, const Database& database) const;

  std::uint64_t checks() const { return checks_; }

 private:
  void collect_applied(const Database& database);
  void compare_with_log(const SimulatedLog& log, const Database& database);
  void compare_rows(const Database& database);
  void compare_states(const Database& database) const;
  int row_of(const std::string& key);
  std::string name_of(int event) const;

  const Events& events_;
  std::uint64_t checks_ = 0;
  // By identity: the event that was applied, -1 for none; by event: met below the positions and no dead letter.
  std::vector<int> applied_;
  std::vector<bool> met_;
  // By row.
  std::vector<std::vector<std::int64_t>> sums_;
  std::vector<bool> touched_;
  absl::flat_hash_map<std::string, int> row_by_key_;  // as the worker writes keys
};

}  // namespace daybook::simulation
