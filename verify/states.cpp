#include "verify/states.h"

#include <algorithm>
#include <tuple>

#include "verify/event.h"
#include "verify/gathered.h"
#include "verify/values.h"

namespace daybook::verify {
namespace {

using nlohmann::json;

// A number's text without its sign, as digits (no zeros around them) and the power of ten of the last one. Nothing for
// 0.
struct Number {
  bool negative = false;
  std::string digits;
  std::int64_t power = 0;
};

std::optional<Number> number_of(const std::string& text) {
  Number number;
  std::size_t at = 0;
  const auto digits = [&] {
    const std::size_t begin = at;
    while (at < text.size() && std::isdigit(static_cast<unsigned char>(text[at])) != 0) ++at;
    return text.substr(begin, at - begin);
  };
  if (at < text.size() && text[at] == '-') {
    number.negative = true;
    ++at;
  }
  std::string whole = digits();
  if (whole.empty() || (whole.size() > 1 && whole[0] == '0')) return std::nullopt;
  std::string behind;
  if (at < text.size() && text[at] == '.') {
    ++at;
    behind = digits();
    if (behind.empty()) return std::nullopt;
  }
  std::int64_t exponent = 0;
  if (at < text.size() && (text[at] == 'e' || text[at] == 'E')) {
    ++at;
    const bool negative = at < text.size() && text[at] == '-';
    if (at < text.size() && (text[at] == '-' || text[at] == '+')) ++at;
    std::string power = digits();
    if (power.empty()) return std::nullopt;
    power.erase(0, std::min(power.find_first_not_of('0'), power.size()));
    exponent = power.size() > 9 ? 999'999'999 : power.empty() ? 0 : std::stoll(power);
    if (negative) exponent = -exponent;
  }
  if (at != text.size()) return std::nullopt;
  number.digits = whole + behind;
  number.power = exponent - static_cast<std::int64_t>(behind.size());
  number.digits.erase(0, std::min(number.digits.find_first_not_of('0'), number.digits.size()));
  while (!number.digits.empty() && number.digits.back() == '0') {
    number.digits.pop_back();
    ++number.power;
  }
  if (number.digits.empty()) return Number{};
  return number;
}

// As PostgreSQL prints numeric(18, scale).
std::optional<std::string> decimal_of(const std::string& text, int scale) {
  const std::optional<std::int64_t> scaled = scaled_of(text, scale);
  return scaled ? std::optional(number_text(*scaled, scale)) : std::nullopt;
}

bool has_nul(const json& value) {
  if (value.is_string()) return value.get_ref<const std::string&>().find('\0') != std::string::npos;
  if (!value.is_structured()) return false;
  for (const auto& [name, below] : value.items()) {
    if ((value.is_object() && name.find('\0') != std::string::npos) || has_nul(below)) return true;
  }
  return false;
}

}  // namespace

std::optional<Moment> moment_of(const json& value, TimeUnit unit) {
  Moment moment;
  std::string fraction;
  if (unit == TimeUnit::text) {
    if (!value.is_string()) return std::nullopt;
    const auto& text = value.get_ref<const std::string&>();
    const std::optional<std::int64_t> seconds = instant_of(text);
    if (!seconds) return std::nullopt;
    moment.seconds = *seconds;
    const std::size_t point = text.find('.');
    for (std::size_t at = point + 1;
         point != std::string::npos && fraction.size() < 6 && text[at] >= '0' && text[at] <= '9'; ++at)
      fraction += text[at];
    while (fraction.size() < 6) fraction += '0';
  } else {
    const std::optional<std::int64_t> count = integer_of(value);
    if (!count) return std::nullopt;
    const absl::Time time = time_of(*count, unit);
    if (time == absl::InfiniteFuture() || time == absl::InfinitePast()) return std::nullopt;
    moment.seconds = absl::ToUnixSeconds(time);
    fraction = std::to_string(1'000'000 + absl::ToInt64Microseconds(time - absl::FromUnixSeconds(moment.seconds)));
    fraction.erase(0, 1);
  }
  const absl::CivilSecond civil = absl::ToCivilSecond(absl::FromUnixSeconds(moment.seconds), absl::UTCTimeZone());
  if (civil.year() < 1 || civil.year() > 9999) return std::nullopt;
  moment.microseconds = moment.seconds * 1'000'000 + std::stoll(fraction);
  while (!fraction.empty() && fraction.back() == '0') fraction.pop_back();
  const auto two = [](int number) { return (number < 10 ? ":0" : ":") + std::to_string(number); };
  moment.text = iso_date(absl::CivilDay(civil)) + " " + two(civil.hour()).substr(1) + two(civil.minute()) +
                two(civil.second()) + (fraction.empty() ? "" : "." + fraction) + "+00";
  return moment;
}

std::string normal_json(const json& exact) {
  if (exact.is_object()) {
    std::string text;
    for (const auto& [name, value] : exact.items())
      text += (text.empty() ? "{" : ",") + json(name).dump() + ":" + normal_json(value);
    return text.empty() ? "{}" : text + "}";
  }
  if (exact.is_array()) {
    std::string text;
    for (const json& value : exact) text += (text.empty() ? "[" : ",") + normal_json(value);
    return text.empty() ? "[]" : text + "]";
  }
  std::optional<Number> number;
  if (exact.is_binary()) number = number_of(std::string(exact.get_binary().begin(), exact.get_binary().end()));
  if (exact.is_number()) number = number_of(exact.dump());
  if (!number) return exact.dump();
  if (number->digits.empty()) return "0";
  return (number->negative ? "-" : "") + number->digits + "e" + std::to_string(number->power);
}

bool read_value(const ValueColumn& column, const json& member, const json& exact, TimeUnit unit,
                std::optional<std::string>& value) {
  value.reset();
  if (member.is_null()) return !column.required;
  const std::string* text = member.is_string() ? &member.get_ref<const std::string&>() : nullptr;
  switch (column.type) {
    case ColumnType::int4:
    case ColumnType::int8: {
      const std::optional<std::int64_t> integer = integer_of(member);
      if (!integer) return false;
      if (column.type == ColumnType::int4 && (*integer > 2'147'483'647 || *integer < -2'147'483'648)) return false;
      value = std::to_string(*integer);
      return true;
    }
    case ColumnType::decimal:
      if (text != nullptr) {
        value = decimal_of(*text, column.scale);
      } else if (exact.is_binary()) {
        value = decimal_of(std::string(exact.get_binary().begin(), exact.get_binary().end()), column.scale);
      } else if (member.is_number()) {
        value = decimal_of(member.dump(), column.scale);
      }
      return value.has_value();
    case ColumnType::text:
      if (text == nullptr || has_nul(member)) return false;
      value = *text;
      return true;
    case ColumnType::boolean:
      if (!member.is_boolean()) return false;
      value = member.get<bool>() ? "true" : "false";
      return true;
    case ColumnType::timestamp:
      if (const std::optional<Moment> moment = moment_of(member, unit)) value = moment->text;
      return value.has_value();
    case ColumnType::date:
      if (unit == TimeUnit::days) {
        if (const std::optional<Day> day = day_of(member, unit, absl::UTCTimeZone())) value = iso_date(day->day);
      } else if (text != nullptr && text->size() == 10) {
        if (const std::optional<Day> day = day_of(*text, absl::UTCTimeZone())) value = iso_date(day->day);
      }
      return value.has_value();
    case ColumnType::uuid:
      if (text != nullptr) value = uuid_of(*text);
      return value.has_value();
    case ColumnType::json:
      if (has_nul(member)) return false;
      value = normal_json(exact);
      return true;
  }
  return false;
}

States::States(const ViewDefinition& definition)
    : first_counts_(definition.kind == ViewKind::log),
      columns_(definition.columns.size()),
      time_(definition.timestamp_key().value_or(0)) {}

const States::First* States::find(const Identity& identity) const {
  const auto found = firsts_.find(identity);
  return found == firsts_.end() ? nullptr : &found->second;
}

std::size_t States::content_of(const std::vector<StateChange>& changes) {
  std::string text;
  for (const StateChange& change : changes) {
    text += std::to_string(change.version) + (change.gone ? "-" : "+");
    for (const std::string& part : change.key) text += part + '\0';
    for (const auto& [column, value] : change.values)
      text += std::to_string(column) + (value ? "=" + std::to_string(value->size()) + ":" + *value : "!");
    text += '\0';
  }
  return std::hash<std::string>{}(text);
}

void States::add(const Identity& identity, const TopicPartition& partition, std::int64_t offset,
                 const std::vector<StateChange>& changes) {
  First& first = firsts_[identity];
  first = {&*partitions_.insert(partition).first, offset, content_of(changes), {}};
  for (const StateChange& change : changes) {
    Row& row = rows_[change.key];
    row.cells.resize(columns_);
    first.rows.push_back(&row);
    for (const auto& [column, value] : change.values) {
      Cell& known = row.cells[column];
      const auto place = std::tie(change.version, partition, offset);
      bool counts = known.partition == nullptr;
      bool stays_tied = false;
      if (!counts) {
        const auto known_place = std::tie(known.version, *known.partition, known.offset);
        const bool differs = known.gone != change.gone || known.value != value;
        const bool is_same_event = *known.partition == partition && known.offset == offset;
        // Of one event the last rule counts, in a log the first.
        counts = first_counts_ ? place < known_place : place >= known_place;
        const bool same_version = known.version == change.version;
        stays_tied = (same_version && differs && !is_same_event) || (known.is_tied && (!counts || same_version));
      }
      if (counts) known = {first.partition, change.version, offset, value, change.gone, false};
      known.is_tied = stays_tied;
    }
  }
}

void States::doubt(const First& first, const std::vector<StateChange>& copy) {
  const bool same = first.content == content_of(copy);
  for (const StateChange& change : copy) {
    Row& row = rows_[change.key];
    row.cells.resize(columns_);
    if (!same) row.uncertain = true;
    // The same state from another place: it matters where places decide.
    for (const auto& [column, value] : change.values) row.doubtful.emplace(column, change.version);
  }
  for (Row* row : first.rows) row->uncertain = row->uncertain || !same;
}

bool States::Row::is_there() const {
  return std::any_of(cells.begin(), cells.end(), [](const Cell& c) { return c.partition != nullptr && !c.gone; });
}

std::optional<std::string> States::Row::value(std::size_t column) const {
  const Cell& cell = cells[column];
  return cell.partition == nullptr || cell.gone ? std::nullopt : cell.value;
}

bool States::Row::is_uncertain() const {
  if (uncertain) return true;
  for (std::size_t column = 0; column < cells.size(); ++column) {
    if (cells[column].is_tied && doubtful.contains({column, cells[column].version})) return true;
  }
  return false;
}

// These texts are in the order of time.
bool States::is_archived(const Key& key) const { return first_counts_ && key[time_] < rows_from_; }

}  // namespace daybook::verify
