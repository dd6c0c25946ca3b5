#include "http/parser.h"

#include <algorithm>
#include <functional>
#include <limits>

namespace daybook::http {
namespace {

namespace beast = boost::beast;
using beast::http::error;
using boost::system::error_code;

constexpr std::size_t max_lines = 100;

std::string_view view(beast::string_view text) { return {text.data(), text.size()}; }

char lower(char letter) { return letter >= 'A' && letter <= 'Z' ? static_cast<char>(letter + ('a' - 'A')) : letter; }

bool same_name(std::string_view one, std::string_view other) {
  return one.size() == other.size() &&
         std::equal(one.begin(), one.end(), other.begin(), [](char a, char b) { return lower(a) == lower(b); });
}

class Parser final : public beast::http::basic_parser<true> {
 public:
  Parser(std::string_view bytes, std::size_t header_bytes, ParsedRequest& request) : bytes_(bytes), request_(request) {
    header_limit(static_cast<std::uint32_t>(header_bytes));
    body_limit(std::numeric_limits<std::uint64_t>::max());  // whether there is one is looked at below
  }

  beast::http::verb verb = beast::http::verb::unknown;
  int version = 0;
  unsigned hosts = 0;
  unsigned authorizations = 0;
  unsigned lengths = 0;
  bool transfer_encoding = false;
  bool folded = false;
  bool too_many = false;

 private:
  void on_request_impl(beast::http::verb verb_, beast::string_view, beast::string_view target, int version_,
                       error_code&) override {
    verb = verb_;
    version = version_;
    request_.target = view(target);
  }
  void on_response_impl(int, beast::string_view, int, error_code&) override {}
  void on_field_impl(beast::http::field field, beast::string_view name, beast::string_view value,
                     error_code&) override {
    if (field == beast::http::field::host) ++hosts;
    if (field == beast::http::field::authorization) ++authorizations;
    if (field == beast::http::field::content_length) ++lengths;
    if (field == beast::http::field::transfer_encoding) transfer_encoding = true;
    // Beast joins folded lines in a buffer of its own. Two parties may read such a line differently.
    const std::less<const char*> before;
    if (!value.empty() && (before(value.data(), bytes_.data()) || !before(value.data(), bytes_.data() + bytes_.size())))
      folded = true;
    if (request_.lines.size() < max_lines) {
      request_.lines.push_back({view(name), view(value)});
    } else {
      too_many = true;
    }
  }
  void on_header_impl(error_code&) override {}
  void on_body_init_impl(const boost::optional<std::uint64_t>&, error_code&) override {}
  std::size_t on_body_impl(beast::string_view body, error_code&) override { return body.size(); }
  void on_chunk_header_impl(std::uint64_t, beast::string_view, error_code&) override {}
  std::size_t on_chunk_body_impl(std::uint64_t, beast::string_view body, error_code&) override { return body.size(); }
  void on_finish_impl(error_code&) override {}

  std::string_view bytes_;
  ParsedRequest& request_;
};

Parsed refuse(ParsedRequest& request, unsigned status, std::string detail) {
  request.status = status;
  request.detail = std::move(detail);
  return Parsed::refused;
}

Parsed refuse_size(ParsedRequest& request, std::size_t header_bytes) {
  return refuse(request, 431, "the request's header is larger than " + std::to_string(header_bytes) + " bytes");
}

// Whether the first line ends as a request line of some version of HTTP does.
bool names_a_version(std::string_view bytes) {
  const std::size_t end = bytes.find("\r\n");
  if (end == std::string_view::npos || end < 9) return false;
  const std::string_view version = bytes.substr(end - 9, 9);
  const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
  return version.substr(0, 6) == " HTTP/" && is_digit(version[6]) && version[7] == '.' && is_digit(version[8]);
}

Parsed check(const Parser& parser, std::size_t header_bytes, ParsedRequest& request) {
  using beast::http::verb;
  if (request.size > header_bytes) return refuse_size(request, header_bytes);
  if (parser.too_many) return refuse(request, 431, "more than " + std::to_string(max_lines) + " header lines");
  if (parser.folded) return refuse(request, 400, "a header line is folded");
  if (parser.lengths > 1) return refuse(request, 400, "more than one Content-Length");
  if (parser.transfer_encoding || parser.content_length().value_or(0) > 0)
    return refuse(request, 413, "a request must not have a body here");
  if (parser.hosts > 1 || (parser.hosts == 0 && parser.version == 11))
    return refuse(request, 400, "expected one Host header");
  // Somebody before this server may have judged the other one.
  if (parser.authorizations > 1) return refuse(request, 400, "more than one Authorization");
  switch (parser.verb) {
    case verb::get:
      request.method = Method::get;
      break;
    case verb::head:
      request.method = Method::head;
      break;
    case verb::post:
      request.method = Method::post;
      break;
    default:
      return refuse(request, 405, "only GET and HEAD are answered here");
  }
  if (request.target.empty() || request.target.front() != '/')
    return refuse(request, 400, "expected a path that begins with /");
  const std::size_t question = request.target.find('?');
  request.path = request.target.substr(0, question);
  request.query = question == std::string_view::npos ? std::string_view() : request.target.substr(question + 1);
  request.keep_alive = parser.keep_alive();
  return Parsed::request;
}

}  // namespace

std::string_view ParsedRequest::header(std::string_view name) const {
  for (const HeaderLine& line : lines)
    if (same_name(line.name, name)) return line.value;
  return {};
}

Parsed parse_request(std::string_view bytes, std::size_t header_bytes, ParsedRequest& request) {
  request.lines.clear();
  request.target = {};
  Parser parser(bytes, header_bytes, request);
  error_code found;
  request.size = parser.put(boost::asio::const_buffer(bytes.data(), bytes.size()), found);
  if (!found && parser.is_header_done()) return check(parser, header_bytes, request);
  if (!found || found == error::need_more) {
    return bytes.size() < header_bytes ? Parsed::incomplete : refuse_size(request, header_bytes);
  }
  if (found == error::header_limit) return refuse_size(request, header_bytes);
  if (found == error::bad_version && names_a_version(bytes)) return refuse(request, 505, "expected HTTP/1.1");
  return refuse(request, 400, "not an HTTP request: " + found.message());
}

}  // namespace daybook::http
