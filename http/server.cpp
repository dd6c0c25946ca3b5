#include "http/server.h"

#include <spdlog/spdlog.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <charconv>
#include <ctime>
#include <list>
#include <optional>
#include <thread>

#include "core/error.h"

namespace daybook::http {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
using boost::system::error_code;
using tcp = asio::ip::tcp;
using namespace std::chrono_literals;

constexpr auto linger_timeout = 1'000ms;
constexpr std::size_t linger_bytes = 256 * 1024;
constexpr auto stop_timeout = 500ms;

std::string http_date() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  gmtime_r(&now, &parts);
  char text[40];
  // The program never leaves the "C" locale, whose names of days and months HTTP asks for.
  std::strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S GMT", &parts);
  return text;
}

std::string serialize(const Response& response, bool with_body, bool keep_alive) {
  std::string text = "HTTP/1.1 " + std::to_string(response.status) + " " + reason_phrase(response.status) + "\r\n";
  const auto add = [&text](const std::string& name, const std::string& value) { text += name + ": " + value + "\r\n"; };
  add("Date", http_date());
  add("Content-Type", response.content_type);
  add("Content-Length", std::to_string(response.body.size()));
  add("Cache-Control", "no-store");
  add("X-Content-Type-Options", "nosniff");
  for (const auto& [name, value] : response.headers) add(name, value);
  add("Connection", keep_alive ? "keep-alive" : "close");
  text += "\r\n";
  if (with_body) text += response.body;
  return text;
}

struct Session;

struct Shared {
  Shared(ServerLimits limits_, Handler handler_) : limits(limits_), handler(std::move(handler_)) {}
  const ServerLimits limits;
  const Handler handler;
  std::list<Session*> sessions;  // all that live
  std::list<Session*> idle;      // those between two requests, the longest idle first
  bool stopping = false;
  std::function<void()> all_gone;  // called when the last one ends while stopping
};

// One connection. It lives as long as an operation is under way, whose handler holds it.
struct Session : std::enable_shared_from_this<Session> {
  using Parser = beast::http::request_parser<beast::http::empty_body>;

  Session(tcp::socket socket_, Shared& shared_)
      : socket(std::move(socket_)), timer(socket.get_executor()), shared(shared_), buffer(shared_.limits.header_bytes) {
    place = shared.sessions.insert(shared.sessions.end(), this);
  }
  ~Session() {
    leave_idle();
    shared.sessions.erase(place);
    if (shared.stopping && shared.sessions.empty() && shared.all_gone) shared.all_gone();
  }
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  void leave_idle() {
    if (idle_place) shared.idle.erase(*idle_place);
    idle_place.reset();
  }

  void close() {
    error_code ignored;
    timer.cancel();
    socket.close(ignored);
  }

  // Cancels what the socket is doing when the time is over; its handler then sees `timed_out`.
  void expire_after(std::chrono::milliseconds timeout) {
    timed_out = false;
    timer.expires_after(timeout);
    timer.async_wait([self = shared_from_this()](const error_code& error) {
      if (error || self->timer.expiry() > std::chrono::steady_clock::now()) return;
      self->timed_out = true;
      error_code ignored;
      self->socket.cancel(ignored);
    });
  }

  // Waits for a request's first byte.
  void wait_for_request() {
    if (shared.stopping) return close();
    if (buffer.size() > 0) return read_request();  // pipelined
    idle_place = shared.idle.insert(shared.idle.end(), this);
    expire_after(shared.limits.idle_timeout);
    socket.async_wait(tcp::socket::wait_read, [self = shared_from_this()](const error_code& error) {
      self->leave_idle();
      if (error) return self->close();
      self->read_request();
    });
  }

  void read_request() {
    parser.emplace();
    parser->header_limit(static_cast<std::uint32_t>(shared.limits.header_bytes));
    expire_after(shared.limits.request_timeout);
    beast::http::async_read_header(
        socket, buffer, *parser,
        [self = shared_from_this()](const error_code& error, std::size_t) { self->on_header(error); });
  }

  void on_header(const error_code& error) {
    if (shared.stopping) return close();
    if (error && timed_out) return refuse(408, "the request did not come within the time for it");
    if (error == beast::http::error::end_of_stream) return close();
    if (error) return on_bad_header(error);
    answer();
  }

  void on_bad_header(const error_code& found) {
    using beast::http::error;
    if (found == error::header_limit || found == error::buffer_overflow) {
      return refuse(431,
                    "the request's header is larger than " + std::to_string(shared.limits.header_bytes) + " bytes");
    }
    if (found == error::body_limit) return refuse(413, "a request must not have a body here");
    if (found == error::bad_version) return refuse(505, "expected HTTP/1.1");
    if (found.category() == make_error_code(error::end_of_stream).category() && found != error::partial_message) {
      return refuse(400, "not an HTTP request: " + found.message());
    }
    close();  // the connection broke
  }

  void answer() {
    using beast::http::field;
    const auto& request = parser->get();
    const bool is_head = request.method() == beast::http::verb::head;
    with_body = !is_head;
    if (!is_head && request.method() != beast::http::verb::get) {
      Response response = problem(405, "only GET and HEAD are answered here");
      response.headers.emplace_back("Allow", "GET, HEAD");
      return send(response, false);
    }
    if (request.count(field::transfer_encoding) > 0 || parser->content_length().value_or(0) > 0) {
      return refuse(413, "a request must not have a body here");
    }
    if (request.version() == 11 && request.count(field::host) != 1) {
      return refuse(400, "expected one Host header");
    }
    const std::string target(request.target());
    if (target.empty() || target.front() != '/') return refuse(400, "expected a path that begins with /");
    const std::size_t question = std::min(target.find('?'), target.size());
    Response response;
    try {
      response = shared.handler({std::string(request.method_string()), target.substr(0, question),
                                 question < target.size() ? target.substr(question + 1) : ""});
    } catch (const std::exception& failure) {
      spdlog::error("http: {} {}: {}", std::string(request.method_string()), target, failure.what());
      response = problem(500, "the answer could not be made; the log says why");
    }
    send(response, parser->keep_alive());
  }

  // An answer behind which nothing that the client sends can be understood.
  void refuse(unsigned status, const std::string& detail) { send(problem(status, detail), false); }

  void send(const Response& response, bool keep_alive) {
    keep_alive = keep_alive && !shared.stopping;
    answer_text = serialize(response, with_body, keep_alive);
    with_body = true;
    writing = true;
    expire_after(shared.limits.answer_timeout);
    asio::async_write(socket, asio::buffer(answer_text),
                      [self = shared_from_this(), keep_alive](const error_code& error, std::size_t) {
                        self->writing = false;
                        if (error) return self->close();
                        if (keep_alive) return self->wait_for_request();
                        self->linger();
                      });
  }

  // Closing while the client's bytes are unread would reset the connection and could take the answer with it: what
  // still comes is read and dropped, for a while.
  void linger() {
    if (shared.stopping) return close();
    error_code ignored;
    socket.shutdown(tcp::socket::shutdown_send, ignored);
    expire_after(linger_timeout);
    read_and_drop();
  }

  void read_and_drop() {
    dropped_into.resize(16 * 1024);
    socket.async_read_some(asio::buffer(dropped_into),
                           [self = shared_from_this()](const error_code& error, std::size_t size) {
                             self->dropped += size;
                             if (error || self->timed_out || self->dropped > linger_bytes) return self->close();
                             self->read_and_drop();
                           });
  }

  tcp::socket socket;
  asio::steady_timer timer;
  Shared& shared;
  beast::flat_buffer buffer;
  std::optional<Parser> parser;
  std::string answer_text;
  std::string dropped_into;
  std::size_t dropped = 0;
  bool timed_out = false;
  bool with_body = true;
  bool writing = false;
  std::list<Session*>::iterator place;
  std::optional<std::list<Session*>::iterator> idle_place;
};

}  // namespace

Address parse_address(const std::string& text) {
  const auto mistake = [&text](const std::string& what) {
    return UsageError("address \"" + text + "\": " + what + "; expected IP:PORT, such as 127.0.0.1:9464 or [::1]:9464");
  };
  const std::size_t colon = text.rfind(':');
  if (colon == std::string::npos) throw mistake("no port");
  Address address;
  const char* const end = text.data() + text.size();
  const auto [after, status] = std::from_chars(text.data() + colon + 1, end, address.port);
  if (status != std::errc() || after != end) throw mistake("the port is not a number from 0 to 65535");
  std::string host = text.substr(0, colon);
  const bool bracketed = host.size() > 2 && host.front() == '[' && host.back() == ']';
  if (bracketed) host = host.substr(1, host.size() - 2);
  if (host == "localhost") host = "127.0.0.1";
  error_code error;
  const asio::ip::address ip = asio::ip::make_address(host, error);
  if (error || ip.is_v6() != bracketed) throw mistake("the host is not an IP address");
  address.host = ip.to_string();
  address.is_loopback = ip.is_loopback();
  return address;
}

class Server::Impl {
 public:
  Impl(const Address& address, ServerLimits limits, Handler handler)
      : shared_(limits, std::move(handler)), acceptor_(io_), retry_(io_), stop_timer_(io_) {
    const tcp::endpoint endpoint(asio::ip::make_address(address.host), address.port);
    try {
      acceptor_.open(endpoint.protocol());
      acceptor_.set_option(tcp::acceptor::reuse_address(true));
      acceptor_.bind(endpoint);
      acceptor_.listen();
      local_ = acceptor_.local_endpoint();
    } catch (const boost::system::system_error& error) {
      throw UsageError("can't listen on " + address.host + ":" + std::to_string(address.port) + ": " +
                       error.code().message() + "; give another address, or port 0 for a free one");
    }
    accept();
    thread_ = std::thread([this] { io_.run(); });
  }

  ~Impl() {
    asio::post(io_, [this] { stop(); });
    thread_.join();
  }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  const tcp::endpoint& local() const { return local_; }

 private:
  void accept() {
    acceptor_.async_accept([this](const error_code& error, tcp::socket socket) {
      if (shared_.stopping) return;
      if (error) {
        // Out of file descriptors, for example: not at once again.
        retry_.expires_after(100ms);
        retry_.async_wait([this](const error_code& cancelled) {
          if (!cancelled) accept();
        });
        return;
      }
      if (make_room()) {
        std::make_shared<Session>(std::move(socket), shared_)->wait_for_request();
      } else {
        turn_away(socket);
      }
      accept();
    });
  }

  bool make_room() {
    if (shared_.sessions.size() < shared_.limits.connections) return true;
    if (shared_.idle.empty()) return false;
    Session* const longest = shared_.idle.front();
    longest->leave_idle();
    longest->close();  // it ends once its handler has run
    return true;
  }

  static void turn_away(tcp::socket& socket) {
    Response response = problem(503, "too many connections");
    response.headers.emplace_back("Retry-After", "5");
    const std::string text = serialize(response, true, false);
    error_code ignored;
    socket.non_blocking(true, ignored);
    socket.write_some(asio::buffer(text), ignored);
    socket.shutdown(tcp::socket::shutdown_send, ignored);
  }

  void stop() {
    shared_.stopping = true;
    shared_.all_gone = [this] { stop_timer_.cancel(); };
    error_code ignored;
    acceptor_.close(ignored);
    retry_.cancel();
    if (shared_.sessions.empty()) return;
    for (Session* session : shared_.sessions) {
      if (!session->writing) session->close();  // the others close themselves afterwards
    }
    stop_timer_.expires_after(stop_timeout);
    stop_timer_.async_wait([this](const error_code&) {
      shared_.all_gone = nullptr;  // sessions that are left end with io_, after this timer
      io_.stop();
    });
  }

  Shared shared_;  // outlives the handlers in io_, which own the sessions
  asio::io_context io_{1};
  tcp::acceptor acceptor_;
  asio::steady_timer retry_;
  asio::steady_timer stop_timer_;
  tcp::endpoint local_;
  std::thread thread_;
};

Server::Server(const Address& address, ServerLimits limits, Handler handler)
    : impl_(std::make_unique<Impl>(address, limits, std::move(handler))) {}
Server::~Server() = default;

std::uint16_t Server::port() const { return impl_->local().port(); }

std::string Server::address() const {
  const std::string host = impl_->local().address().to_string();
  return (impl_->local().address().is_v6() ? "[" + host + "]" : host) + ":" + std::to_string(port());
}

}  // namespace daybook::http
