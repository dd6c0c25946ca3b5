// From a record's bytes to what it contributes to the view's rows. Pure: the same record gives the same answer,
// today and in a replay; no clock is asked.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/civil_time.h"
#include "core/definition.h"
#include "core/error.h"
#include "core/record.h"
#include "worker/decode/fingerprint.h"
#include "worker/decode/json_event.h"
#include "worker/decode/state.h"
#include "worker/decode/value_rule.h"

namespace daybook {

// What one event adds to one sum of one row.
struct Contribution {
  std::uint32_t key_begin = 0;  // the row's key: bytes of DecodedEvent::keys (row_key.h)
  std::uint32_t key_size = 0;
  std::uint32_t sum = 0;  // index into sums_of(view): the column's, in a view of sums only
  std::int64_t amount = 0;
};

// What one event gives to one column of one row that is no sum.
struct Taken {
  std::uint32_t key_begin = 0;
  std::uint32_t key_size = 0;
  std::uint32_t column = 0;
  // min, max, last: the value, a time in microseconds since 1970; quantile: its bucket; distinct: its register's entry
  // (core/sketch.h). Of a text, where it begins in DecodedEvent::texts.
  std::int64_t value = 0;
  std::uint32_t text_size = 0;
};

enum class Outcome {
  contributes,      // fingerprint, keys, and contributions or states are set
  tombstone,        // no value: nothing to apply
  undeclared_type,  // no rule of this view and topic reads events of this type
  other_view,       // a dead letter that was published again for another view
  not_selected,     // every rule that reads this type has a `where` that does not hold
  rejected,         // rejection is set; source, id and type as far as they were read
};

struct DecodedEvent {
  Outcome outcome = Outcome::tombstone;
  Fingerprint fingerprint;
  std::string keys;
  std::vector<Contribution> contributions;  // `summary`
  std::vector<State> states;                // `latest` and `log`
  std::string values;                       // of the states
  std::vector<Taken> taken;
  std::string texts;
  std::string order;  // of the event among those that a column of value `last` takes from: 24 bytes, compared as such
  Rejection rejection;
  std::string source, id, type;  // set when rejected, and by describe()
};

// Not shared between threads: it keeps parser memory and a time-zone cache.
class Decoder {
 public:
  // Throws StopError when a time zone is not known on this system.
  Decoder(const ViewDefinition& view, const FingerprintKey& key);
  // Its rules refer to its own copy of the definition.
  Decoder(const Decoder&) = delete;
  Decoder& operator=(const Decoder&) = delete;

  // `event` is overwritten; its memory is used again.
  void decode(const Record& record, DecodedEvent& event);
  // The same, and source, id and type are set whatever the outcome is.
  void describe(const Record& record, DecodedEvent& event);

 private:
  struct AmountRule {
    std::uint32_t sum;
    int sign;
    std::int64_t constant;
    std::size_t number;            // in SourceRule::amounts
    std::vector<MemberPath> path;  // one, or none for a constant
  };
  struct WhereRule {
    MemberPath path;
    Condition condition;
  };
  // What a rule says of one part of a row: its columns, or that it is gone.
  struct PartRule {
    std::uint32_t part;
    bool gone;
    std::vector<std::pair<std::size_t, MemberPath>> settings;  // column, member; in the order of the columns
  };
  struct Rule {
    Name event_type;
    std::vector<WhereRule> where;
    std::vector<MemberPath> key;
    std::vector<AmountRule> amounts;
    std::vector<MemberPath> version;  // one in a `latest` view, else none
    std::vector<PartRule> parts;
    std::vector<ValueRule> values;  // decimals and what is taken
    const SourceRule* source;       // in view_: pointers as written, for messages
  };

  std::optional<Rejection> open(const Record& record, const EnvelopePaths& envelope);
  bool reads_type(std::uint32_t topic) const;
  bool apply(const Rule& rule, const Record& record, DecodedEvent& event);
  void compile_states(const SourceRule& source, Rule& rule) const;
  static std::uint64_t content_of_states(const DecodedEvent& event, std::uint64_t content);
  bool apply_states(const Rule& rule, const Record& record, DecodedEvent& event, State state);
  bool append_key(const Rule& rule, std::size_t column, const Record& record, DecodedEvent& event);
  bool is_in_future(std::int64_t instant, const Record& record) const;
  bool reject_future(const Place& place, const MemberValue& value, std::int64_t instant, const Record& record,
                     DecodedEvent& event) const;
  bool append_begin(const Place& place, KeyType type, const MemberValue& value, const Record& record,
                    DecodedEvent& event);
  void compile_values(const SourceRule& source, Rule& rule);
  bool apply_values(const Rule& rule, std::uint32_t key_begin, const Record& record, DecodedEvent& event);
  bool take(const ValueRule& rule, std::uint32_t key_begin, std::uint32_t key_size, DecodedEvent& event);
  bool set_order(const Rule& rule, const Record& record, DecodedEvent& event);
  bool reject(DecodedEvent& event, std::string code, std::string detail) const;

  const ViewDefinition view_;
  FingerprintKey key_;
  std::vector<std::vector<Rule>> rules_;   // by topic
  std::vector<std::uint32_t> sums_;        // by column: its cell, if it is added up
  std::vector<std::int32_t> topic_ranks_;  // by topic: its place in the order of names
  std::vector<EnvelopePaths> envelopes_;   // by topic
  std::vector<DayZone> zones_;             // none or one: a view has at most one date column
  std::vector<HourZone> hour_zones_;       // the same
  JsonEvent json_;
};

}  // namespace daybook
