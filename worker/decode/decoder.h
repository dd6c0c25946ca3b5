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

namespace daybook {

// What one event adds to one column of one row.
struct Contribution {
  std::uint32_t key_begin = 0;  // the row's key: bytes of DecodedEvent::keys (row_key.h)
  std::uint32_t key_size = 0;
  std::uint32_t column = 0;
  std::int64_t amount = 0;
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
    std::uint32_t column;
    int sign;
    std::int64_t constant;
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
    const SourceRule* source;  // in view_: pointers as written, for messages
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
  bool reject(DecodedEvent& event, std::string code, std::string detail) const;

  const ViewDefinition view_;
  FingerprintKey key_;
  std::vector<std::vector<Rule>> rules_;   // by topic
  std::vector<std::int32_t> topic_ranks_;  // by topic: its place by name
  std::vector<EnvelopePaths> envelopes_;   // by topic
  std::vector<DayZone> zones_;             // none or one: a view has at most one date column
  JsonEvent json_;
};

}  // namespace daybook
