// The events that simulated runs draw from, made once: for each what it does to which rows, by verify's judgement,
// which shares no code with the worker's.
#pragma once

#include <absl/container/flat_hash_map.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "core/definition.h"
#include "verify/recompute.h"
#include "worker/decode/fingerprint.h"

namespace daybook::simulation {

struct Event {
  enum class Kind {
    valid,
    poison,       // valid by itself; no row's column can hold it
    invalid,      // a dead letter
    passed_over,  // of a type that no view reads, or a tombstone
  };
  struct RowAmount {
    int row;
    std::size_t column;
    std::int64_t amount;
  };
  Kind kind = Kind::valid;
  std::optional<std::string> key;
  std::optional<std::string> value;
  int identity = -1;  // the same for all events with this source and id
  Fingerprint fingerprint;
  verify::Judgement judgement;
  std::vector<RowAmount> amounts;  // `summary`
};

// A range of events() that serve one purpose.
struct EventGroup {
  int first = 0;
  int count = 0;
};

class Events {
 public:
  explicit Events(const ViewDefinition& definition);

  const ViewDefinition& view() const { return view_; }
  const Event& operator[](int number) const { return events_[static_cast<std::size_t>(number)]; }
  int count() const { return static_cast<int>(events_.size()); }
  int identities() const { return identities_; }

  EventGroup valid, reused, poison, invalid, passed_over, foreign;

  // The event with this fingerprint; -1: none.
  int find(const Fingerprint& fingerprint) const;

  // All rows that events touch, in key order; their keys as PostgreSQL prints them.
  const std::vector<verify::Key>& rows() const { return rows_; }
  int row(const verify::Key& key) const;

  static constexpr const char* topic = "bloodbank.events";
  static constexpr std::int64_t timestamp_ms = 1'790'000'000'000;

 private:
  EventGroup add(int count, Event::Kind kind, const std::function<std::optional<std::string>(int)>& value_of);
  void judge();

  ViewDefinition view_;
  std::vector<Event> events_;
  std::vector<verify::Key> rows_;
  absl::flat_hash_map<std::pair<std::uint64_t, std::uint64_t>, int> by_fingerprint_;
  int identities_ = 0;
};

}  // namespace daybook::simulation
