// One thread, its connections and what they share: buffer, date, time, deadlines.
#pragma once

#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <boost/intrusive/list.hpp>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "http/limits.h"
#include "http/parser.h"
#include "http/server.h"
#include "http/session.h"

namespace daybook::http {

using Clock = std::chrono::steady_clock;

// What the loops of one server count together.
struct Counters {
  std::atomic<std::size_t> connections{0};
  std::atomic<std::size_t> streams{0};
  std::atomic<std::uint64_t> turned_away{0};
  std::array<std::atomic<std::uint64_t>, own_statuses.size()> own_answers{};

  void count_own(unsigned status) {
    const auto found = std::find(own_statuses.begin(), own_statuses.end(), status);
    ++own_answers.at(static_cast<std::size_t>(found - own_statuses.begin()));
  }
};

class LoopCore final : public Loop, public std::enable_shared_from_this<LoopCore> {
 public:
  LoopCore(unsigned index, const ServerLimits& limits, Application& application, Counters& counters);
  ~LoopCore();

  // For the server.
  void start(Descriptor listener);
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
  // False: the system has no room for it.
  bool watch(Session& session, int socket);
  // One session less. It may be at work, and epoll may have told of it: it stays until that is over.
  void remove(std::shared_ptr<Session> session);
  void proceed_soon(std::shared_ptr<Session> session) { to_proceed_.push_back(std::move(session)); }
  void read_soon(std::shared_ptr<Session> session) { to_read_.push_back(std::move(session)); }

 private:
  using Sessions = boost::intrusive::list<Session>;

  using Tasks = std::vector<std::function<void()>>;

  void run();
  int wait_milliseconds();
  void run_tasks();
  void run_timers();
  void proceed_with_sessions();
  template <typename F>
  void guarded(const F& f);  // what it throws is logged: the others go on
  Tasks take_tasks();
  void watch_listener();
  int accept_one();
  void accept_all();
  void welcome(Descriptor socket, const std::string& peer);
  bool make_room();
  void turn_away(const Descriptor& socket);
  void begin_drain();
  void sweep();
  void sweep_later();
  std::chrono::milliseconds timeout_of(Session::Phase phase) const;
  void make_head_ends();
  Sessions& of(Session::Phase phase) { return sessions_[static_cast<std::size_t>(phase)]; }
  template <typename F>
  void for_all(const F& f);

  const unsigned index_;
  Descriptor epoll_;
  Descriptor wake_;  // an eventfd: there are tasks
  Descriptor listener_;
  std::mutex gate_;  // of the two below
  Tasks tasks_;
  bool takes_tasks_ = true;
  std::multimap<Clock::time_point, std::function<void()>> timers_;
  std::thread thread_;
  std::atomic<std::thread::id> thread_id_;
  std::array<Sessions, static_cast<std::size_t>(Session::Phase::closed)> sessions_;  // the longest in its phase first
  std::size_t count_ = 0;
  Clock::time_point now_;  // of the last sweep
  Clock::time_point drain_until_;
  std::time_t date_ = 0;
  std::string head_ends_[2];
  std::vector<std::shared_ptr<Session>> to_proceed_;
  std::vector<std::shared_ptr<Session>> to_read_;
  std::vector<std::shared_ptr<Session>> closed_;
  bool ended_ = false;
  bool sweeps_ = false;
  bool stopping_ = false;
};

}  // namespace daybook::http
