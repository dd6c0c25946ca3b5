#include "http/loop_core.h"

#include <spdlog/spdlog.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <algorithm>
#include <boost/asio/ip/tcp.hpp>
#include <boost/system/system_error.hpp>
#include <cerrno>
#include <ctime>

#include "http/message.h"

namespace daybook::http {
namespace {

using Phase = Session::Phase;
using namespace std::chrono_literals;

constexpr std::size_t read_bytes = 64 * 1024;
// How exact deadlines are.
constexpr auto sweep_interval = 50ms;
constexpr auto linger_timeout = 1'000ms;
// While the server stops, a client that has just got an answer may have sent the next request already.
constexpr auto idle_while_stopping = 250ms;

}  // namespace

LoopCore::LoopCore(unsigned index, const ServerLimits& limits_, Application& application_, Counters& counters_)
    : limits(limits_),
      application(application_),
      counters(counters_),
      buffer(limits_.header_bytes + 2 * read_bytes),
      index_(index),
      epoll_(::epoll_create1(EPOLL_CLOEXEC)),
      wake_(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {
  if (!epoll_ || !wake_) throw boost::system::system_error(errno, boost::system::system_category());
}

LoopCore::~LoopCore() = default;

void LoopCore::start(Descriptor listener) {
  listener_ = std::move(listener);
  epoll_event wakes{EPOLLIN, {.ptr = &wake_}};
  ::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, wake_.get(), &wakes);
  watch_listener();
  thread_ = std::thread([this] {
    thread_id_ = std::this_thread::get_id();
    run();
  });
}

template <typename F>
void LoopCore::guarded(const F& f) {
  try {
    f();
  } catch (const std::exception& failure) {
    spdlog::error("http: {}", failure.what());
  }
}

// One round: what epoll tells, tasks, timers, and what sessions could not do at once.
void LoopCore::run() {
  std::array<epoll_event, 128> events;
  while (!ended_) {
    const int count = ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), wait_milliseconds());
    for (int i = 0; i < count; ++i) {
      void* const of_whom = events[static_cast<std::size_t>(i)].data.ptr;
      if (of_whom == &wake_) {
        std::uint64_t times = 0;
        [[maybe_unused]] const ssize_t ignored = ::read(wake_.get(), &times, sizeof times);
      } else if (of_whom == &listener_) {
        accept_all();
      } else {
        guarded([&] { static_cast<Session*>(of_whom)->on_events(events[static_cast<std::size_t>(i)].events); });
      }
    }
    run_tasks();
    run_timers();
    proceed_with_sessions();
    closed_.clear();
  }
}

int LoopCore::wait_milliseconds() {
  if (!to_proceed_.empty() || !to_read_.empty()) return 0;
  {
    const std::lock_guard lock(gate_);
    if (!tasks_.empty()) return 0;
  }
  if (timers_.empty()) return -1;
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(timers_.begin()->first - Clock::now());
  return static_cast<int>(std::clamp<std::int64_t>(left.count(), 0, 60'000));
}

LoopCore::Tasks LoopCore::take_tasks() {
  const std::lock_guard lock(gate_);
  return std::exchange(tasks_, {});
}

void LoopCore::run_tasks() {
  for (std::function<void()>& task : take_tasks()) {
    if (!ended_) guarded(std::exchange(task, nullptr));
  }
}

void LoopCore::run_timers() {
  if (timers_.empty()) return;
  const Clock::time_point now = Clock::now();
  while (!ended_ && !timers_.empty() && timers_.begin()->first <= now)
    guarded(timers_.extract(timers_.begin()).mapped());
}

// What these do may call for more, which then has its turn in the next round.
void LoopCore::proceed_with_sessions() {
  if (!to_proceed_.empty())
    for (const auto& each : std::exchange(to_proceed_, {})) guarded([&] { each->proceed(); });
  if (!to_read_.empty())
    for (const auto& each : std::exchange(to_read_, {})) guarded([&] { each->read_on(); });
}

void LoopCore::post(std::function<void()> task) {
  const std::lock_guard lock(gate_);
  if (!takes_tasks_) return;
  tasks_.push_back(std::move(task));
  if (tasks_.size() > 1 || runs_here()) return;
  const std::uint64_t once = 1;
  [[maybe_unused]] const ssize_t ignored = ::write(wake_.get(), &once, sizeof once);
}

void LoopCore::run_after(std::chrono::milliseconds delay, std::function<void()> task) {
  timers_.emplace(Clock::now() + delay, std::move(task));
}

bool LoopCore::watch(Session& session, int socket) {
  epoll_event event{EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, {.ptr = &session}};
  return ::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, socket, &event) == 0;
}

void LoopCore::enter(Session& session, Phase phase) {
  session.since = now_;
  of(phase).push_back(session);
}

void LoopCore::leave(Session& session) {
  Sessions& sessions = of(session.phase());
  sessions.erase(sessions.iterator_to(session));
}

void LoopCore::remove(std::shared_ptr<Session> session) {
  if (session) closed_.push_back(std::move(session));
  --count_;
  --counters.connections;
  if (stopping_ && count_ == 0) ended_ = true;
}

template <typename F>
void LoopCore::for_all(const F& f) {
  std::vector<std::shared_ptr<Session>> all;
  for (Sessions& sessions : sessions_)
    for (Session& session : sessions) all.push_back(session.shared_from_this());
  for (const auto& session : all) f(*session);
}

void LoopCore::watch_listener() {
  epoll_event event{EPOLLIN, {.ptr = &listener_}};
  if (listener_) ::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, listener_.get(), &event);
}

// 0, or what went wrong.
int LoopCore::accept_one() {
  boost::asio::ip::tcp::endpoint peer;
  auto size = static_cast<socklen_t>(peer.capacity());
  Descriptor socket(::accept4(listener_.get(), peer.data(), &size, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (!socket) return errno;
  peer.resize(size);
  welcome(std::move(socket), peer.address().to_string());
  return 0;
}

void LoopCore::accept_all() {
  int problem = 0;
  // Others want their turn, too; epoll tells of it again.
  for (int i = 0; i < 64 && problem == 0; ++i) problem = accept_one();
  if (problem == 0 || problem == EAGAIN || problem == EINTR || problem == ECONNABORTED) return;
  // Out of file descriptors, for example: not at once again.
  if (problem == EMFILE && !of(Phase::idle).empty()) of(Phase::idle).front().close();
  ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, listener_.get(), nullptr);
  run_after(100ms, [this] { watch_listener(); });
}

void LoopCore::welcome(Descriptor socket, const std::string& peer) {
  if (!sweeps_) {
    now_ = Clock::now();
    make_head_ends();
    sweep_later();
  }
  if (!make_room()) return turn_away(socket);
  ++count_;
  ++counters.connections;
  std::make_shared<Session>(std::move(socket), shared_from_this(), peer)->start();
}

bool LoopCore::make_room() {
  if (counters.connections < limits.connections) return true;
  if (of(Phase::idle).empty()) return false;
  of(Phase::idle).front().close();
  return true;
}

void LoopCore::turn_away(const Descriptor& socket) {
  ++counters.turned_away;
  Response response = problem(503, "too many connections");
  response.headers.emplace_back("Retry-After", "5");
  const BlockPtr block = to_block(response);
  const std::string text = block->whole_head() + head_end(true) + block->body;
  [[maybe_unused]] const ssize_t ignored = ::send(socket.get(), text.data(), text.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  ::shutdown(socket.get(), SHUT_WR);
}

std::chrono::milliseconds LoopCore::timeout_of(Phase phase) const {
  switch (phase) {
    case Phase::idle:
      return stopping_ ? idle_while_stopping : limits.idle_timeout;
    case Phase::reading:
      return limits.request_timeout;
    case Phase::writing:
      return limits.answer_timeout;
    case Phase::lingering:
      return linger_timeout;
    default:
      return std::chrono::milliseconds::max();
  }
}

void LoopCore::sweep_later() {
  sweeps_ = true;
  run_after(sweep_interval, [this] {
    sweep();
    if (count_ > 0) return sweep_later();
    sweeps_ = false;
  });
}

// Each list's sessions have the same time, so that its first one is the first to be over it.
void LoopCore::sweep() {
  now_ = Clock::now();
  make_head_ends();
  for (const Phase phase : {Phase::idle, Phase::reading, Phase::writing, Phase::lingering}) {
    Sessions& sessions = of(phase);
    const Clock::time_point since = now_ - timeout_of(phase) - sweep_interval;  // `since` may lag by an interval
    while (!sessions.empty() && sessions.front().since <= since) {
      const auto session = sessions.front().shared_from_this();
      session->expire();
      if (session->phase() == phase) session->close();
    }
  }
  if (stopping_ && now_ >= drain_until_) {
    for_all([](Session& session) { session.close(); });
    ended_ = true;
  }
}

void LoopCore::make_head_ends() {
  const std::time_t date = std::time(nullptr);
  if (date == date_) return;
  date_ = date;
  std::tm parts{};
  gmtime_r(&date, &parts);
  char text[40];
  // The program never leaves the "C" locale, whose names of days and months HTTP asks for.
  std::strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S GMT", &parts);
  head_ends_[0] = std::string("Date: ") + text + "\r\nConnection: keep-alive\r\n\r\n";
  head_ends_[1] = std::string("Date: ") + text + "\r\nConnection: close\r\n\r\n";
}

void LoopCore::drain() {
  post([this] { begin_drain(); });
}

void LoopCore::begin_drain() {
  stopping_ = true;
  drain_until_ = Clock::now() + limits.drain_timeout;
  // Those whose connections are made already are served.
  while (accept_one() == 0) continue;
  listener_.reset();
  for_all([](Session& session) { session.drain(); });
  if (count_ == 0) ended_ = true;
}

void LoopCore::join() {
  if (thread_.joinable()) thread_.join();
  thread_id_ = std::this_thread::get_id();  // what sessions do from here on, they do here
  for_all([](Session& session) { session.close(); });
  Tasks tasks;
  {
    const std::lock_guard lock(gate_);
    takes_tasks_ = false;
    tasks = std::exchange(tasks_, {});
  }
  tasks.clear();  // which may drop exchanges
  std::exchange(timers_, {}).clear();
  to_proceed_.clear();
  to_read_.clear();
  closed_.clear();
}

}  // namespace daybook::http
