#include "reader/api/answer.h"

#include <sodium.h>
#include <zlib.h>

#include <new>

#include "http/message.h"

namespace daybook::reader {
namespace {

constexpr std::size_t gzip_from = 1024;
constexpr int gzip_level = 4;  // some 20 % larger than 6 at half its time

std::string tag_of(std::string_view body, bool is_gzip) {
  unsigned char hash[crypto_generichash_BYTES_MIN];
  crypto_generichash(hash, sizeof hash, reinterpret_cast<const unsigned char*>(body.data()), body.size(), nullptr, 0);
  char hex[2 * sizeof hash + 1];
  return "\"" + std::string(sodium_bin2hex(hex, sizeof hex, hash, sizeof hash)) + (is_gzip ? "-gzip\"" : "\"");
}

}  // namespace

http::BlockPtr problem_block(unsigned status, const std::string& detail, const std::string& head) {
  const http::BlockPtr block = http::to_block(http::problem(status, detail));
  if (head.empty()) return block;
  return std::make_shared<http::Block>(http::Block{block->status, block->whole_head() + head, block->body});
}

Made make_answer(const std::string& content_type, std::string body, const std::string& cache_control, bool may_gzip) {
  const bool is_gzip = may_gzip && body.size() > gzip_from;
  Made made;
  made.etag = tag_of(body, is_gzip);  // of what it says: zlib's versions may pack differently
  if (is_gzip) body = gzip(body);
  const std::string common = "ETag: " + made.etag + "\r\nCache-Control: " + cache_control +
                             "\r\nVary: Accept, Accept-Encoding\r\nX-Content-Type-Options: nosniff\r\n";
  auto ok = std::make_shared<http::Block>();
  ok->head = "HTTP/1.1 200 OK\r\nContent-Type: " + content_type + "\r\nContent-Length: " + std::to_string(body.size()) +
             "\r\n" + (is_gzip ? "Content-Encoding: gzip\r\n" : "") + common;
  ok->body = std::move(body);
  made.ok = std::move(ok);
  made.not_modified = std::make_shared<http::Block>(http::Block{304, "HTTP/1.1 304 Not Modified\r\n" + common, ""});
  return made;
}

http::BlockPtr with_cache_control(const http::Block& block, std::string_view cache_control) {
  static constexpr std::string_view name = "\r\nCache-Control: ";
  auto changed = std::make_shared<http::Block>(http::Block{block.status, block.whole_head(), block.body});
  if (const std::size_t at = changed->head.find(name); at != std::string::npos) {
    const std::size_t value = at + name.size();
    changed->head.replace(value, changed->head.find("\r\n", value) - value, cache_control);
  } else {
    changed->head += std::string(name.substr(2)) + std::string(cache_control) + "\r\n";
  }
  return changed;
}

std::string gzip(std::string_view bytes) {
  z_stream stream{};
  constexpr int window_with_gzip_header = 15 + 16;
  if (deflateInit2(&stream, gzip_level, Z_DEFLATED, window_with_gzip_header, 8, Z_DEFAULT_STRATEGY) != Z_OK)
    throw std::bad_alloc();
  std::string packed(deflateBound(&stream, bytes.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  stream.avail_in = static_cast<uInt>(bytes.size());
  stream.next_out = reinterpret_cast<Bytef*>(packed.data());
  stream.avail_out = static_cast<uInt>(packed.size());
  deflate(&stream, Z_FINISH);  // ends: there is room for all of it
  packed.resize(stream.total_out);
  deflateEnd(&stream);
  return packed;
}

}  // namespace daybook::reader
