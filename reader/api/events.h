// The text of server-sent events and the ids that say where in the feed a client is. Pure.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "reader/rows.h"

namespace daybook::reader {

// A place in the feed: all up to this commit. It names whole commits only: behind it may come another commit than the
// one that a client saw a part of (the database fell back), so how much it saw of that one is of no use.
struct FeedPlace {
  int generation = 0;
  std::int64_t seq = 0;
  std::string nonce;

  bool operator==(const FeedPlace&) const = default;
};

std::string to_string(const FeedPlace& place);  // GENERATION-SEQ-NONCE
std::optional<FeedPlace> read_place(std::string_view id);

// One event. `data` is one line; empty parts are left out.
std::string event_text(std::string_view event, std::string_view id, std::string_view data);

// The events of one commit, each made once and shared by all who get it.
struct EventTexts {
  ChangeSetPtr set;
  std::vector<std::shared_ptr<const std::string>> rows;  // beside set->rows
  std::shared_ptr<const std::string> all;                // of all rows, or the reset
};
// `before`: the place before this commit, if it is known: then each row has an id, else only the last one has.
EventTexts event_texts(ChangeSetPtr set, const std::optional<FeedPlace>& before);
// The event of one of its rows, and that of a commit that is a reset.
std::string row_event(const ChangeSet& set, std::size_t row, const std::optional<FeedPlace>& before);
std::string reset_event(const ChangeSet& set);

FeedPlace place_after(const ChangeSet& set);

}  // namespace daybook::reader
