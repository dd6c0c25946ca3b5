#include "reader/api/events.h"

#include <charconv>

namespace daybook::reader {
namespace {

template <typename Number>
bool read_number(std::string_view text, Number& number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size() && number >= 0;
}

}  // namespace

std::string to_string(const FeedPlace& place) {
  return std::to_string(place.generation) + "-" + std::to_string(place.seq) + "-" + place.nonce;
}

std::optional<FeedPlace> read_place(std::string_view id) {
  // The nonce may have hyphens itself.
  const std::size_t first = id.find('-');
  const std::size_t second = first == std::string_view::npos ? first : id.find('-', first + 1);
  if (second == std::string_view::npos || second + 1 == id.size() || id.size() > 200) return std::nullopt;
  FeedPlace place;
  if (!read_number(id.substr(0, first), place.generation) ||
      !read_number(id.substr(first + 1, second - first - 1), place.seq)) {
    return std::nullopt;
  }
  place.nonce = id.substr(second + 1);
  return place;
}

std::string event_text(std::string_view event, std::string_view id, std::string_view data) {
  std::string text;
  text.reserve(event.size() + id.size() + data.size() + 24);
  for (const auto& [name, value] : {std::pair{"event: ", event}, {"id: ", id}, {"data: ", data}}) {
    if (!value.empty()) text.append(name).append(value).push_back('\n');
  }
  text.push_back('\n');
  return text;
}

FeedPlace place_after(const ChangeSet& set) { return {set.generation, set.seq, set.nonce}; }

std::string row_event(const ChangeSet& set, std::size_t row, const std::optional<FeedPlace>& before) {
  std::string id;
  if (row + 1 == set.rows.size()) {
    id = to_string(place_after(set));
  } else if (before && before->generation == set.generation && before->seq + 1 == set.seq) {
    id = to_string(*before);
  }
  return event_text(set.rows[row].gone ? "gone" : "row", id, set.rows[row].json);
}

std::string reset_event(const ChangeSet& set) {
  return event_text("reset", to_string(place_after(set)), "{\"reason\":\"reload\"}");
}

EventTexts event_texts(ChangeSetPtr set, const std::optional<FeedPlace>& before) {
  EventTexts texts;
  std::string all = set->reset ? reset_event(*set) : "";
  for (std::size_t i = 0; !set->reset && i < set->rows.size(); ++i) {
    texts.rows.push_back(std::make_shared<std::string>(row_event(*set, i, before)));
    all += *texts.rows.back();
  }
  texts.all = std::make_shared<std::string>(std::move(all));
  texts.set = std::move(set);
  return texts;
}

}  // namespace daybook::reader
