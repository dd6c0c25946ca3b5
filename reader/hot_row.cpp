#include "reader/hot_row.h"

#include <sodium.h>

#include "http/message.h"

namespace daybook::reader {
namespace {

constexpr std::string_view ok_lines = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n";
constexpr std::string_view etag_name = "ETag: ";
constexpr std::size_t etag_size = 2 + 2 * crypto_shorthash_siphashx24_BYTES;

// What each answer about a row of the view says.
std::string common_lines(const std::string& cache_control) {
  return "Cache-Control: " + cache_control + "\r\nX-Content-Type-Options: nosniff\r\n";
}

}  // namespace

AnswerStyle::AnswerStyle(std::string view_, std::string cache_control_)
    : view(std::move(view_)),
      cache_control(std::move(cache_control_)),
      row_begin(std::make_shared<std::string>(std::string(ok_lines) + common_lines(cache_control))) {}

std::string_view HotRow::etag() const {
  return kind == Kind::absent ? std::string_view() : std::string_view(head).substr(etag_name.size(), etag_size);
}

http::BlockPtr HotRow::not_modified() const {
  if (kind == Kind::absent) return nullptr;
  std::string lines = "HTTP/1.1 304 Not Modified\r\n";
  lines.append(*begin, ok_lines.size());
  lines.append(head, 0, etag_name.size() + etag_size + 2);
  return std::make_shared<http::Block>(http::Block{304, std::move(lines), ""});
}

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
  row->begin = style.row_begin;
  row->head.append(etag_name).append(etag_of(json));
  row->head.append("\r\nContent-Length: ").append(std::to_string(json.size())).append("\r\n");
  row->head.shrink_to_fit();
  row->body = std::move(json);
  return row;
}

HotRowPtr make_absent(const AnswerStyle& style) {
  http::Response problem = http::problem(404, "view " + style.view + " has no row with this key");
  auto row = std::make_shared<HotRow>();
  row->status = 404;
  row->head = "HTTP/1.1 404 Not Found\r\nContent-Type: " + problem.content_type +
              "\r\nContent-Length: " + std::to_string(problem.body.size()) + "\r\n" + common_lines(style.cache_control);
  row->body = std::move(problem.body);
  return row;
}

std::size_t bytes_of(const HotRow& row) {
  if (row.kind == HotRow::Kind::absent) return 0;  // shared by all of the view
  constexpr std::size_t allocation = 16;           // its header and what rounding wastes; three of them
  constexpr std::size_t counts = 16;               // of shared_ptr
  return sizeof(HotRow) + counts + row.head.capacity() + row.body.capacity() + 3 * allocation;
}

}  // namespace daybook::reader
