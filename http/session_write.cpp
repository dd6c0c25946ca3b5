// A connection's answers: kept in the order of the requests, written with one call for all that are ready.
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <spdlog/spdlog.h>
#include <sys/socket.h>

#include <cerrno>
#include <exception>
#include <stdexcept>

#include "http/loop_core.h"
#include "http/message.h"
#include "http/session.h"
#include "http/stream_queue.h"

namespace daybook::http {
namespace {

constexpr std::size_t max_parts = 512;  // of one call; the system's own limit is 1,024

void add_part(std::vector<iovec>& parts, const std::string& text, std::size_t& skip) {
  if (skip >= text.size()) {
    skip -= text.size();
    return;
  }
  parts.push_back({const_cast<char*>(text.data()) + skip, text.size() - skip});
  skip = 0;
}

// The application's end of an endless answer.
class Handle final : public Stream {
 public:
  explicit Handle(std::shared_ptr<Session> session) : session_(std::move(session)) {}
  ~Handle() override { session_->release_stream(); }
  bool write(std::shared_ptr<const std::string> bytes) override { return session_->write_stream(std::move(bytes)); }
  bool has_ended() const override { return session_->stream_has_ended(); }
  std::size_t queued() const override { return session_->stream_queued(); }
  void end() override { session_->end_stream(); }

 private:
  std::shared_ptr<Session> session_;
};

BlockPtr failure() {
  static const BlockPtr block = to_block(problem(500, "the answer could not be made; the log says why"));
  return block;
}

}  // namespace

Loop& Session::loop() { return *loop_; }

// Null when it is answered already, or will never be.
Session::Answer* Session::find(std::uint64_t number) {
  if (number < front_number_ || number - front_number_ >= answers_.size() - front_) return nullptr;
  Answer& answer = answers_[front_ + (number - front_number_)];
  return answer.block ? nullptr : &answer;
}

void Session::answer(std::uint64_t number, BlockPtr block, std::string headers) {
  if (!loop_->runs_here()) {
    return loop_->post([self = shared_from_this(), number, block = std::move(block), headers = std::move(headers)] {
      self->answer(number, block, headers);
    });
  }
  Answer* const answer = find(number);
  if (answer == nullptr) return;
  if (!block) {
    loop_->counters.count_own(500);
    block = failure();
  }
  answer->block = std::move(block);
  answer->headers = std::move(headers);
  const unsigned status = answer->block->status;
  if (status == 405 || status == 413) end_with(static_cast<std::size_t>(answer - answers_.data()));
  if (!busy_) loop_->proceed_soon(shared_from_this());
}

void Session::abandon(std::uint64_t number) {
  if (loop_->runs_here() && find(number) != nullptr && std::uncaught_exceptions() == 0)
    spdlog::error("http: a request was dropped without an answer; it gets a 500");
  answer(number, nullptr, {});
}

std::shared_ptr<Stream> Session::stream(std::uint64_t number, std::string head) {
  if (!loop_->runs_here()) throw std::logic_error("a stream has to begin on its loop's thread");
  auto handle = std::make_shared<Handle>(shared_from_this());
  Answer* const answer = find(number);
  if (answer == nullptr) return handle;
  auto block = std::make_shared<Block>();
  block->head = std::move(head);
  answer->block = std::move(block);
  if (!answer->without_body) {
    stream_ = std::make_unique<StreamQueue>();
    stream_->ended = loop_->is_stopping();
    ++loop_->counters.streams;
    // A client that vanished without a word shows by events that it does not take.
    const auto milliseconds = static_cast<unsigned>(loop_->limits.answer_timeout.count());
    ::setsockopt(socket_.get(), IPPROTO_TCP, TCP_USER_TIMEOUT, &milliseconds, sizeof milliseconds);
  }
  end_with(static_cast<std::size_t>(answer - answers_.data()));
  if (!busy_) loop_->proceed_soon(shared_from_this());
  return handle;
}

bool Session::write_stream(std::shared_ptr<const std::string> bytes) {
  if (stream_has_ended()) return false;
  if (bytes->empty()) return true;
  stream_->bytes += bytes->size();
  if (stream_->bytes > loop_->limits.stream_bytes) {
    close();
    return false;
  }
  stream_->chunks.push_back(std::move(bytes));
  if (!busy_ && !waits_writable_) loop_->proceed_soon(shared_from_this());
  return true;
}

bool Session::stream_has_ended() const { return !stream_ || stream_->ended; }

std::size_t Session::stream_queued() const { return stream_ ? stream_->bytes : 0; }

void Session::end_stream() {
  if (stream_has_ended()) return;
  stream_->ended = true;
  if (!busy_) loop_->proceed_soon(shared_from_this());
}

void Session::release_stream() {
  if (loop_->runs_here()) return end_stream();
  loop_->post([self = shared_from_this()] { self->end_stream(); });
}

std::size_t Session::size_of(const Answer& answer) const {
  const Block& block = *answer.block;
  return (block.begin ? block.begin->size() : 0) + block.head.size() + answer.headers.size() +
         (answer.frozen ? 0 : loop_->head_end(answer.closes).size()) + (answer.without_body ? 0 : block.body.size());
}

void Session::write_answers() {
  finish_when_stopping();
  while (phase_ != Phase::closed && !waits_writable_ && front_ < answers_.size()) {
    std::vector<iovec>& parts = loop_->parts;
    parts.clear();
    std::size_t skip = written_;
    std::size_t total = 0;
    for (std::size_t i = front_; i < answers_.size() && parts.size() + 5 <= max_parts; ++i) {
      const Answer& answer = answers_[i];
      if (!answer.block) break;
      total += size_of(answer);
      if (answer.block->begin) add_part(parts, *answer.block->begin, skip);
      add_part(parts, answer.block->head, skip);
      add_part(parts, answer.headers, skip);
      if (!answer.frozen) add_part(parts, loop_->head_end(answer.closes), skip);
      if (!answer.without_body) add_part(parts, answer.block->body, skip);
    }
    if (parts.empty()) return;
    count_answers(write_parts(total - written_));
  }
  if (stream_ && stream_->begun) write_queue();
}

// The answer that nothing follows says that the connection ends. What the client has sent by now still counts.
void Session::finish_when_stopping() {
  if (!loop_->is_stopping() || last_seen_) return;
  const auto all_are_ready = [this] {
    for (std::size_t i = front_; i < answers_.size(); ++i)
      if (!answers_[i].block) return false;
    return front_ < answers_.size() && !blocked_ && !last_seen_ && phase_ != Phase::closed;
  };
  while (all_are_ready() && !ended_ && read_input()) continue;
  if (all_are_ready() && kept_.empty()) end_with(answers_.size() - 1);
}

// Writes loop_->parts, `total` bytes, as far as the client takes them. How many bytes these were.
std::size_t Session::write_parts(std::size_t total) {
  msghdr message{};
  message.msg_iov = loop_->parts.data();
  message.msg_iovlen = loop_->parts.size();
  ssize_t sent = 0;
  do sent = ::sendmsg(socket_.get(), &message, MSG_NOSIGNAL | MSG_DONTWAIT);
  while (sent < 0 && errno == EINTR);
  if (sent < 0) {
    if (errno != EAGAIN && errno != EWOULDBLOCK) {
      close();
      return 0;
    }
    sent = 0;
  }
  if (static_cast<std::size_t>(sent) < total) waits_writable_ = true;  // epoll tells when there is room
  return static_cast<std::size_t>(sent);
}

void Session::count_answers(std::size_t bytes) {
  if (phase_ == Phase::closed) return;
  written_ += bytes;
  while (front_ < answers_.size() && answers_[front_].block) {
    Answer& answer = answers_[front_];
    const std::size_t size = size_of(answer);
    if (written_ < size) {
      // The rest has to fit what is written, whatever the date is by then.
      if (written_ > 0 && !std::exchange(answer.frozen, true)) answer.headers += loop_->head_end(answer.closes);
      break;
    }
    written_ -= size;
    moved_ = true;
    if (answer.closes) (stream_ ? stream_->begun : done_) = true;
    answer = Answer();
    ++front_;
    ++front_number_;
  }
  if (front_ == answers_.size()) {
    answers_.clear();
    front_ = 0;
    if (answers_.capacity() > 4) answers_.shrink_to_fit();
  } else if (front_ >= loop_->limits.pipelined) {
    answers_.erase(answers_.begin(), answers_.begin() + static_cast<std::ptrdiff_t>(front_));
    front_ = 0;
  }
}

void Session::write_queue() {
  while (phase_ != Phase::closed && !waits_writable_ && stream_->bytes > 0) {
    std::vector<iovec>& parts = loop_->parts;
    parts.clear();
    std::size_t skip = written_;
    std::size_t total = 0;
    for (std::size_t i = stream_->front; i < stream_->chunks.size() && parts.size() < max_parts; ++i) {
      total += stream_->chunks[i]->size();
      add_part(parts, *stream_->chunks[i], skip);
    }
    const std::size_t bytes = write_parts(total - written_);
    if (phase_ == Phase::closed) return;
    stream_->bytes -= bytes;
    written_ += bytes;
    while (stream_->front < stream_->chunks.size() && written_ >= stream_->chunks[stream_->front]->size()) {
      written_ -= stream_->chunks[stream_->front]->size();
      stream_->chunks[stream_->front++].reset();
    }
    if (stream_->front == stream_->chunks.size()) {
      stream_->chunks = {};
      stream_->front = 0;
    } else if (stream_->front >= max_parts) {
      stream_->chunks.erase(stream_->chunks.begin(),
                            stream_->chunks.begin() + static_cast<std::ptrdiff_t>(stream_->front));
      stream_->front = 0;
    }
  }
}

}  // namespace daybook::http
