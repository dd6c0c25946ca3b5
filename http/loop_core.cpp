#include "http/loop_core.h"

#include <spdlog/spdlog.h>

#include <boost/asio/post.hpp>
#include <ctime>

#include "http/message.h"

namespace daybook::http {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;
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
      io_(std::make_unique<asio::io_context>(1)) {}

LoopCore::~LoopCore() = default;

void LoopCore::start(Acceptor acceptor) {
  acceptor_.emplace(std::move(acceptor));
  retry_.emplace(*io_);
  sweep_timer_.emplace(*io_);
  thread_ = std::thread([this] {
    thread_id_ = std::this_thread::get_id();
    accept();
    for (;;) {
      try {
        io_->run();
        return;
      } catch (const std::exception& failure) {  // of a task that was posted
        spdlog::error("http: {}", failure.what());
      }
    }
  });
}

void LoopCore::post(std::function<void()> task) {
  const std::lock_guard lock(gate_);
  if (io_) asio::post(*io_, std::move(task));
}

void LoopCore::run_after(std::chrono::milliseconds delay, std::function<void()> task) {
  auto timer = std::make_shared<asio::steady_timer>(*io_, delay);
  timer->async_wait([timer, task = std::move(task)](const error_code& error) {
    if (!error) task();
  });
}

void LoopCore::proceed_soon(std::shared_ptr<Session> session) {
  to_proceed_.push_back(std::move(session));
  if (to_proceed_.size() > 1) return;
  asio::post(*io_, [this] {
    // What these do may call for more, which then has its own turn.
    for (const auto& each : std::exchange(to_proceed_, {})) each->proceed();
  });
}

void LoopCore::enter(Session& session, Phase phase) {
  session.since = now_;
  of(phase).push_back(session);
}

void LoopCore::leave(Session& session) {
  Sessions& sessions = of(session.phase());
  sessions.erase(sessions.iterator_to(session));
}

void LoopCore::remove() {
  --count_;
  --counters.connections;
  if (stopping_ && count_ == 0) io_->stop();
}

template <typename F>
void LoopCore::for_all(const F& f) {
  std::vector<std::shared_ptr<Session>> all;
  for (Sessions& sessions : sessions_)
    for (Session& session : sessions) all.push_back(session.shared_from_this());
  for (const auto& session : all) f(*session);
}

void LoopCore::accept() {
  acceptor_->async_accept([this](const error_code& error, Socket socket) {
    if (stopping_) return;
    if (!error) {
      welcome(std::move(socket));
      return accept();
    }
    // Out of file descriptors, for example: not at once again.
    if (error == asio::error::no_descriptors && !of(Phase::idle).empty()) of(Phase::idle).front().close();
    retry_->expires_after(100ms);
    retry_->async_wait([this](const error_code& cancelled) {
      if (!cancelled) accept();
    });
  });
}

void LoopCore::welcome(Socket socket) {
  if (!sweeps_) {
    now_ = Clock::now();
    make_head_ends();
    sweep_later();
  }
  if (!make_room()) return turn_away(socket);
  error_code gone;
  const auto peer = socket.remote_endpoint(gone);
  if (gone) return;
  ++count_;
  ++counters.connections;
  std::make_shared<Session>(std::move(socket), shared_from_this(), peer.address().to_string())->start();
}

bool LoopCore::make_room() {
  if (counters.connections < limits.connections) return true;
  if (of(Phase::idle).empty()) return false;
  of(Phase::idle).front().close();
  return true;
}

void LoopCore::turn_away(Socket& socket) {
  ++counters.turned_away;
  Response response = problem(503, "too many connections");
  response.headers.emplace_back("Retry-After", "5");
  const BlockPtr block = to_block(response);
  const std::string text = block->head + head_end(true) + block->body;
  error_code ignored;
  socket.non_blocking(true, ignored);
  socket.write_some(asio::buffer(text), ignored);
  socket.shutdown(Socket::shutdown_send, ignored);
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
  sweep_timer_->expires_after(sweep_interval);
  sweep_timer_->async_wait([this](const error_code& error) {
    if (error) return;
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
    io_->stop();
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
  error_code error;
  acceptor_->non_blocking(true, error);
  while (!error) {
    Socket socket(*io_);
    acceptor_->accept(socket, error);
    if (!error) welcome(std::move(socket));
  }
  acceptor_->close(error);
  retry_->cancel();
  for_all([](Session& session) { session.drain(); });
  if (count_ == 0) io_->stop();
}

void LoopCore::join() {
  if (thread_.joinable()) thread_.join();
  thread_id_ = std::this_thread::get_id();  // what sessions do from here on, they do here
  if (!io_) return;
  for_all([](Session& session) { session.close(); });
  to_proceed_.clear();
  acceptor_.reset();
  retry_.reset();
  sweep_timer_.reset();
  std::unique_ptr<asio::io_context> io;
  {
    const std::lock_guard lock(gate_);
    io = std::move(io_);
  }
  io.reset();  // drops tasks, which may drop exchanges
}

}  // namespace daybook::http
