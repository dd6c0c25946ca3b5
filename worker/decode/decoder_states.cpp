// The part of the decoder that reads states: the rows of `latest` and `log` views.
#include <algorithm>

#include "worker/decode/decoder.h"

namespace daybook {

void Decoder::compile_states(const SourceRule& source, Rule& rule) const {
  const std::vector<std::size_t> parts = view_.parts();
  if (view_.kind == ViewKind::latest) rule.version.emplace_back(source.version);
  const auto part_rule = [&](std::size_t column, bool gone) -> PartRule& {
    const auto part = static_cast<std::uint32_t>(parts[column]);
    const auto known =
        std::find_if(rule.parts.begin(), rule.parts.end(), [&](const PartRule& p) { return p.part == part; });
    if (known != rule.parts.end()) return *known;
    return rule.parts.emplace_back(PartRule{part, gone, {}});
  };
  for (const std::size_t column : source.deletes) part_rule(column, true);
  std::vector<Setting> settings = source.settings;
  std::sort(settings.begin(), settings.end(), [](const Setting& a, const Setting& b) { return a.column < b.column; });
  if (view_.kind == ViewKind::latest) {
    for (const Setting& setting : settings)
      part_rule(setting.column, false).settings.emplace_back(setting.column, MemberPath(setting.member));
    return;
  }
  // A row of a log has all columns, those that this rule does not set as NULL.
  PartRule& whole = rule.parts.emplace_back(PartRule{0, false, {}});
  for (const Setting& setting : settings) whole.settings.emplace_back(setting.column, MemberPath(setting.member));
}

bool Decoder::apply_states(const Rule& rule, const Record& record, DecodedEvent& event, State state) {
  state.order = {0, topic_ranks_[record.topic], record.partition, record.offset};
  if (!rule.version.empty()) {
    const MemberValue value = json_.find(rule.version.front());
    const Place& place = rule.source->version;
    std::optional<std::int64_t> version = place.unit == TimeUnit::text ? value.as_integer() : std::nullopt;
    if (!version) {
      version = value.as_instant(place.unit);
      const std::optional<std::int64_t> seconds = value.as_seconds(place.unit);
      if (!version || !seconds) {
        return reject(event, "member",
                      place.shown() + " is " + value.describe() + "; expected " +
                          (place.unit == TimeUnit::text ? "an integer of at most 64 bits, or " : "") +
                          expected_time(place.unit));
      }
      // A state from a wrong clock would stay the newest for ever.
      if (is_in_future(*seconds, record)) return reject_future(place, value, *seconds, record, event);
    }
    state.order.version = *version;
  }
  for (const PartRule& part : rule.parts) {
    state.part = part.part;
    state.gone = part.gone;
    state.values_begin = static_cast<std::uint32_t>(event.values.size());
    std::size_t column = 0;
    const auto append_nulls = [&](std::size_t until) {
      for (; view_.kind == ViewKind::log && column < until; ++column)
        state_values::append(view_.columns[column], MemberValue(), json_, part.settings.front().second, event.values);
    };
    for (const auto& [set, path] : part.settings) {
      append_nulls(set);
      const MemberValue value = json_.find(path);
      const ValueColumn& type = view_.columns[set];
      if (rule.source->envelope.kind == Envelope::Kind::debezium && value.as_string() == unavailable_value) {
        const auto setting = std::find_if(rule.source->settings.begin(), rule.source->settings.end(),
                                          [set = set](const Setting& s) { return s.column == set; });
        return reject(event, "member",
                      setting->member.shown() +
                          " is Debezium's placeholder of a value that did not change and is not in PostgreSQL's log;"
                          " expected the value (REPLICA IDENTITY FULL has it there)");
      }
      if ((type.required && value.is_null()) || !state_values::append(type, value, json_, path, event.values)) {
        const auto setting = std::find_if(rule.source->settings.begin(), rule.source->settings.end(),
                                          [set = set](const Setting& s) { return s.column == set; });
        return reject(event, "member",
                      setting->member.shown() + " is " + value.describe() + "; expected " +
                          state_values::expected(type, path.unit));
      }
      column = set + 1;
    }
    append_nulls(view_.columns.size());
    state.values_size = static_cast<std::uint32_t>(event.values.size()) - state.values_begin;
    event.states.push_back(state);
  }
  return true;
}

std::uint64_t Decoder::content_of_states(const DecodedEvent& event, std::uint64_t content) {
  for (const State& state : event.states) {
    const std::string_view values = std::string_view(event.values).substr(state.values_begin, state.values_size);
    content = digest(content ^ static_cast<std::uint64_t>(state.order.version), values) * 0x9E3779B97F4A7C15 +
              2 * state.part + (state.gone ? 1 : 0);
    content ^= content >> 32;
  }
  return content;
}

}  // namespace daybook
