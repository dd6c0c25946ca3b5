// One record of the log as every room sees it: bytes and coordinates, no driver's type.
//
// All views into bytes stay valid until the source that delivered the record is polled again.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

namespace daybook {

struct Header {
  std::string_view name;
  std::string_view value;
};

// Reads a record's headers on demand: most records are decoded without them, and librdkafka's parsing of them
// would take a fifth of a worker's CPU.
class HeaderReader {
 public:
  virtual ~HeaderReader() = default;
  virtual void read(const void* native, std::vector<Header>& out) const = 0;
};

struct Record {
  std::uint32_t topic = 0;  // index into the definition's topics()
  std::int32_t partition = 0;
  std::int64_t offset = 0;
  std::int64_t timestamp_ms = -1;  // the log's own time of the record, milliseconds since 1970 UTC; -1: none
  std::optional<std::string_view> key;
  std::optional<std::string_view> value;        // nullopt: a tombstone
  const HeaderReader* header_reader = nullptr;  // nullptr: no headers
  const void* native = nullptr;                 // what header_reader understands

  void headers(std::vector<Header>& out) const {
    out.clear();
    if (header_reader != nullptr) header_reader->read(native, out);
  }
};

}  // namespace daybook
