#include "reader/page/page.h"

#include <map>

#include "reader/page/embedded.h"

namespace daybook::reader::page {
namespace {

std::string_view content_type(std::string_view name) {
  if (name.ends_with(".html")) return "text/html; charset=utf-8";
  if (name.ends_with(".css")) return "text/css; charset=utf-8";
  if (name.ends_with(".js")) return "text/javascript; charset=utf-8";
  return "image/svg+xml";
}

http::BlockPtr make(const std::string& name, const std::string& text) {
  auto block = std::make_shared<http::Block>();
  block->body = text;
  // Nothing from elsewhere, nothing in a frame. The files are part of the program and as new as it is: no-cache, small.
  block->head =
      "HTTP/1.1 200 OK\r\nContent-Type: " + std::string(content_type(name)) +
      "\r\nContent-Length: " + std::to_string(text.size()) +
      "\r\nCache-Control: no-cache\r\nX-Content-Type-Options: nosniff\r\nReferrer-Policy: no-referrer\r\n"
      "Content-Security-Policy: default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'\r\n";
  return block;
}

std::map<std::string, http::BlockPtr, std::less<>> make_all() {
  std::map<std::string, http::BlockPtr, std::less<>> all;
  for (const auto& [name, text] : embedded()) all["/" + name] = make(name, text);
  all["/"] = all.at("/page/index.html");
  return all;
}

}  // namespace

http::BlockPtr find(std::string_view path) {
  static const auto all = make_all();
  const auto found = all.find(path);
  return found == all.end() ? nullptr : found->second;
}

}  // namespace daybook::reader::page
