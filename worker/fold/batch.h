// A batch: contiguous offsets of some partitions, folded into row changes that one transaction commits. A value:
// it knows no driver, no clock and no thread.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/definition.h"
#include "core/position.h"
#include "worker/decode/decoder.h"
#include "worker/decode/fingerprint.h"
#include "worker/fold/row_table.h"
#include "worker/fold/state_fold.h"
#include "worker/fold/takes.h"

namespace daybook {

// A record that could not be applied, as it was in the log.
struct DeadLetter {
  TopicPartition partition;
  std::int64_t offset = 0;
  std::int64_t timestamp_ms = -1;
  std::optional<std::string> key;
  std::optional<std::string> value;
  std::vector<std::pair<std::string, std::string>> headers;
  Rejection rejection;
  std::string source, id, type;  // as far as they could be read
};

// The rows that a batch changes, in key order.
struct RowChanges {
  static constexpr CivilDay no_end = INT32_MAX;  // PostgreSQL's 'infinity' as days

  std::vector<std::string_view> keys;              // row_key.h
  std::vector<std::vector<std::int64_t>> changes;  // [sum][row]: what the batch adds on that row's key
  // [sum][row], balance columns only (others empty): all that the batch adds to the balance up to the row's date.
  std::vector<std::vector<std::int64_t>> levels;
  // Rows of later dates that exist already rise as well: for each entry, those of the key of row `row` on dates
  // after its own and before `until` (days since 2000-01-01) rise by its level.
  struct Ripple {
    std::uint32_t row;
    std::int32_t until;
  };
  std::vector<Ripple> ripples;
  std::vector<MergedColumn> merged;  // columns that are no sums
};

class Batch {
 public:
  // `view` must outlive the batch.
  explicit Batch(const ViewDefinition& view);

  struct Range {
    std::int64_t from = 0;        // the stored next offset that the commit expects
    std::int64_t to = 0;          // the next offset after it
    std::uint32_t partition = 0;  // the caller's number of the partition
    // The last record of the range; none: it is not at hand, or no record moved the position. The stored one, of an
    // earlier record, then stays right.
    std::optional<Anchor> anchor = std::nullopt;
  };

  // Where an event came from: the caller's number of the partition, and the offset.
  struct Origin {
    std::uint32_t partition = 0;
    std::int64_t offset = 0;
  };
  // Adds a contributing event. Its fingerprint must be fresh, and can_add() true.
  void add(const DecodedEvent& event, Origin origin);
  void add(DeadLetter dead_letter);
  // The batch holds all records of `partition` from `from` to just before `to`; called again, `to` grows and
  // the anchor is the newer one.
  void cover(const TopicPartition& partition, const Range& range);

  // Takes out the events with these identities (others committed them meanwhile) and folds the rest again.
  // Returns how many were taken out.
  std::size_t drop(const std::vector<Fingerprint>& identities);

  // Moves the first `count` events out of `whole` into this batch, which must be empty, with what lies before them in
  // their partitions: each is then a batch of its own, and this one has to be committed first.
  void take_front(Batch& whole, std::size_t count);

  // Takes all events out, in favour of a dead letter; the ranges stay.
  void replace_events(DeadLetter dead_letter);

  bool empty() const { return ranges_.empty(); }
  std::size_t events() const { return events_.size(); }
  Origin first_event() const { return {events_.front().partition, events_.front().offset}; }
  // Where the event with this identity came from; nothing when it is not in the batch.
  std::optional<Origin> origin_of(const Fingerprint& identity) const;
  std::size_t rows() const { return states_ ? states_->rows() : rows_.size(); }
  // Bring what add() will look up for this event into the cache, in two steps with other work between them.
  void prefetch_slot(const DecodedEvent& event) const {
    if (!event.contributions.empty()) rows_.prefetch_slot(rows_.hash(first_key(event)));
  }
  void prefetch_row(const DecodedEvent& event) const {
    if (!event.contributions.empty()) rows_.prefetch_row(rows_.hash(first_key(event)));
  }
  // False when the batch must be committed first: the sum of all amounts' magnitudes stays below 2^62 (or is that
  // of a single event), so that no sum within a batch can overflow.
  bool can_add(const DecodedEvent& event) const;
  std::size_t memory_bytes() const;

  const std::map<TopicPartition, Range>& ranges() const { return ranges_; }
  const std::vector<DeadLetter>& dead_letters() const { return dead_letters_; }
  std::vector<Fingerprint> fingerprints() const;

  // Views into this batch: valid until it changes.
  RowChanges row_changes() const;                                          // of a `summary` view
  std::vector<StateFold::Kept> states() const { return states_->kept(); }  // of a `latest` or `log` view

  void clear();

 private:
  struct Event {
    Fingerprint fingerprint;
    std::uint32_t changes_end;  // its changes, or states: from the former event's end up to here
    std::uint32_t partition;    // its origin
    std::int64_t offset;
  };
  static_assert(sizeof(Event) == 32);
  // Contributions are kept beside the folded rows, 16 bytes each: an event can be taken out again without
  // reading it from the log.
  struct Change {
    std::uint32_t row;
    std::uint32_t sum;
    std::int64_t amount;
  };
  static std::string_view first_key(const DecodedEvent& event) {
    return std::string_view(event.keys)
        .substr(event.contributions.front().key_begin, event.contributions.front().key_size);
  }
  std::unique_ptr<RowTable> keys_of(const RowTable& rows) const;
  void fold_again(std::vector<Event> events, std::vector<Change> changes, Takes takes, const RowTable& rows_of_changes);

  const ViewDefinition* view_;    // outlives this
  std::size_t sums_;              // sums_of(view)
  std::vector<bool> is_balance_;  // by sum
  bool has_balance_;
  std::map<TopicPartition, Range> ranges_;
  std::vector<Event> events_;
  std::vector<Change> changes_;
  Takes takes_;
  std::vector<DeadLetter> dead_letters_;
  RowTable rows_;
  std::unique_ptr<StateFold> states_;  // in a view of states, in place of rows_ and changes_
  std::uint64_t magnitude_ = 0;
  std::size_t dead_letter_bytes_ = 0;
};

}  // namespace daybook
