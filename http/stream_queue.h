// What an endless answer's client has yet to get.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

namespace daybook::http {

struct StreamQueue {
  std::vector<std::shared_ptr<const std::string>> chunks;  // from `front` on; the first may be written in part
  std::size_t front = 0;
  std::size_t bytes = 0;  // not yet written
  bool begun = false;     // its head is written
  bool ended = false;     // nothing comes behind these
};

}  // namespace daybook::http
