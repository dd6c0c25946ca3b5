// One request and its answer as an application sees them, on the loops of `http::Server`. No HTTP library's types.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

namespace daybook::http {

enum class Method { get, head, post };  // the server refuses all else, and any request with a body

// What a client asks. It points into the connection's buffer: valid until the application's on_request() returns.
class Incoming {
 public:
  Method method = Method::get;
  std::string_view target;  // as sent: path and query
  std::string_view path;    // up to '?'; nothing is decoded
  std::string_view query;   // behind it
  std::string_view peer;    // the client's IP address
  // The first header of that name (any case); empty when there is none.
  virtual std::string_view header(std::string_view name) const = 0;

 protected:
  ~Incoming() = default;
};

// The bytes of an answer that never change: made once, shared by all who ask until the last write ends.
struct Block {
  unsigned status = 200;
  std::string head;  // status line and header lines, each with its CRLF; without Date, Connection and the empty line
  std::string body;
  // What comes before `head`, when many blocks begin alike: one string for all of them stays in the processor's cache.
  std::shared_ptr<const std::string> begin = {};

  std::string whole_head() const { return begin ? *begin + head : head; }
};
using BlockPtr = std::shared_ptr<const Block>;

// A thread that serves connections. All of them live on the loop that accepted them.
class Loop {
 public:
  virtual unsigned index() const = 0;
  // Runs `task` on this loop's thread, soon. The only call that other threads may make.
  virtual void post(std::function<void()> task) = 0;
  virtual void run_after(std::chrono::milliseconds delay, std::function<void()> task) = 0;

 protected:
  ~Loop() = default;
};

// An answer without end (server-sent events). To be used on its loop's thread.
class Stream {
 public:
  virtual ~Stream() = default;
  // Queues bytes that many streams may share. False: the client is gone, or so slow that its queue is full; the stream
  // has ended then.
  virtual bool write(std::shared_ptr<const std::string> bytes) = 0;
  virtual bool has_ended() const = 0;
  // Bytes that were written and that the client has yet to take.
  virtual std::size_t queued() const = 0;
  virtual void end() = 0;
};

// The right to answer one request, once, now or later. Answers go out in the order of the requests. One that is
// dropped without an answer becomes a 500.
class Exchange {
 public:
  // The server's side; tests put their own here. `number` tells the requests of a connection apart.
  class Connection {
   public:
    virtual ~Connection() = default;
    virtual void answer(std::uint64_t number, BlockPtr block, std::string headers) = 0;
    virtual std::shared_ptr<Stream> stream(std::uint64_t number, std::string head) = 0;
    virtual void abandon(std::uint64_t number) = 0;  // no answer will come
    virtual Loop& loop() = 0;
  };

  explicit Exchange(std::shared_ptr<Connection> connection, std::uint64_t number = 0)
      : connection_(std::move(connection)), number_(number) {}
  Exchange(Exchange&&) = default;
  Exchange& operator=(Exchange&& other) noexcept {
    std::swap(connection_, other.connection_);
    std::swap(number_, other.number_);
    std::swap(answered_, other.answered_);
    return *this;
  }
  ~Exchange() {
    if (connection_ && !answered_) connection_->abandon(number_);
  }
  // `headers`: further header lines of this answer alone, each with its CRLF. On the loop's thread, once; later calls
  // are ignored. For HEAD the server leaves the body out. After a 405 or 413 the server closes the connection.
  void send(BlockPtr block, std::string headers = {}) {
    if (connection_ && !std::exchange(answered_, true))
      connection_->answer(number_, std::move(block), std::move(headers));
  }
  // Begins an endless answer; `head` as in Block. A client that closes its side is taken as gone. For HEAD, and while
  // the server stops, the stream has ended from the start.
  std::shared_ptr<Stream> stream(std::string head) {
    answered_ = true;
    return connection_->stream(number_, std::move(head));
  }
  Loop& loop() const { return connection_->loop(); }

 private:
  std::shared_ptr<Connection> connection_;
  std::uint64_t number_ = 0;
  bool answered_ = false;
};

// Called on the loops' threads, at once on several. Must not block. What it throws becomes a 500.
class Application {
 public:
  virtual ~Application() = default;
  virtual void on_request(const Incoming& request, Exchange exchange) = 0;
};

}  // namespace daybook::http
