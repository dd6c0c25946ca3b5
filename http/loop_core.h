// One thread, its connections and what they share: buffer, date, time, deadlines.
#pragma once

#include <sys/uio.h>

#include <array>
#include <atomic>
#include <boost/asio/basic_socket_acceptor.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/intrusive/list.hpp>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "http/limits.h"
#include "http/parser.h"
#include "http/session.h"

namespace daybook::http {

using Acceptor = boost::asio::basic_socket_acceptor<boost::asio::ip::tcp, boost::asio::io_context::executor_type>;
using Clock = std::chrono::steady_clock;

// What the loops of one server count together.
struct Counters {
  std::atomic<std::size_t> connections{0};
  std::atomic<std::size_t> streams{0};
  std::atomic<std::uint64_t> turned_away{0};
};

class LoopCore final : public Loop, public std::enable_shared_from_this<LoopCore> {
 public:
  LoopCore(unsigned index, const ServerLimits& limits, Application& application, Counters& counters);
  ~LoopCore();

  // For the server.
  boost::asio::io_context& io() { return *io_; }
  void start(Acceptor acceptor);
  void drain();  // posts it
  void join();   // waits until it has drained, then drops what is left

  // For all.
  unsigned index() const override { return index_; }
  void post(std::function<void()> task) override;
  void run_after(std::chrono::milliseconds delay, std::function<void()> task) override;
  bool runs_here() const { return std::this_thread::get_id() == thread_id_; }

  // For sessions, on its thread.
  const ServerLimits limits;
  Application& application;
  Counters& counters;
  std::vector<char> buffer;  // what a session reads; its content is of no use once the session returns
  std::vector<iovec> parts;  // likewise what it writes
  ParsedRequest request;
  bool is_stopping() const { return stopping_; }
  // The end of an answer's head: Date, Connection, empty line. Always of the same size for the same `closes`.
  const std::string& head_end(bool closes) const { return head_ends_[closes ? 1 : 0]; }
  // Links the session to those of that phase, with the time from now on.
  void enter(Session& session, Session::Phase phase);
  void leave(Session& session);
  void remove();  // one session less
  void proceed_soon(std::shared_ptr<Session> session);

 private:
  using Sessions = boost::intrusive::list<Session>;

  void accept();
  void welcome(Socket socket);
  bool make_room();
  void turn_away(Socket& socket);
  void begin_drain();
  void sweep();
  void sweep_later();
  std::chrono::milliseconds timeout_of(Session::Phase phase) const;
  void make_head_ends();
  Sessions& of(Session::Phase phase) { return sessions_[static_cast<std::size_t>(phase)]; }
  template <typename F>
  void for_all(const F& f);

  const unsigned index_;
  std::mutex gate_;  // between post() by other threads and the end of io_
  std::unique_ptr<boost::asio::io_context> io_;
  std::optional<Acceptor> acceptor_;
  std::optional<boost::asio::steady_timer> retry_;
  std::optional<boost::asio::steady_timer> sweep_timer_;
  std::thread thread_;
  std::atomic<std::thread::id> thread_id_;
  std::array<Sessions, static_cast<std::size_t>(Session::Phase::closed)> sessions_;  // the longest in its phase first
  std::size_t count_ = 0;
  Clock::time_point now_;  // of the last sweep
  Clock::time_point drain_until_;
  std::time_t date_ = 0;
  std::string head_ends_[2];
  std::vector<std::shared_ptr<Session>> to_proceed_;
  bool sweeps_ = false;
  bool stopping_ = false;
};

}  // namespace daybook::http
