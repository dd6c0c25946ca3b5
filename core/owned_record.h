// A record that owns its bytes: what is published, and what a dead letter kept. core/record.h is the one that is read.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace daybook {

struct OwnedRecord {
  std::optional<std::string> key;
  std::optional<std::string> value;  // nullopt: a tombstone
  std::vector<std::pair<std::string, std::string>> headers;
  bool operator==(const OwnedRecord&) const = default;
};

}  // namespace daybook
