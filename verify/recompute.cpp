#include "verify/recompute.h"

#include <sodium.h>

#include <algorithm>
#include <cstring>
#include <limits>

#include "verify/values.h"

namespace daybook::verify {
namespace {

using nlohmann::json;

// The codes that say something about the record itself. The others (range, database) depend on what the table
// held at the time and are taken as the worker recorded them.
bool judged_here(const std::string& code) {
  return code == "malformed" || code == "envelope" || code == "member" || code == "future";
}

constexpr std::size_t max_text_key = 1000;

}  // namespace

Recomputation::Recomputation(ViewDefinition definition) : definition_(std::move(definition)), states_(definition_) {
  if (sodium_init() < 0) throw StopError("libsodium can't be initialized: no source of random numbers");
  randombytes_buf(hash_key_.data(), hash_key_.size());
  for (const KeyColumn& column : definition_.key) {
    zones_.emplace_back();
    if (!column.time_zone.empty() && !absl::LoadTimeZone(column.time_zone, &zones_.back())) {
      throw StopError("time zone " + column.time_zone + " is not in this system's time-zone database: install tzdata");
    }
  }
  cells_ = definition_.columns.size();
  for (const ValueColumn& column : definition_.columns) {
    if (column.type == ColumnType::decimal) reads_decimals_ = true;
    if (column.aggregate == Aggregate::avg) cells_ = 2 * definition_.columns.size();
  }
}

void Recomputation::expect(const TopicPartition& partition, std::int64_t start, std::int64_t next) {
  partitions_[partition_index(partition)].length = next - start;
  total_length_ += next - start;
}

void Recomputation::expect(const DeadLetter& letter) {
  partitions_[partition_index(letter.partition)].letters[letter.offset] = {letter.code, false};
  ++counts_.dead_letters;
}

std::uint32_t Recomputation::partition_index(const TopicPartition& partition) {
  const auto [place, is_new] = partition_index_.try_emplace(partition, static_cast<std::uint32_t>(partitions_.size()));
  if (is_new) partitions_.emplace_back();
  return place->second;
}

Recomputation::RowId Recomputation::row_id(const Key& key) {
  const auto [place, is_new] = row_ids_.try_emplace(key, static_cast<RowId>(rows_.size()));
  if (is_new) {
    Row& row = rows_.emplace_back();
    row.values.resize(cells_);
    row.below = row.above = row.values;
  }
  return place->second;
}

Judgement Recomputation::judge(const LogRecord& record) const {
  Judgement judgement;
  judgement.partition = {std::string(record.topic), record.partition};
  judgement.offset = record.offset;
  if (!record.value) {
    judgement.tombstone = true;
    return judgement;
  }
  const auto reject = [&judgement](Rejection rejection) {
    judgement.outcome = Outcome::invalid;
    judgement.changes.clear();
    judgement.states.clear();
    judgement.rejection = std::move(rejection);
    return judgement;
  };

  const std::string topic(record.topic);
  const auto reads_type = [&](const std::string& type) {
    return std::any_of(definition_.sources.begin(), definition_.sources.end(),
                       [&](const SourceRule& rule) { return rule.topic == topic && rule.event_type == type; });
  };
  std::variant<Event, Rejection> read = open_record(record, definition_.envelope(topic), reads_type);
  if (auto* rejection = std::get_if<Rejection>(&read)) return reject(std::move(*rejection));
  const Event& event = std::get<Event>(read);
  if (event.tombstone) {
    judgement.tombstone = true;
    return judgement;
  }
  if (event.redrive != "" && event.redrive != definition_.name) {
    judgement.outcome = Outcome::other_view;
    return judgement;
  }

  std::optional<Event> exact;  // with numbers as they were written
  for (const SourceRule& rule : definition_.sources) {
    if (rule.topic != record.topic || rule.event_type != event.type) continue;
    const bool matches = std::all_of(rule.where.begin(), rule.where.end(), [&event](const Condition& condition) {
      return holds(condition, find_member(event.body, condition.member));
    });
    if (!matches) continue;
    Rejection rejection;
    if (!exact && (definition_.has_states() || reads_decimals_))
      exact = std::get<Event>(open_record(record, definition_.envelope(topic), reads_type, true));
    if (definition_.has_states()) {
      std::optional<StateChange> state = read_state(rule, event, *exact, record, rejection);
      if (!state) return reject(std::move(rejection));
      judgement.states.push_back(std::move(*state));
      continue;
    }
    std::optional<Change> change = read_change(rule, event, exact ? *exact : event, record, judgement, rejection);
    if (!change) return reject(std::move(rejection));
    judgement.changes.push_back(std::move(*change));
  }
  if (judgement.changes.empty() && judgement.states.empty()) return judgement;

  judgement.outcome = Outcome::contributes;
  const std::string identity = std::to_string(event.source.size()) + ":" + event.source + event.id;
  static_assert(crypto_shorthash_siphashx24_BYTES == sizeof(Identity));
  crypto_shorthash_siphashx24(reinterpret_cast<unsigned char*>(judgement.identity.data()),
                              reinterpret_cast<const unsigned char*>(identity.data()), identity.size(),
                              hash_key_.data());
  return judgement;
}

std::optional<Change> Recomputation::read_change(const SourceRule& rule, const Event& event, const Event& exact,
                                                 const LogRecord& record, Judgement& judgement,
                                                 Rejection& rejection) const {
  Change change;
  std::optional<Key> key = read_key(rule, event, record, rejection);
  if (!key) return std::nullopt;
  change.key = std::move(*key);
  for (const Amount& amount : rule.amounts) {
    std::int64_t number = 0;
    if (const auto* constant = std::get_if<std::int64_t>(&amount.value)) {
      number = *constant;
    } else {
      const JsonPointer& pointer = std::get<JsonPointer>(amount.value);
      const ValueColumn& column = definition_.columns[amount.column];
      const json* member = find_member(event.body, pointer);
      std::optional<std::int64_t> integer;
      if (member != nullptr)
        integer = column.type == ColumnType::decimal ? read_number(column, *member, find_member(exact.body, pointer))
                                                     : integer_of(*member);
      if (!integer) {
        rejection = {"member", pointer.text + " is missing or no number that fits column " + column.name};
        return std::nullopt;
      }
      number = *integer;
    }
    if (amount.sign < 0 && number == std::numeric_limits<std::int64_t>::min()) {
      rejection = {"member", "the smallest 64-bit integer can't be subtracted"};
      return std::nullopt;
    }
    change.amounts.emplace_back(amount.column, amount.sign * number);
  }
  for (const Take& take : rule.takes) {
    if (!read_take(rule, take, event, exact, record, judgement, change, rejection)) return std::nullopt;
  }
  return change;
}

std::optional<StateChange> Recomputation::read_state(const SourceRule& rule, const Event& event, const Event& exact,
                                                     const LogRecord& record, Rejection& rejection) const {
  StateChange state;
  std::optional<Key> key = read_key(rule, event, record, rejection);
  if (!key) return std::nullopt;
  state.key = std::move(*key);
  if (definition_.kind == ViewKind::latest) {
    const json member = value_at(event, record, rule.version);
    rejection = {"member", rule.version.shown() + " is missing, or neither an integer nor a time"};
    std::optional<std::int64_t> version = rule.version.unit == TimeUnit::text ? integer_of(member) : std::nullopt;
    if (!version) {
      const std::optional<Moment> moment = moment_of(member, rule.version.unit);
      if (!moment) return std::nullopt;
      version = moment->microseconds;
      if (lies_in_future(moment->seconds, record.timestamp_ms)) {
        rejection = {"future", rule.version.shown() + " lies too far beyond the record's time"};
        return std::nullopt;
      }
    }
    state.version = *version;
  }
  state.gone = !rule.deletes.empty();
  for (const std::size_t column : rule.deletes) state.values[column];
  if (definition_.kind == ViewKind::log) {
    for (std::size_t column = 0; column < definition_.columns.size(); ++column) state.values[column];
  }
  for (const Setting& setting : rule.settings) {
    const ValueColumn& column = definition_.columns[setting.column];
    if (rule.envelope.kind == Envelope::Kind::debezium &&
        value_at(event, record, setting.member) == json(std::string(unavailable_value))) {
      rejection = {"member", setting.member.shown() + " is Debezium's placeholder of a value that is not there"};
      return std::nullopt;
    }
    if (!read_value(column, value_at(event, record, setting.member), value_at(exact, record, setting.member),
                    setting.member.unit, state.values[setting.column])) {
      rejection = {"member", setting.member.shown() + " is missing or does not fit column " + column.name};
      return std::nullopt;
    }
  }
  return state;
}

std::optional<Key> Recomputation::read_key(const SourceRule& rule, const Event& event, const LogRecord& record,
                                           Rejection& rejection) const {
  Key all;
  for (std::size_t i = 0; i < rule.key.size(); ++i) {
    rejection = {"member", rule.key[i].shown() + " is missing or does not fit key column " + definition_.key[i].name};
    std::optional<std::string> key =
        read_key(i, value_at(event, record, rule.key[i]), rule.key[i].unit, record.timestamp_ms, rejection);
    if (!key) return std::nullopt;
    all.push_back(std::move(*key));
  }
  return all;
}

bool Recomputation::lies_in_future(std::int64_t instant, std::int64_t timestamp_ms) const {
  return definition_.max_future_seconds && timestamp_ms >= 0 &&
         absl::int128(instant) * 1000 >
             absl::int128(timestamp_ms) + absl::int128(*definition_.max_future_seconds) * 1000;
}

std::optional<std::string> Recomputation::read_key(std::size_t column, const json& member, TimeUnit unit,
                                                   std::int64_t timestamp_ms, Rejection& rejection) const {
  const KeyType type = definition_.key[column].type;
  if (type == KeyType::integer) {
    const std::optional<std::int64_t> integer = integer_of(member);
    return integer ? std::optional(std::to_string(*integer)) : std::nullopt;
  }
  const std::string text = member.is_string() ? member.get<std::string>() : "";
  if (type == KeyType::uuid) return uuid_of(text);
  if (type == KeyType::text) {
    if (!member.is_string() || text.size() > max_text_key || text.find('\0') != std::string::npos) return std::nullopt;
    return text;
  }
  const auto is_future = [&](std::int64_t instant) {
    if (!lies_in_future(instant, timestamp_ms)) return false;
    rejection = {"future", member.dump(-1, ' ', true, json::error_handler_t::replace) + " lies more than " +
                               std::to_string(*definition_.max_future_seconds) + " s beyond the record's time"};
    return true;
  };
  if (type == KeyType::timestamp) {
    const std::optional<Moment> moment = moment_of(member, unit);
    if (!moment || is_future(moment->seconds)) return std::nullopt;
    return moment->text;
  }
  if (type == KeyType::hour || type == KeyType::minute) {
    const std::optional<std::int64_t> instant = instant_of(member, unit);
    std::optional<std::string> begin = instant ? begin_of(*instant, type, zones_[column]) : std::nullopt;
    if (!begin || is_future(*instant)) return std::nullopt;
    return begin;
  }
  const std::optional<Day> day =
      unit == TimeUnit::text ? day_of(text, zones_[column]) : day_of(member, unit, zones_[column]);
  if (!day) return std::nullopt;
  if (day->instant && is_future(*day->instant)) return std::nullopt;
  return iso_date(day->day);
}

void Recomputation::apply(const Judgement& judgement) {
  if (!judgement.tombstone) ++counts_.events;
  const std::uint32_t index = partition_index(judgement.partition);
  Partition& partition = partitions_[index];

  if (!partition.letters.empty()) {
    const auto letter = partition.letters.find(judgement.offset);
    if (letter != partition.letters.end()) {
      auto& [code, met] = letter->second;
      met = true;
      if (judged_here(code) && judgement.outcome != Outcome::invalid) {
        differences_.push_back({DeadLetterDifference::Kind::unfounded, judgement.partition, judgement.offset, code,
                                "the record is valid"});
      }
      return;  // no part of the rows
    }
  }
  switch (judgement.outcome) {
    case Outcome::passed_over:
      ++counts_.passed_over;
      break;
    case Outcome::other_view:
      ++counts_.other_view;
      break;
    case Outcome::invalid:
      differences_.push_back({DeadLetterDifference::Kind::missing, judgement.partition, judgement.offset,
                              judgement.rejection.code, judgement.rejection.detail});
      break;
    case Outcome::contributes:
      contribute(judgement, index);
      break;
  }
}

void Recomputation::contribute_states(const Judgement& judgement, std::uint32_t partition) {
  const States::First* const first = states_.find(judgement.identity);
  if (first == nullptr) {
    ++counts_.contributing;
    states_.add(judgement.identity, judgement.partition, judgement.offset, judgement.states);
    return;
  }
  ++counts_.duplicates;
  const bool same_partition = *first->partition == judgement.partition;
  const bool outside_window =
      may_be_forgotten({first->offset, 0, 0, partition_index(*first->partition)}, partition, judgement.offset);
  if (outside_window) ++counts_.outside_window;
  if (first->content != States::content_of(judgement.states)) ++counts_.reused_ids;
  if (!same_partition || outside_window) states_.doubt(*first, judgement.states);
}

// Whether two copies may lie further apart than the deduplication window.
bool Recomputation::may_be_forgotten(const Seen& first, std::uint32_t partition, std::int64_t offset) const {
  // The most events that the worker can have taken between the two, in whatever order it read the partitions.
  const std::int64_t between = first.partition == partition
                                   ? offset - first.offset - 1 + total_length_ - partitions_[partition].length
                                   : total_length_ - 2;
  return between >= 0 && static_cast<std::uint64_t>(between) >= definition_.deduplication_window_events;
}

std::vector<DeadLetterDifference> Recomputation::dead_letter_differences() const {
  std::vector<DeadLetterDifference> all = differences_;
  for (const auto& [partition, index] : partition_index_) {
    for (const auto& [offset, letter] : partitions_[index].letters) {
      if (letter.second) continue;
      all.push_back({DeadLetterDifference::Kind::no_record, partition, offset, letter.first,
                     "there is no record at this offset"});
    }
  }
  std::sort(all.begin(), all.end(), [](const auto& a, const auto& b) {
    return std::tie(a.partition, a.offset) < std::tie(b.partition, b.offset);
  });
  return all;
}

}  // namespace daybook::verify
