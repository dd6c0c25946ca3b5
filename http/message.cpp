#include "http/message.h"

#include <nlohmann/json.hpp>

namespace daybook::http {

const char* reason_phrase(unsigned status) {
  switch (status) {
    case 200:
      return "OK";
    case 304:
      return "Not Modified";
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 406:
      return "Not Acceptable";
    case 408:
      return "Request Timeout";
    case 413:
      return "Content Too Large";
    case 429:
      return "Too Many Requests";
    case 431:
      return "Request Header Fields Too Large";
    case 500:
      return "Internal Server Error";
    case 503:
      return "Service Unavailable";
    case 504:
      return "Gateway Timeout";
    case 505:
      return "HTTP Version Not Supported";
    default:
      return "Error";
  }
}

Response problem(unsigned status, const std::string& detail, const std::string& members) {
  // "about:blank" says that the problem is the status itself; its title is then the status's phrase.
  const nlohmann::ordered_json fields = {
      {"type", "about:blank"}, {"title", reason_phrase(status)}, {"status", status}, {"detail", detail}};
  std::string body = fields.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
  if (!members.empty()) body.insert(body.size() - 1, "," + members);
  return {status, "application/problem+json", body + "\n", {}};
}

BlockPtr to_block(const Response& response) {
  auto block = std::make_shared<Block>();
  block->status = response.status;
  std::string& head = block->head;
  head = "HTTP/1.1 " + std::to_string(response.status) + " " + reason_phrase(response.status) + "\r\n";
  const auto add = [&head](const std::string& name, const std::string& value) { head += name + ": " + value + "\r\n"; };
  add("Content-Type", response.content_type);
  add("Content-Length", std::to_string(response.body.size()));
  add("Cache-Control", "no-store");
  add("X-Content-Type-Options", "nosniff");
  for (const auto& [name, value] : response.headers) add(name, value);
  block->body = response.body;
  return block;
}

}  // namespace daybook::http
