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

// A place in the feed: all of the commit `seq`, and `index` rows of the one behind it.
struct FeedPlace {
  int generation = 0;
  std::int64_t seq = 0;
  std::string nonce;
  std::size_t index = 0;

  bool operator==(const FeedPlace&) const = default;
};

std::string to_string(const FeedPlace& place);  // GENERATION-SEQ-NONCE-INDEX
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

FeedPlace place_after(const ChangeSet& set);

}  // namespace daybook::reader
