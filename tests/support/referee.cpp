#include "tests/support/referee.h"

#include <algorithm>
#include <limits>

#include "tests/support/memory_store.h"
#include "tests/support/state_text.h"

namespace daybook::test {
namespace {

constexpr FingerprintKey fixed_key{1, 2, 3, 4, 5, 6, 7, 8};

class GivenHeaders : public HeaderReader {
 public:
  void read(const void* native, std::vector<Header>& out) const override {
    out = static_cast<const Message*>(native)->headers;
  }
};

std::string name_of(Outcome outcome, const Rejection& rejection) {
  switch (outcome) {
    case Outcome::contributes:
      return "contributes";
    case Outcome::tombstone:
      return "tombstone";
    case Outcome::undeclared_type:
    case Outcome::not_selected:
      return "passed over";
    case Outcome::other_view:
      return "for another view";
    case Outcome::rejected:
      return "rejected: " + rejection.code;
  }
  return "";
}

std::string name_of(const verify::Judgement& judgement) {
  switch (judgement.outcome) {
    case verify::Outcome::contributes:
      return "contributes";
    case verify::Outcome::passed_over:
      return judgement.tombstone ? "tombstone" : "passed over";
    case verify::Outcome::other_view:
      return "for another view";
    case verify::Outcome::invalid:
      return "rejected: " + judgement.rejection.code;
  }
  return "";
}

std::string text_of(const std::vector<std::string>& key, std::size_t column, std::int64_t amount) {
  std::string text;
  for (const std::string& part : key) text += part + "|";
  return text + " column " + std::to_string(column) + " by " + std::to_string(amount) + "\n";
}

// Sorted: the two may read decimals in another order than whole numbers.
std::string joined(std::vector<std::string> lines) {
  std::sort(lines.begin(), lines.end());
  std::string text;
  for (const std::string& line : lines) text += line;
  return text;
}

std::string taken(const std::vector<std::string>& key, std::size_t column, std::int64_t value,
                  const std::string& word) {
  return "taken: " + word + " " + text_of(key, column, value);
}

std::string changes_of(const ViewDefinition& view, const DecodedEvent& event) {
  if (view.has_states()) return states_text(view, event);
  const std::vector<Sum> sums = sums_of(view);
  std::vector<std::string> lines;
  const auto key_at = [&](std::size_t begin, std::size_t size) {
    return key_text(view, std::string_view(event.keys).substr(begin, size));
  };
  for (const Contribution& c : event.contributions) {
    if (sums[c.sum].part != Sum::Part::avg_count)
      lines.push_back(text_of(key_at(c.key_begin, c.key_size), sums[c.sum].column, c.amount));
  }
  for (const Taken& t : event.taken) {
    const bool is_text = view.columns[t.column].type == ColumnType::text;
    const std::string word = is_text ? event.texts.substr(static_cast<std::size_t>(t.value), t.text_size) : "";
    lines.push_back(taken(key_at(t.key_begin, t.key_size), t.column, is_text ? 0 : t.value, word));
  }
  return joined(std::move(lines));
}

std::string changes_of(const ViewDefinition& view, const verify::Judgement& judgement) {
  if (view.has_states()) return states_text(view, judgement.states);
  std::vector<std::string> lines;
  for (const verify::Change& change : judgement.changes) {
    for (const auto& [column, amount] : change.amounts) lines.push_back(text_of(change.key, column, amount));
    for (const verify::Change::Take& take : change.takes)
      lines.push_back(taken(change.key, take.column, take.value, take.text));
  }
  return joined(std::move(lines));
}

// verify takes a worker's `range` as it is and sums in 128 bits: an event whose amounts leave 64 bits contributes
// there.
bool leaves_64_bits(const verify::Judgement& judgement) {
  absl::int128 magnitude = 0;
  for (const verify::Change& change : judgement.changes) {
    for (const auto& [column, amount] : change.amounts)
      magnitude += amount < 0 ? -absl::int128(amount) : absl::int128(amount);
  }
  return magnitude > std::numeric_limits<std::int64_t>::max();
}

}  // namespace

Referee::Referee(const ViewDefinition& view)
    : view_(view), topics_(view.topics()), decoder_(view, fixed_key), verify_(view) {}

std::string Referee::disagreement(const Message& message) {
  static const GivenHeaders given;
  Record record;
  record.topic = static_cast<std::uint32_t>(message.topic % topics_.size());
  record.timestamp_ms = message.timestamp_ms;
  record.key = message.key;
  record.value = message.value;
  record.header_reader = &given;
  record.native = &message;
  decoder_.decode(record, worker_);

  verify::LogRecord log_record;
  log_record.topic = topics_[record.topic];
  log_record.timestamp_ms = message.timestamp_ms;
  log_record.key = message.key;
  log_record.value = message.value;
  for (const Header& header : message.headers) log_record.headers.emplace_back(header.name, header.value);
  const verify::Judgement judgement = verify_.judge(log_record);

  const std::string by_worker = name_of(worker_.outcome, worker_.rejection);
  const std::string by_verify = name_of(judgement);
  const bool out_of_range = by_worker == "rejected: range" && by_verify == "contributes" && leaves_64_bits(judgement);
  if (by_worker != by_verify && !out_of_range) {
    return "the worker says " + by_worker + " (" + worker_.rejection.detail + "), verify says " + by_verify + " (" +
           judgement.rejection.detail + ")";
  }
  if (worker_.outcome == Outcome::contributes && changes_of(view_, worker_) != changes_of(view_, judgement)) {
    return "the worker changes\n" + changes_of(view_, worker_) + "verify changes\n" + changes_of(view_, judgement);
  }
  if (worker_.outcome == Outcome::rejected && worker_.rejection.detail.empty()) return "a rejection without a detail";

  // Nothing of the one event may stay behind in the decoder for the next.
  decoder_.describe(record, again_);
  if (name_of(again_.outcome, again_.rejection) != by_worker) {
    return "the worker says first " + by_worker + ", then " + name_of(again_.outcome, again_.rejection);
  }
  if (worker_.outcome == Outcome::contributes) {
    const Fingerprint identity = identity_of(fixed_key, again_.source, again_.id);
    if (!(again_.fingerprint == worker_.fingerprint) || !identity.same_identity(worker_.fingerprint))
      return "the fingerprint is not that of source and id, or not the same a second time";
  }
  return "";
}

}  // namespace daybook::test
