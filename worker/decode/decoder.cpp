#include "worker/decode/decoder.h"

#include <algorithm>
#include <limits>

#include "core/row_key.h"

namespace daybook {
namespace {

constexpr std::size_t text_key_bytes_max = 1000;  // a B-tree entry of PostgreSQL holds some 2,700 bytes

bool equals(const MemberValue& value, const Scalar& operand) {
  if (const auto* text = std::get_if<std::string>(&operand)) return value.as_string() == *text;
  if (const auto* truth = std::get_if<bool>(&operand)) return value.as_bool() == *truth;
  if (const auto* integer = std::get_if<std::int64_t>(&operand))
    return value.as_number() == static_cast<long double>(*integer);
  if (const auto* number = std::get_if<double>(&operand)) return value.as_number() == *number;
  return false;
}

bool holds(const Condition& condition, const MemberValue& value) {
  const auto is_listed = [&] {
    return std::any_of(condition.operands.begin(), condition.operands.end(),
                       [&](const Scalar& operand) { return equals(value, operand); });
  };
  switch (condition.test) {
    case Condition::Test::is_null:
      return value.is_null();
    case Condition::Test::is_not_null:
      return !value.is_null();
    case Condition::Test::in:
      return is_listed();
    case Condition::Test::not_in:
      return !is_listed();
  }
  return false;
}

// What to do about a member that a change event lacks.
std::string hint(const SourceRule& rule, const JsonPointer& pointer, const MemberValue& value) {
  if (rule.envelope.kind != Envelope::Kind::debezium || !value.is_null() || pointer.tokens.empty()) return "";
  if (pointer.tokens.front() == "before") return " (without REPLICA IDENTITY FULL, PostgreSQL logs no former row)";
  if (pointer.tokens.front() == "after" && rule.event_type == "d") return " (a deleted row is in before)";
  return "";
}

}  // namespace

Decoder::Decoder(const ViewDefinition& view, const FingerprintKey& key) : view_(view), key_(key) {
  const std::vector<std::string> topics = view_.topics();
  sums_.resize(view_.columns.size());
  const std::vector<Sum> sums = sums_of(view_);
  for (std::size_t i = sums.size(); i-- > 0;) sums_[sums[i].column] = static_cast<std::uint32_t>(i);  // the first one
  rules_.resize(topics.size());
  for (const std::string& topic : topics) envelopes_.emplace_back(view_.envelope(topic), topic);
  for (const SourceRule& source : view_.sources) {
    Rule rule{Name(source.event_type), {}, {}, {}, {}, {}, {}, &source};
    for (const Condition& condition : source.where) rule.where.push_back({MemberPath(condition.member), condition});
    for (const Place& place : source.key) rule.key.emplace_back(place);
    for (std::size_t i = 0; i < source.amounts.size(); ++i) {
      const Amount& amount = source.amounts[i];
      const bool is_decimal = view_.columns[amount.column].type == ColumnType::decimal;
      if (is_decimal && std::holds_alternative<JsonPointer>(amount.value)) continue;  // below
      AmountRule compiled{sums_[amount.column], amount.sign, 0, i, {}};
      if (const auto* pointer = std::get_if<JsonPointer>(&amount.value)) {
        compiled.path.emplace_back(*pointer);
      } else {
        compiled.constant = std::get<std::int64_t>(amount.value);
      }
      rule.amounts.push_back(std::move(compiled));
    }
    if (view_.has_states()) compile_states(source, rule);
    compile_values(source, rule);
    const auto topic = std::find(topics.begin(), topics.end(), source.topic) - topics.begin();
    rules_[static_cast<std::size_t>(topic)].push_back(std::move(rule));
  }
  for (const std::string& topic : topics) {
    topic_ranks_.push_back(static_cast<std::int32_t>(
        std::count_if(topics.begin(), topics.end(), [&](const std::string& other) { return other < topic; })));
  }
  if (view_.has_date()) zones_.emplace_back(view_.key.back().time_zone);
  if (view_.key.back().type == KeyType::hour) hour_zones_.emplace_back(view_.key.back().time_zone);
}

void Decoder::decode(const Record& record, DecodedEvent& event) {
  event.keys.clear();
  event.contributions.clear();
  event.states.clear();
  event.values.clear();
  event.taken.clear();
  event.texts.clear();
  event.order.clear();
  if (!record.value) {
    event.outcome = Outcome::tombstone;
    return;
  }
  std::optional<Rejection> rejection = json_.read_json(record);
  const EnvelopePaths& envelope = envelopes_[record.topic];
  const bool is_cloudevent = envelope.kind == Envelope::Kind::cloudevents;
  // Reading headers would take a fifth of a worker's CPU. A body that is a complete event of a type that this view
  // reads is taken as one; all else is judged by its headers (docs/decisions.md, "Headers").
  if (!rejection && !(is_cloudevent && json_.read_body() && reads_type(record.topic)))
    rejection = open(record, envelope);
  if (rejection) {
    reject(event, std::move(rejection->code), std::move(rejection->detail));
    return;
  }
  if (!is_cloudevent && json_.is_null_payload()) {
    event.outcome = Outcome::tombstone;
    return;
  }
  if (!json_.redrive().empty() && json_.redrive() != view_.name) {
    event.outcome = Outcome::other_view;
    return;
  }
  event.outcome = Outcome::undeclared_type;
  const Name type = json_.type_name();
  for (const Rule& rule : rules_[record.topic]) {
    if (!(rule.event_type == type)) continue;
    if (event.outcome == Outcome::undeclared_type) event.outcome = Outcome::not_selected;
    const bool selected = std::all_of(rule.where.begin(), rule.where.end(), [&](const WhereRule& where) {
      return holds(where.condition, json_.find(where.path));
    });
    if (!selected) continue;
    if (!apply(rule, record, event)) return;  // all or nothing: one rejected rule rejects the event
    event.outcome = Outcome::contributes;
  }
  if (event.outcome != Outcome::contributes) return;
  if (event.contributions.size() > 1) {
    // Several amounts of one event may meet in one cell: together they must fit into 64 bits, too.
    unsigned __int128 magnitude = 0;
    for (const Contribution& c : event.contributions)
      magnitude += c.amount < 0 ? -static_cast<__int128>(c.amount) : c.amount;
    if (magnitude > static_cast<unsigned __int128>(std::numeric_limits<std::int64_t>::max())) {
      reject(event, "range", "the event's amounts together leave 64 bits");
      return;
    }
  }
  event.fingerprint = identity_of(key_, json_.source(), json_.id());
  std::uint64_t content = digest(event.contributions.size(), event.keys);
  for (const Contribution& c : event.contributions) {
    content = (content ^ static_cast<std::uint64_t>(c.amount)) * 0x9E3779B97F4A7C15 + c.sum;
    content ^= content >> 32;
  }
  for (const Taken& t : event.taken) {
    const std::uint64_t value =
        t.text_size > 0
            ? digest(t.text_size, std::string_view(event.texts).substr(static_cast<std::size_t>(t.value), t.text_size))
            : static_cast<std::uint64_t>(t.value);
    content = (content ^ value) * 0x9E3779B97F4A7C15 + t.column;
    content ^= content >> 32;
  }
  if (!event.states.empty()) content = content_of_states(event, content);
  event.fingerprint.content = static_cast<std::uint32_t>(content);
}

void Decoder::describe(const Record& record, DecodedEvent& event) {
  decode(record, event);
  if (event.outcome == Outcome::tombstone) {
    // Nothing was read: json_ still refers to the record before, whose bytes may be gone.
    event.source.clear();
    event.id.clear();
    event.type.clear();
    return;
  }
  event.source = json_.source();
  event.id = json_.id();
  event.type = json_.type();
}

// What event it is, as its topic's envelope says.
std::optional<Rejection> Decoder::open(const Record& record, const EnvelopePaths& envelope) {
  switch (envelope.kind) {
    case Envelope::Kind::cloudevents:
      return json_.read_envelope(record);
    case Envelope::Kind::debezium:
      return json_.read_debezium(record, envelope);
    case Envelope::Kind::plain:
      return json_.read_plain(record, envelope);
  }
  return std::nullopt;
}

bool Decoder::reads_type(std::uint32_t topic) const {
  const Name type = json_.type_name();
  return std::any_of(rules_[topic].begin(), rules_[topic].end(),
                     [&](const Rule& rule) { return rule.event_type == type; });
}

bool Decoder::apply(const Rule& rule, const Record& record, DecodedEvent& event) {
  const auto key_begin = static_cast<std::uint32_t>(event.keys.size());
  for (std::size_t column = 0; column < rule.key.size(); ++column) {
    if (!append_key(rule, column, record, event)) return false;
  }
  const auto key_size = static_cast<std::uint32_t>(event.keys.size()) - key_begin;
  if (!rule.parts.empty()) {
    State state;
    state.key_begin = key_begin;
    state.key_size = key_size;
    return apply_states(rule, record, event, state);
  }
  for (std::size_t i = 0; i < rule.amounts.size(); ++i) {
    const AmountRule& rule_amount = rule.amounts[i];
    std::int64_t amount = rule_amount.constant;
    if (!rule_amount.path.empty()) {
      const MemberValue value = json_.find(rule_amount.path.front());
      const std::optional<std::int64_t> integer = value.as_integer();
      // The smallest 64-bit integer has no opposite.
      if (!integer || (rule_amount.sign < 0 && *integer == std::numeric_limits<std::int64_t>::min())) {
        return reject(
            event, "member",
            "member " + std::get<JsonPointer>(rule.source->amounts[rule_amount.number].value).text + " is " +
                value.describe() + "; expected an integer of at most 64 bits" +
                hint(*rule.source, std::get<JsonPointer>(rule.source->amounts[rule_amount.number].value), value));
      }
      amount = *integer;
    }
    event.contributions.push_back({key_begin, key_size, rule_amount.sum, rule_amount.sign * amount});
  }
  return rule.values.empty() || apply_values(rule, key_begin, record, event);
}

bool Decoder::append_key(const Rule& rule, std::size_t column, const Record& record, DecodedEvent& event) {
  const MemberValue value = json_.find(rule.key[column]);
  const Place& place = rule.source->key[column];
  const auto wrong = [&](const std::string& expected) {
    return reject(
        event, "member",
        place.shown() + " is " + value.describe() + "; expected " + expected + hint(*rule.source, place, value));
  };
  const KeyType type = view_.key[column].type;
  if (type == KeyType::integer) {
    const std::optional<std::int64_t> integer = value.as_integer();
    if (!integer) return wrong("an integer of at most 64 bits");
    row_key::append_integer(event.keys, *integer);
    return true;
  }
  if (type == KeyType::hour || type == KeyType::minute) return append_begin(place, type, value, record, event);
  const std::optional<std::string_view> text = value.as_string();
  switch (type) {
    case KeyType::integer:
    case KeyType::hour:
    case KeyType::minute:
      break;
    case KeyType::uuid:
      if (!text || !row_key::append_uuid(event.keys, *text))
        return wrong("a UUID such as \"6f1c7ab0-3d0c-4f5e-9d2b-1f0e5a7c9b42\"");
      break;
    case KeyType::text:
      if (!text || text->size() > text_key_bytes_max || text->find('\0') != std::string_view::npos) {
        return wrong("a string of at most 1000 bytes without U+0000");
      }
      row_key::append_text(event.keys, *text);
      break;
    case KeyType::timestamp: {
      const std::optional<std::int64_t> instant = value.as_instant(place.unit);
      const std::optional<std::int64_t> seconds = value.as_seconds(place.unit);
      if (!instant || !seconds) return wrong(expected_time(place.unit));
      if (is_in_future(*seconds, record)) return reject_future(place, value, *seconds, record, event);
      row_key::append_integer(event.keys, *instant);
      break;
    }
    case KeyType::date: {
      const std::optional<CivilDay> day = place.unit == TimeUnit::days           ? value.as_days()
                                          : place.unit == TimeUnit::text && text ? parse_date(*text)
                                                                                 : std::nullopt;
      if (day) {
        row_key::append_date(event.keys, *day);
        break;
      }
      const std::optional<std::int64_t> instant = place.unit == TimeUnit::text
                                                      ? (text ? parse_instant(*text) : std::nullopt)
                                                  : place.unit == TimeUnit::days ? std::nullopt
                                                                                 : value.as_seconds(place.unit);
      const std::optional<CivilDay> civil = instant ? zones_.front().day_of(*instant) : std::nullopt;
      if (!civil)
        return wrong((place.unit == TimeUnit::text ? "a date \"YYYY-MM-DD\" or " : "") + expected_time(place.unit));
      if (is_in_future(*instant, record)) return reject_future(place, value, *instant, record, event);
      row_key::append_date(event.keys, *civil);
      break;
    }
  }
  return true;
}

// The record's own time, never this machine's clock: a replay next year must judge alike.
bool Decoder::is_in_future(std::int64_t instant, const Record& record) const {
  return view_.max_future_seconds && record.timestamp_ms >= 0 &&
         instant - record.timestamp_ms / 1000 > *view_.max_future_seconds;
}

bool Decoder::reject_future(const Place& place, const MemberValue& value, std::int64_t instant, const Record& record,
                            DecodedEvent& event) const {
  return reject(
      event, "future",
      place.shown() + " is " + value.describe() + ", " + std::to_string(instant - record.timestamp_ms / 1000) +
          " s after the record's timestamp; max_future_seconds is " + std::to_string(*view_.max_future_seconds));
}

bool Decoder::reject(DecodedEvent& event, std::string code, std::string detail) const {
  event.outcome = Outcome::rejected;
  event.keys.clear();
  event.contributions.clear();
  event.states.clear();
  event.values.clear();
  event.taken.clear();
  event.rejection = {std::move(code), std::move(detail)};
  event.source = json_.source();
  event.id = json_.id();
  event.type = json_.type();
  return false;
}

}  // namespace daybook
