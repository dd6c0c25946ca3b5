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

Recomputation::Recomputation(ViewDefinition definition) : definition_(std::move(definition)) {
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
    judgement.rejection = std::move(rejection);
    return judgement;
  };

  const auto reads_type = [&](const std::string& type) {
    return std::any_of(definition_.sources.begin(), definition_.sources.end(),
                       [&](const SourceRule& rule) { return rule.topic == record.topic && rule.event_type == type; });
  };
  std::variant<json, Rejection> read = read_event(record, reads_type);
  if (auto* rejection = std::get_if<Rejection>(&read)) return reject(std::move(*rejection));
  const json& event = std::get<json>(read);
  json texts;  // the same event with the digits of its numbers, where there are decimals
  if (reads_decimals_) texts = std::get<json>(read_event(record, reads_type, true));
  const auto redrive = event.find("daybookredrive");
  if (redrive != event.end() && redrive->is_string() && *redrive != "" && *redrive != definition_.name) {
    judgement.outcome = Outcome::other_view;
    return judgement;
  }
  const std::string& type = event["type"].get_ref<const std::string&>();

  for (const SourceRule& rule : definition_.sources) {
    if (rule.topic != record.topic || rule.event_type != type) continue;
    const bool matches = std::all_of(rule.where.begin(), rule.where.end(), [&event](const Condition& condition) {
      return holds(condition, find_member(event, condition.member));
    });
    if (!matches) continue;
    Rejection rejection;
    std::optional<Change> change = read_change(rule, event, texts, record.timestamp_ms, judgement, rejection);
    if (!change) return reject(std::move(rejection));
    judgement.changes.push_back(std::move(*change));
  }
  if (judgement.changes.empty()) return judgement;

  judgement.outcome = Outcome::contributes;
  const std::string& source = event["source"].get_ref<const std::string&>();
  std::string identity = std::to_string(source.size()) + ":" + source;
  identity += event["id"].get_ref<const std::string&>();
  static_assert(crypto_shorthash_siphashx24_BYTES == sizeof(Identity));
  crypto_shorthash_siphashx24(reinterpret_cast<unsigned char*>(judgement.identity.data()),
                              reinterpret_cast<const unsigned char*>(identity.data()), identity.size(),
                              hash_key_.data());
  return judgement;
}

std::optional<Change> Recomputation::read_change(const SourceRule& rule, const json& event, const json& texts,
                                                 std::int64_t timestamp_ms, Judgement& judgement,
                                                 Rejection& rejection) const {
  Change change;
  for (std::size_t i = 0; i < rule.key.size(); ++i) {
    const json* member = find_member(event, rule.key[i]);
    rejection = {"member", rule.key[i].text + " is missing or does not fit key column " + definition_.key[i].name};
    if (member == nullptr) return std::nullopt;
    std::optional<std::string> key = read_key(i, *member, timestamp_ms, rejection);
    if (!key) return std::nullopt;
    change.key.push_back(std::move(*key));
  }
  for (const Amount& amount : rule.amounts) {
    std::int64_t number = 0;
    if (const auto* constant = std::get_if<std::int64_t>(&amount.value)) {
      number = *constant;
    } else {
      const JsonPointer& pointer = std::get<JsonPointer>(amount.value);
      const ValueColumn& column = definition_.columns[amount.column];
      const json* member = find_member(event, pointer);
      std::optional<std::int64_t> integer;
      if (member != nullptr)
        integer = column.type == ColumnType::decimal ? read_number(column, *member, find_member(texts, pointer))
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
    if (!read_take(take, event, texts, timestamp_ms, judgement, change, rejection)) return std::nullopt;
  }
  return change;
}

std::optional<std::string> Recomputation::read_key(std::size_t column, const json& member, std::int64_t timestamp_ms,
                                                   Rejection& rejection) const {
  const KeyType type = definition_.key[column].type;
  if (type == KeyType::integer) {
    const std::optional<std::int64_t> integer = integer_of(member);
    return integer ? std::optional(std::to_string(*integer)) : std::nullopt;
  }
  if (!member.is_string()) return std::nullopt;
  const std::string& text = member.get_ref<const std::string&>();
  if (type == KeyType::uuid) return uuid_of(text);
  if (type == KeyType::text) {
    if (text.size() > max_text_key || text.find('\0') != std::string::npos) return std::nullopt;
    return text;
  }
  const auto future = [&] {
    rejection = {"future", text + " lies more than " + std::to_string(*definition_.max_future_seconds) +
                               " s beyond the record's time"};
    return std::nullopt;
  };
  if (type == KeyType::hour || type == KeyType::minute) {
    const std::optional<Begin> begin = begin_of(text, type, zones_[column]);
    if (!begin) return std::nullopt;
    if (is_future(begin->instant, timestamp_ms)) return future();
    return begin->text;
  }
  const std::optional<Day> day = day_of(text, zones_[column]);
  if (!day) return std::nullopt;
  if (day->instant && is_future(*day->instant, timestamp_ms)) return future();
  return iso_date(day->day);
}

bool Recomputation::is_future(std::int64_t instant, std::int64_t timestamp_ms) const {
  return definition_.max_future_seconds && timestamp_ms >= 0 &&
         absl::int128(instant) * 1000 >
             absl::int128(timestamp_ms) + absl::int128(*definition_.max_future_seconds) * 1000;
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
