// A connection's requests; its answers are in session_write.cpp.
#include "http/session.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <spdlog/spdlog.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <exception>

#include "http/loop_core.h"
#include "http/message.h"
#include "http/parser.h"
#include "http/stream_queue.h"

namespace daybook::http {
namespace {

// Behind the last answer. More is not waited for: the client may lose that answer then.
constexpr std::uint32_t max_dropped = 256 * 1024;
// An idle connection keeps up to this much memory for its next requests.
constexpr std::size_t small_buffer = 64;

}  // namespace

Session::Session(Descriptor socket, std::shared_ptr<LoopCore> loop, std::string peer)
    : socket_(std::move(socket)), loop_(std::move(loop)), peer_(std::move(peer)) {}

Session::~Session() { close(); }

void Session::start() {
  const int on = 1;
  ::setsockopt(socket_.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  self_ = shared_from_this();
  enter(Phase::idle);
  waits_readable_ = true;
  if (!loop_->watch(*this, socket_.get())) close();
}

void Session::on_events(std::uint32_t events) {
  if ((events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0) hung_up_ = true;
  if ((events & EPOLLIN) != 0 || hung_up_) readable_ = true;
  if (waits_writable_ && (events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) != 0) {
    waits_writable_ = false;
    proceed();
  }
  read_on();
}

void Session::read_on() {
  if (phase_ != Phase::closed && waits_readable_ && readable_) on_readable();
}

void Session::enter(Phase phase) {
  if (phase_ == Phase::closed) {
    phase_ = phase;
    loop_->enter(*this, phase);
    return;
  }
  loop_->leave(*this);
  phase_ = phase;
  loop_->enter(*this, phase);
}

void Session::wait_readable() {
  if (std::exchange(waits_readable_, true)) return;
  if (readable_) loop_->read_soon(self_);
}

// Reads once. Whether there may be more shows by how much came.
ssize_t Session::receive(char* to, std::size_t size) {
  ssize_t got = 0;
  do got = ::recv(socket_.get(), to, size, MSG_DONTWAIT);
  while (got < 0 && errno == EINTR);
  readable_ = got > 0 && (hung_up_ || static_cast<std::size_t>(got) == size);
  return got;
}

void Session::on_readable() {
  waits_readable_ = false;
  if (last_seen_) {
    drop_input();
    return settle();
  }
  busy_ = true;
  read_input();
  proceed();
}

// Whether something came.
bool Session::read_input() {
  std::vector<char>& buffer = loop_->buffer;
  const std::size_t known = kept_.size();
  std::memcpy(buffer.data(), kept_.data(), known);
  const ssize_t got = receive(buffer.data() + known, buffer.size() - known);
  if (got < 0) {
    if (errno != EAGAIN && errno != EWOULDBLOCK) close();
    return false;
  }
  if (got == 0) {
    ended_ = true;
    if (!blocked_) kept_.clear();  // the rest of that request won't come
    return false;
  }
  parse({buffer.data(), known + static_cast<std::size_t>(got)}, known);
  return true;
}

// Closing while the client's bytes are unread would reset the connection and could take the answer with it: what still
// comes is read and dropped, for a while.
void Session::drop_input() {
  const ssize_t got = receive(loop_->buffer.data(), loop_->buffer.size());
  if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return;
  if (got < 0) return close();
  if (got == 0) {
    ended_ = true;
    if (stream_) close();  // nobody is there to listen
    return;
  }
  dropped_ += static_cast<std::uint32_t>(got);
  if (dropped_ > max_dropped) close();
}

bool Session::may_parse() const {
  return phase_ != Phase::closed && !waits_writable_ && answers_.size() - front_ < loop_->limits.pipelined;
}

// `known`: so many of the bytes were there the last time and made no whole request.
void Session::parse(std::string_view bytes, std::size_t known) {
  ParsedRequest& request = loop_->request;
  blocked_ = false;
  while (!bytes.empty()) {
    if (last_seen_) return keep({});
    if (!may_parse()) {
      blocked_ = true;
      break;
    }
    if (known > 0) {
      // A header that comes byte by byte must not be parsed at each of them.
      const std::size_t from = known < 3 ? 0 : known - 3;
      known = 0;
      if (bytes.size() < std::size_t{2} * parsed_size_ && bytes.size() < loop_->limits.header_bytes &&
          bytes.find("\r\n\r\n", from) == std::string_view::npos)
        break;
    }
    const Parsed parsed = parse_request(bytes, loop_->limits.header_bytes, request);
    if (parsed == Parsed::incomplete) {
      parsed_size_ = static_cast<std::uint32_t>(bytes.size());
      break;
    }
    if (parsed == Parsed::refused) {
      refuse(request.status, request.detail);
      return keep({});
    }
    bytes.remove_prefix(request.size);
    dispatch(request);
    if (phase_ == Phase::closed) return;
  }
  keep(bytes);
}

void Session::dispatch(ParsedRequest& request) {
  const std::uint64_t number = front_number_ + (answers_.size() - front_);
  Answer& answer = answers_.emplace_back();
  answer.without_body = request.method == Method::head;
  moved_ = true;
  if (!request.keep_alive) end_with(answers_.size() - 1);
  request.peer = peer_;
  try {
    loop_->application.on_request(request, Exchange(shared_from_this(), number));
  } catch (const std::exception& failure) {
    // The exchange was dropped on the way here, and that made a 500 of it.
    spdlog::error("http: {}: {}", std::string(request.target), failure.what());
  }
}

// Requests that had to wait for answers to leave. True: something happened.
bool Session::parse_kept() {
  if (!blocked_ || !may_parse()) return false;
  const std::string bytes = std::move(kept_);
  kept_.clear();
  parse(bytes, 0);
  return true;
}

void Session::keep(std::string_view bytes) {
  if (bytes.empty() && kept_.capacity() > small_buffer) {
    kept_ = std::string();
  } else {
    kept_.assign(bytes);
  }
}

// An answer behind which nothing that the client sends can be understood.
void Session::refuse(unsigned status, const std::string& detail) {
  Response response = problem(status, detail);
  if (status == 405) response.headers.emplace_back("Allow", "GET, HEAD");
  loop_->counters.count_own(status);
  answers_.emplace_back().block = to_block(response);
  end_with(answers_.size() - 1);
}

// That answer is the connection's last.
void Session::end_with(std::size_t index) {
  answers_.resize(index + 1);
  answers_[index].closes = true;
  last_seen_ = true;
}

void Session::proceed() {
  if (phase_ == Phase::closed) return;
  busy_ = true;
  do write_answers();
  while (parse_kept());
  busy_ = false;
  settle();
}

// Finds out what is to be waited for.
void Session::settle() {
  if (phase_ == Phase::closed) return;
  const bool answers_left = front_ < answers_.size();
  if (stream_ && stream_->begun && stream_->ended && stream_->bytes == 0) done_ = true;
  if (done_) {
    if (ended_) return close();
    if (phase_ != Phase::lingering) {
      ::shutdown(socket_.get(), SHUT_WR);
      enter(Phase::lingering);
    }
    return wait_readable();
  }
  if (ended_ && !answers_left) return close();
  Phase phase = Phase::idle;
  if (waits_writable_) {
    phase = Phase::writing;
  } else if (answers_left) {
    phase = Phase::waiting;
  } else if (stream_) {
    phase = Phase::streaming;
  } else if (!kept_.empty()) {
    phase = Phase::reading;
  }
  if (phase != phase_ || std::exchange(moved_, false)) enter(phase);
  if (!ended_ && !blocked_ && (!last_seen_ || stream_)) wait_readable();
}

void Session::expire() {
  if (phase_ != Phase::reading) return close();
  refuse(408, "the request did not come within the time for it");
  keep({});
  proceed();
}

void Session::drain() {
  if (stream_) end_stream();
}

void Session::close() {
  if (phase_ == Phase::closed) return;
  loop_->leave(*this);
  phase_ = Phase::closed;
  socket_.reset();
  if (stream_) --loop_->counters.streams;
  stream_.reset();
  answers_ = {};
  front_ = 0;
  kept_ = std::string();
  loop_->remove(std::move(self_));
}

}  // namespace daybook::http
