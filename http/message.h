// What a handler gets and gives. No HTTP library's types: rooms that answer requests include this alone.
#pragma once

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "http/exchange.h"

namespace daybook::http {

struct Request {
  std::string method;  // GET or HEAD: the server refuses all else
  std::string path;    // as sent, from the first '/' up to the query; nothing is decoded
  std::string query;   // behind the '?', without it
};

struct Response {
  unsigned status = 200;
  std::string content_type;
  std::string body;
  std::vector<std::pair<std::string, std::string>> headers;  // beside those that the server sets
};

// Called on the server's thread, one request at a time. It must not block. What it throws becomes a 500.
using Handler = std::function<Response(const Request&)>;

// "Not Found" and so on.
const char* reason_phrase(unsigned status);

// An error as RFC 9457 has it (application/problem+json). `members`: the text of further members, such as `"views":[]`.
Response problem(unsigned status, const std::string& detail, const std::string& members = "");

// Ready to be sent; not to be stored by caches.
BlockPtr to_block(const Response& response);

}  // namespace daybook::http
