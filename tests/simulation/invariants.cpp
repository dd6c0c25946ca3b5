#include "tests/simulation/invariants.h"

#include <algorithm>

#include "tests/simulation/database.h"

namespace daybook::simulation {
namespace {

bool was_skipped(const Database& database, const TopicPartition& partition, std::int64_t offset) {
  return std::any_of(database.moves().begin(), database.moves().end(), [&](const Database::Move& move) {
    return move.partition == partition && offset >= move.from && offset < move.to;
  });
}

}  // namespace

Invariants::Invariants(const Events& events) : events_(events) {
  sums_.assign(events.rows().size(), std::vector<std::int64_t>(events.view().columns.size(), 0));
}

std::string Invariants::name_of(int event) const { return events_[event].value.value_or("a tombstone").substr(0, 160); }

void Invariants::check(const SimulatedLog& log, const Database& database) {
  ++checks_;
  collect_applied(database);
  compare_with_log(log, database);
  compare_rows(database);
}

void Invariants::collect_applied(const Database& database) {
  applied_.assign(static_cast<std::size_t>(events_.identities()), -1);
  for (std::vector<std::int64_t>& row : sums_) std::fill(row.begin(), row.end(), 0);
  touched_.assign(sums_.size(), false);
  for (const auto& [seq, chunk] : database.chunks()) {
    if (seq > database.seq()) throw Violation{"commit numbers", "fingerprints beyond the head"};
    for (const Fingerprint& fingerprint : chunk) {
      const int number = events_.find(fingerprint);
      if (number < 0) throw Violation{"only events of the log", "a fingerprint that no event has"};
      const Event& event = events_[number];
      int& applied = applied_[static_cast<std::size_t>(event.identity)];
      if (applied >= 0) throw Violation{"no event twice", "applied twice: " + name_of(number)};
      applied = number;
      for (const Event::RowAmount& amount : event.amounts) {
        touched_[static_cast<std::size_t>(amount.row)] = true;
        sums_[static_cast<std::size_t>(amount.row)][amount.column] += amount.amount;
      }
    }
  }
}

void Invariants::compare_with_log(const SimulatedLog& log, const Database& database) {
  std::map<std::pair<TopicPartition, std::int64_t>, const DeadLetter*> letters;
  const std::vector<DeadLetter> dead_letters = database.dead_letters();
  for (const DeadLetter& letter : dead_letters) {
    if (!letters.emplace(std::pair(letter.partition, letter.offset), &letter).second)
      throw Violation{"no dead letter twice", to_string(letter.partition, letter.offset)};
  }
  met_.assign(static_cast<std::size_t>(events_.count()), false);
  std::size_t letters_met = 0;
  for (const auto& [partition, position] : database.owned_positions()) {
    for (const auto& [offset, number] : log.partitions.at(partition).records) {
      if (offset >= position.next) break;
      const Event& event = events_[number];
      const auto letter = letters.find({partition, offset});
      const bool is_letter = letter != letters.end();
      letters_met += static_cast<std::size_t>(is_letter);
      const auto where = [&, &at = partition, at_offset = offset, n = number] {
        return to_string(at, at_offset) + ": " + name_of(n);
      };
      if (is_letter && letter->second->value != event.value)
        throw Violation{"dead letters are what is in the log", where()};
      if (is_letter && event.kind != Event::Kind::invalid && event.kind != Event::Kind::poison)
        throw Violation{"dead letters have a cause", where()};
      if (is_letter || event.kind == Event::Kind::passed_over || was_skipped(database, partition, offset)) continue;
      if (event.kind == Event::Kind::invalid) throw Violation{"nothing is lost", "no dead letter at " + where()};
      if (applied_[static_cast<std::size_t>(event.identity)] < 0)
        throw Violation{"nothing is lost", "below the position and not applied: " + where()};
      met_[static_cast<std::size_t>(number)] = true;
    }
  }
  if (letters_met != letters.size()) throw Violation{"dead letters are below the positions", "one lies beyond"};
  for (const int number : applied_) {
    if (number >= 0 && !met_[static_cast<std::size_t>(number)])
      throw Violation{"nothing beyond the positions", "applied, and not below a position: " + name_of(number)};
  }
}

int Invariants::row_of(const std::string& key) {
  const auto [known, is_new] = row_by_key_.try_emplace(key, -1);
  if (is_new) known->second = events_.row(test::key_text(events_.view(), key));
  return known->second;
}

void Invariants::compare_rows(const Database& database) {
  const std::vector<verify::Key>& keys = events_.rows();
  const std::vector<ValueColumn>& columns = events_.view().columns;
  // A balance is the sum of all changes up to its date: rows stand in the order of keys, dates last.
  std::size_t before = keys.size();
  for (std::size_t row = 0; row < keys.size(); ++row) {
    if (!touched_[row]) continue;
    if (before < row && keys[before].front() == keys[row].front()) {
      for (std::size_t c = 0; c < columns.size(); ++c) {
        if (columns[c].aggregate == Aggregate::balance) sums_[row][c] += sums_[before][c];
      }
    }
    before = row;
  }
  std::size_t found = 0;
  for (const auto& [key, values] : database.table()) {
    const int row = row_of(key);
    const auto index = static_cast<std::size_t>(row);
    if (row < 0 || !touched_[index]) throw Violation{"rows are the fold of the events", "a row that no event touched"};
    if (values != sums_[index]) {
      throw Violation{"rows are the fold of the events",
                      fmt::format("{} {}: {}, expected {}", keys[index][0], keys[index][1], fmt::join(values, " "),
                                  fmt::join(sums_[index], " "))};
    }
    ++found;
  }
  const auto expected = static_cast<std::size_t>(std::count(touched_.begin(), touched_.end(), true));
  if (found != expected) throw Violation{"rows are the fold of the events", fmt::format("{} of {}", found, expected)};
}

void Invariants::check_with_verify(const SimulatedLog& log, const Database& database) const {
  verify::Recomputation recomputation(events_.view());
  for (const auto& [partition, records] : log.partitions) recomputation.expect(partition, 0, records.end);
  for (const DeadLetter& letter : database.dead_letters())
    recomputation.expect(verify::DeadLetter{letter.partition, letter.offset, letter.rejection.code});
  for (const auto& [partition, records] : log.partitions) {
    for (const auto& [offset, number] : records.records) {
      if (was_skipped(database, partition, offset)) continue;
      verify::Judgement judgement = events_[number].judgement;
      judgement.partition = partition;
      judgement.offset = offset;
      recomputation.apply(judgement);
    }
  }
  for (const verify::DeadLetterDifference& difference : recomputation.dead_letter_differences()) {
    throw Violation{"verify agrees", "dead letters at " + to_string(difference.partition, difference.offset) + ": " +
                                         difference.code + " " + difference.detail};
  }
  const std::map<verify::Key, verify::ExpectedRow> expected = recomputation.expected_rows();
  const test::Rows rows = database.rows();
  for (const auto& [key, row] : expected) {
    const auto found = rows.find(key);
    if (found == rows.end()) {
      if (row.may_be_absent) continue;
      throw Violation{"verify agrees", "no row " + key[0] + " " + key[1]};
    }
    for (std::size_t c = 0; c < row.values.size(); ++c) {
      const absl::int128 value = found->second[c];
      if (row.uncertain ? value < row.low[c] || value > row.high[c] : value != row.values[c])
        throw Violation{"verify agrees", key[0] + " " + key[1] + " differs in " + events_.view().columns[c].name};
    }
  }
  for (const auto& [key, values] : rows) {
    if (expected.count(key) == 0) throw Violation{"verify agrees", "no event touches row " + key[0] + " " + key[1]};
  }
}

}  // namespace daybook::simulation
