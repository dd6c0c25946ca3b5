#include "reader/hot_row.h"

#include <sodium.h>

#include "http/message.h"

namespace daybook::reader {
namespace {

std::string head_of(const char* status_line, const AnswerStyle& style, const std::string& etag,
                    const std::string& content_type, std::size_t size) {
  std::string head = std::string("HTTP/1.1 ") + status_line + "\r\n";
  if (!content_type.empty())
    head += "Content-Type: " + content_type + "\r\nContent-Length: " + std::to_string(size) + "\r\n";
  if (!etag.empty()) head += "ETag: " + etag + "\r\n";
  return head + "Cache-Control: " + style.cache_control + "\r\nX-Content-Type-Options: nosniff\r\n";
}

}  // namespace

std::string etag_of(std::string_view body) {
  static const unsigned char key[crypto_shorthash_siphashx24_KEYBYTES] = {'d', 'a', 'y', 'b', 'o', 'o', 'k', ' ',
                                                                          'e', 't', 'a', 'g', ' ', 'k', 'e', 'y'};
  unsigned char hash[crypto_shorthash_siphashx24_BYTES];
  crypto_shorthash_siphashx24(hash, reinterpret_cast<const unsigned char*>(body.data()), body.size(), key);
  char hex[2 * sizeof hash + 1];
  sodium_bin2hex(hex, sizeof hex, hash, sizeof hash);
  return "\"" + std::string(hex) + "\"";
}

HotRowPtr make_row(const AnswerStyle& style, HotRow::Kind kind, std::string json) {
  auto row = std::make_shared<HotRow>();
  row->kind = kind;
  row->etag = etag_of(json);
  row->ok = std::make_shared<http::Block>(
      http::Block{200, head_of("200 OK", style, row->etag, "application/json", json.size()), json});
  row->not_modified =
      std::make_shared<http::Block>(http::Block{304, head_of("304 Not Modified", style, row->etag, "", 0), ""});
  row->json = std::move(json);
  return row;
}

HotRowPtr make_absent(const AnswerStyle& style) {
  http::Response problem = http::problem(404, "view " + style.view + " has no row with this key");
  auto row = std::make_shared<HotRow>();
  row->kind = HotRow::Kind::absent;
  row->ok = std::make_shared<http::Block>(
      http::Block{404, head_of("404 Not Found", style, "", problem.content_type, problem.body.size()), problem.body});
  return row;
}

std::size_t bytes_of(const HotRow& row) {
  if (row.kind == HotRow::Kind::absent) return 0;  // shared by all of the view
  // Each string of more than 15 bytes is an allocation with a header of its own.
  constexpr std::size_t allocation = 16;
  return sizeof(HotRow) + row.json.capacity() + row.etag.capacity() + row.ok->head.capacity() +
         row.ok->body.capacity() + row.not_modified->head.capacity() + 2 * sizeof(http::Block) + 8 * allocation;
}

}  // namespace daybook::reader
