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
  return std::to_string(place.generation) + "-" + std::to_string(place.seq) + "-" + place.nonce + "-" +
         std::to_string(place.index);
}

std::optional<FeedPlace> read_place(std::string_view id) {
  // The nonce may have hyphens itself.
  const std::size_t first = id.find('-');
  const std::size_t second = first == std::string_view::npos ? first : id.find('-', first + 1);
  const std::size_t last = id.rfind('-');
  if (second == std::string_view::npos || last <= second || id.size() > 200) return std::nullopt;
  FeedPlace place;
  if (!read_number(id.substr(0, first), place.generation) ||
      !read_number(id.substr(first + 1, second - first - 1), place.seq) ||
      !read_number(id.substr(last + 1), place.index)) {
    return std::nullopt;
  }
  place.nonce = id.substr(second + 1, last - second - 1);
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

FeedPlace place_after(const ChangeSet& set) { return {set.generation, set.seq, set.nonce, 0}; }

EventTexts event_texts(ChangeSetPtr set, const std::optional<FeedPlace>& before) {
  EventTexts texts;
  const std::string end = to_string(place_after(*set));
  if (set->reset) {
    texts.all = std::make_shared<std::string>(event_text("reset", end, "{\"reason\":\"reload\"}"));
  } else {
    const bool follows = before && before->generation == set->generation && before->seq + 1 == set->seq;
    std::string all;
    for (std::size_t i = 0; i < set->rows.size(); ++i) {
      std::string id = end;
      if (i + 1 < set->rows.size()) {
        id.clear();
        if (follows) id = to_string(FeedPlace{before->generation, before->seq, before->nonce, i + 1});
      }
      texts.rows.push_back(std::make_shared<std::string>(event_text("row", id, set->rows[i].json)));
      all += *texts.rows.back();
    }
    texts.all = std::make_shared<std::string>(std::move(all));
  }
  texts.set = std::move(set);
  return texts;
}

}  // namespace daybook::reader
