// Bytes of a connection -> one request, or why it is refused. Beast's parser does the grammar; what is stricter here is
// whatever could make two parties see different ends of a request: bodies, Transfer-Encoding, folded lines, and a Host
// or Content-Length that comes twice.
#pragma once

#include <boost/beast/http/basic_parser.hpp>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "http/exchange.h"

namespace daybook::http {

struct HeaderLine {
  std::string_view name;
  std::string_view value;
};

// A request whose parts point into the bytes that were parsed. Reused for the next one: it keeps its memory.
class ParsedRequest final : public Incoming {
 public:
  std::string_view header(std::string_view name) const override;

  std::vector<HeaderLine> lines;
  std::size_t size = 0;     // bytes it takes
  bool keep_alive = false;  // else the client wants the connection closed behind the answer
  // Refused:
  unsigned status = 0;
  std::string detail;
};

enum class Parsed { request, refused, incomplete };

// The first request in `bytes`. One larger than `header_bytes` is refused.
Parsed parse_request(std::string_view bytes, std::size_t header_bytes, ParsedRequest& request);

}  // namespace daybook::http
