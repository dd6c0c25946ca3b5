// Answers made for one request: blocks of problems and of bodies that nobody made before. Pure.
#pragma once

#include <string>
#include <string_view>

#include "http/exchange.h"

namespace daybook::reader {

// An error as RFC 9457 has it. `head`: further header lines, each with its CRLF.
http::BlockPtr problem_block(unsigned status, const std::string& detail, const std::string& head = "");

struct Made {
  http::BlockPtr ok;
  http::BlockPtr not_modified;
  std::string etag;
};
// 200 with this body, and the 304 of those who have it. `may_gzip`: the client takes it; it is done above 1 KiB.
Made make_answer(const std::string& content_type, std::string body, const std::string& cache_control, bool may_gzip);

// The same answer with another Cache-Control, where the ready one allows too much.
http::BlockPtr with_cache_control(const http::Block& block, std::string_view cache_control);

std::string gzip(std::string_view bytes);

}  // namespace daybook::reader
