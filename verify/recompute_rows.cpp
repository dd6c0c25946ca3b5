// What the recomputation takes from events beyond whole amounts, and the rows that it comes to.
#include <algorithm>
#include <limits>

#include "verify/recompute.h"
#include "verify/values.h"

namespace daybook::verify {
namespace {

using nlohmann::json;

constexpr std::size_t max_taken_text = 1000;

}  // namespace

// `exact`: the same member as it was written.
std::optional<std::int64_t> Recomputation::read_number(const ValueColumn& column, const json& member,
                                                       const json* exact) const {
  if (column.type == ColumnType::decimal) {
    if (member.is_string()) return scaled_of(member.get_ref<const std::string&>(), column.scale);
    if (exact != nullptr && exact->is_binary())
      return scaled_of(std::string(exact->get_binary().begin(), exact->get_binary().end()), column.scale);
    return member.is_number() ? scaled_of(member.dump(), column.scale) : std::nullopt;
  }
  const std::optional<std::int64_t> integer = integer_of(member);
  if (!integer) return std::nullopt;
  if (column.type == ColumnType::int4 && (*integer < INT32_MIN || *integer > INT32_MAX)) return std::nullopt;
  if (column.aggregate == Aggregate::quantile && *integer == INT64_MIN) return std::nullopt;
  return integer;
}

// When the event happened, as its topic's envelope says.
bool Recomputation::read_time(const SourceRule& rule, const Event& event, const LogRecord& record, Judgement& judgement,
                              Rejection& rejection) const {
  if (judgement.time) return true;  // by another rule: all of a topic have the same envelope
  const Place place = rule.envelope.time.value_or(Place());
  const std::optional<Moment> moment =
      rule.envelope.time ? moment_of(value_at(event, record, place), place.unit) : std::nullopt;
  if (!moment) {
    rejection = {"member", "the event's time, " + place.shown() + ", is missing or no time"};
    return false;
  }
  if (lies_in_future(moment->seconds, record.timestamp_ms)) {
    rejection = {"future", place.shown() + " lies too far beyond the record's time"};
    return false;
  }
  judgement.time = moment->microseconds;
  return true;
}

bool Recomputation::read_take(const SourceRule& rule, const Take& take, const Event& event, const Event& exact,
                              const LogRecord& record, Judgement& judgement, Change& change,
                              Rejection& rejection) const {
  const ValueColumn& column = definition_.columns[take.column];
  if (column.aggregate == Aggregate::last && !read_time(rule, event, record, judgement, rejection)) return false;
  rejection = {"member", take.member.text + " is missing or does not fit column " + column.name};
  const json* member = find_member(event.body, take.member);
  if (member == nullptr) return false;
  if (column.aggregate == Aggregate::distinct) {
    if (member->is_string()) {
      change.takes.push_back({take.column, register_of("s" + member->get<std::string>()), ""});
      return true;
    }
    const std::optional<std::int64_t> integer = integer_of(*member);
    if (integer) change.takes.push_back({take.column, register_of("i" + std::to_string(*integer)), ""});
    return integer.has_value();
  }
  if (column.type == ColumnType::text) {
    if (!member->is_string()) return false;
    const std::string& text = member->get_ref<const std::string&>();
    if (text.size() > max_taken_text || text.find('\0') != std::string::npos) return false;
    change.takes.push_back({take.column, 0, text});
    return true;
  }
  if (column.type == ColumnType::timestamp) {
    const std::optional<Moment> moment = moment_of(*member, TimeUnit::text);
    if (moment) change.takes.push_back({take.column, moment->microseconds, ""});
    return moment.has_value();
  }
  const std::optional<std::int64_t> number = read_number(column, *member, find_member(exact.body, take.member));
  if (!number) return false;
  if (column.aggregate == Aggregate::avg) {
    change.amounts.emplace_back(take.column, *number);
  } else {
    change.takes.push_back({take.column, column.aggregate == Aggregate::quantile ? bucket_of(*number) : *number, ""});
  }
  return true;
}

std::int64_t Recomputation::text_number(const std::string& text) {
  const auto [place, is_new] = text_numbers_.try_emplace(text, static_cast<std::int64_t>(texts_.size()));
  if (is_new) texts_.push_back(text);
  return place->second;
}

void Recomputation::gather(const Item& item, const Order& order) {
  const std::size_t columns = definition_.columns.size();
  const std::size_t column = item.column - 2 * columns;
  std::vector<Gathered>& gathered = rows_[item.row].gathered;
  gathered.resize(columns);
  gathered[column].take(definition_.columns[column].aggregate, item.amount, order);
}

void Recomputation::doubt_taken(const Item& item) {
  const std::size_t columns = definition_.columns.size();
  std::vector<Gathered>& gathered = rows_[item.row].gathered;
  gathered.resize(columns);
  gathered[item.column - 2 * columns].doubtful = true;
}

// The texts of all columns, once balances are what they are.
void Recomputation::finish_texts(ExpectedRow& expected, const Row& row) const {
  const std::size_t columns = definition_.columns.size();
  expected.texts.assign(columns, std::nullopt);
  expected.doubtful.assign(columns, false);
  const auto is_sure = [&expected](std::size_t cell) { return expected.low[cell] == expected.high[cell]; };
  for (std::size_t c = 0; c < columns; ++c) {
    const ValueColumn& column = definition_.columns[c];
    std::optional<std::string>& text = expected.texts[c];
    const Gathered* const gathered = row.gathered.empty() ? nullptr : &row.gathered[c];
    const bool any = gathered != nullptr && gathered->any;
    if (gathered != nullptr && gathered->is_doubtful()) expected.doubtful[c] = expected.uncertain = true;
    switch (column.aggregate) {
      case Aggregate::sum:
      case Aggregate::count:
      case Aggregate::balance:
        text = number_text(expected.values[c], column.scale);
        break;
      case Aggregate::avg: {
        const absl::int128 events = expected.values[c + columns];
        if (events != 0) text = number_text(rounded(expected.values[c], events), column.scale);
        expected.doubtful[c] = !is_sure(c) || !is_sure(c + columns);
        break;
      }
      case Aggregate::ratio: {
        const std::size_t over = column.of[0];
        const std::size_t under = column.of[1];
        absl::int128 numerator = expected.values[over];
        absl::int128 denominator = expected.values[under];
        for (int i = 0; i < column.scale + definition_.columns[under].scale; ++i) numerator *= 10;
        for (int i = 0; i < definition_.columns[over].scale; ++i) denominator *= 10;
        if (denominator != 0) text = number_text(rounded(numerator, denominator), column.scale);
        expected.doubtful[c] = !is_sure(over) || !is_sure(under);
        break;
      }
      case Aggregate::min:
      case Aggregate::max:
      case Aggregate::last:
        if (!any) break;
        text = column.type == ColumnType::timestamp ? time_text(gathered->number)
               : column.type == ColumnType::text    ? texts_[static_cast<std::size_t>(gathered->number)]
                                                    : number_text(gathered->number, column.scale);
        break;
      case Aggregate::quantile: {
        const std::size_t sketched = column.of.empty() ? c : column.of.front();
        if (row.gathered.empty() || !row.gathered[sketched].any) break;
        text = number_text(quantile_of(row.gathered[sketched], column.quantile_millionths), column.scale);
        expected.doubtful[c] = row.gathered[sketched].is_doubtful();
        break;
      }
      case Aggregate::distinct:
        text = std::to_string(any ? distinct_of(*gathered) : 0);
        break;
    }
  }
}

void Recomputation::contribute(const Judgement& judgement, std::uint32_t partition) {
  if (definition_.has_states()) return contribute_states(judgement, partition);
  const std::size_t begin = items_.size();
  const std::size_t columns = definition_.columns.size();
  for (const Change& change : judgement.changes) {
    const RowId row = row_id(change.key);
    if (change.amounts.empty() && change.takes.empty()) items_.push_back({0, row, no_column});
    for (const auto& [column, amount] : change.amounts) {
      items_.push_back({amount, row, static_cast<std::uint32_t>(column)});
      if (definition_.columns[column].aggregate == Aggregate::avg)
        items_.push_back({1, row, static_cast<std::uint32_t>(column + columns)});
    }
    for (const Change::Take& take : change.takes) {
      const bool is_text = definition_.columns[take.column].type == ColumnType::text;
      items_.push_back(
          {is_text ? text_number(take.text) : take.value, row, static_cast<std::uint32_t>(take.column + 2 * columns)});
    }
  }
  const std::size_t count = items_.size() - begin;
  if (items_.size() > UINT32_MAX)
    throw StopError("verify: more than 4 billion amounts in the log; verify a younger generation");
  const auto [place, is_new] = seen_.try_emplace(
      judgement.identity,
      Seen{judgement.offset, static_cast<std::uint32_t>(begin), static_cast<std::uint32_t>(count), partition});
  if (!is_new) {
    ++counts_.duplicates;
    judge_copy(place->second, partition, judgement, begin);
    items_.resize(begin);
    return;
  }
  ++counts_.contributing;
  for (std::size_t i = begin; i < items_.size(); ++i) {
    Row& row = rows_[items_[i].row];
    ++row.touched;
    if (items_[i].column == no_column) continue;
    if (items_[i].column < 2 * columns) {
      row.values[items_[i].column] += items_[i].amount;
    } else {
      gather(items_[i],
             {judgement.time.value_or(0), judgement.partition.topic, judgement.partition.partition, judgement.offset});
    }
  }
}

// A copy counts nothing. It leaves a doubt where the worker can have kept another copy than the one met first
// here (other data, another partition), or both (so far apart that the first may have been forgotten).
void Recomputation::judge_copy(const Seen& first, std::uint32_t partition, const Judgement& judgement,
                               std::size_t copy) {
  const auto first_item = items_.begin() + first.first_item;
  const bool same_data = std::equal(first_item, first_item + first.items,
                                    items_.begin() + static_cast<std::ptrdiff_t>(copy), items_.end());
  const bool same_partition = first.partition == partition;
  const bool outside_window = may_be_forgotten(first, partition, judgement.offset);
  if (!same_data) ++counts_.reused_ids;
  if (outside_window) ++counts_.outside_window;

  const bool may_replace = !same_data && !same_partition;
  const auto doubt = [this](const Item& item, int sign) {
    Row& row = rows_[item.row];
    row.uncertain = true;
    if (sign < 0) ++row.withdrawable;
    if (item.column == no_column) return;
    if (item.column >= 2 * definition_.columns.size()) {
      doubt_taken(item);
      return;
    }
    const absl::int128 change = absl::int128(item.amount) * sign;
    (change < 0 ? row.below : row.above)[item.column] += change;
  };
  if (!same_partition) {
    // Which of the copies was applied decides where a `last` stands among others of its time.
    for (std::size_t i = copy; i < items_.size(); ++i) {
      if (items_[i].column == no_column || items_[i].column < 2 * definition_.columns.size()) continue;
      std::vector<Gathered>& gathered = rows_[items_[i].row].gathered;
      gathered.resize(definition_.columns.size());
      gathered[items_[i].column - 2 * definition_.columns.size()].copied.insert(judgement.time.value_or(0));
    }
  }
  if (may_replace || outside_window) {
    for (std::size_t i = copy; i < items_.size(); ++i) doubt(items_[i], 1);
  }
  if (may_replace) {
    for (std::size_t i = 0; i < first.items; ++i) doubt(items_[first.first_item + i], -1);
  }
}

std::map<Key, ExpectedRow> Recomputation::expected_rows() const {
  std::map<Key, ExpectedRow> sorted;
  for (const auto& [key, id] : row_ids_) {
    const Row& row = rows_[id];
    if (row.touched == 0 && !row.uncertain) continue;  // only met in copies that surely don't count
    ExpectedRow& expected = sorted[key];
    expected.in_log = row.touched > 0;
    expected.may_be_absent = row.touched <= row.withdrawable;
    expected.uncertain = row.uncertain;
    expected.values = expected.low = expected.high = row.values;
    for (std::size_t c = 0; c < row.values.size(); ++c) {
      expected.low[c] += row.below[c];
      expected.high[c] += row.above[c];
    }
  }
  // A balance is the sum of all changes up to the row's date. The date is the last key column and ISO dates
  // sort as text, so the rows of one key stand together in the order of their days.
  if (!definition_.has_date() || !definition_.has_balance()) {
    for (auto& [key, row] : sorted) finish_texts(row, rows_[row_ids_.at(key)]);
    return sorted;
  }
  ExpectedRow* before = nullptr;
  const Key* before_key = nullptr;
  for (auto& [key, row] : sorted) {
    if (before_key != nullptr && std::equal(key.begin(), key.end() - 1, before_key->begin(), before_key->end() - 1)) {
      for (std::size_t c = 0; c < definition_.columns.size(); ++c) {
        if (definition_.columns[c].aggregate != Aggregate::balance) continue;
        row.values[c] += before->values[c];
        row.low[c] += before->low[c];
        row.high[c] += before->high[c];
        row.uncertain = row.uncertain || before->low[c] != before->high[c];
      }
    }
    before = &row;
    before_key = &key;
    finish_texts(row, rows_[row_ids_.at(key)]);
  }
  return sorted;
}

std::map<Key, std::vector<std::string>> Recomputation::text_rows() const {
  std::map<Key, std::vector<std::string>> found;
  for (const auto& [key, row] : expected_rows()) {
    if (!row.in_log) continue;
    for (const std::optional<std::string>& text : row.texts) found[key].push_back(text.value_or("NULL"));
  }
  return found;
}

std::map<Key, Values> Recomputation::rows() const {
  std::map<Key, Values> found;
  for (const auto& [key, row] : expected_rows()) {
    if (!row.in_log) continue;
    Values& values = found[key];
    for (std::size_t c = 0; c < definition_.columns.size(); ++c) {
      const absl::int128 value = row.values[c];
      values.push_back(static_cast<std::int64_t>(std::clamp<absl::int128>(
          value, std::numeric_limits<std::int64_t>::min(), std::numeric_limits<std::int64_t>::max())));
    }
  }
  return found;
}

}  // namespace daybook::verify
