#include "http/server.h"

#include <sys/socket.h>

#include <algorithm>
#include <boost/asio/ip/tcp.hpp>
#include <boost/system/system_error.hpp>
#include <cerrno>

#include "core/error.h"
#include "http/loop_core.h"

namespace daybook::http {
namespace {

namespace asio = boost::asio;
using tcp = asio::ip::tcp;

void check(bool succeeded) {
  if (!succeeded) throw boost::system::system_error(errno, boost::system::system_category());
}

// Binds a socket; `endpoint` is then where it really is.
Descriptor bound(tcp::endpoint& endpoint, bool shared) {
  Descriptor listener(::socket(endpoint.protocol().family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP));
  check(bool(listener));
  const int on = 1;
  check(::setsockopt(listener.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0);
  if (shared) check(::setsockopt(listener.get(), SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) == 0);
  check(::bind(listener.get(), endpoint.data(), static_cast<socklen_t>(endpoint.size())) == 0);
  socklen_t size = static_cast<socklen_t>(endpoint.capacity());
  check(::getsockname(listener.get(), endpoint.data(), &size) == 0);
  endpoint.resize(size);
  return listener;
}

void listen(const Descriptor& listener) { check(::listen(listener.get(), SOMAXCONN) == 0); }

}  // namespace

class Server::Impl {
 public:
  Impl(const Address& address, const ServerLimits& limits, unsigned loops, Application& application) {
    for (unsigned i = 0; i < std::max(loops, 1u); ++i)
      loops_.push_back(std::make_shared<LoopCore>(i, limits, application, counters_));
    local_ = tcp::endpoint(asio::ip::make_address(address.host), address.port);
    const bool shared = loops_.size() > 1;
    std::vector<Descriptor> listeners;
    try {
      // With SO_REUSEPORT alone, another server at this address would go unnoticed and take a part of its clients.
      if (shared && address.port != 0) {
        listen(bound(local_, false));
      }
      for (std::size_t i = 0; i < loops_.size(); ++i) listeners.push_back(bound(local_, shared));
      for (const Descriptor& listener : listeners) listen(listener);
    } catch (const boost::system::system_error& error) {
      throw UsageError("can't listen on " + address.host + ":" + std::to_string(address.port) + ": " +
                       error.code().message() + "; give another address, or port 0 for a free one");
    }
    for (std::size_t i = 0; i < loops_.size(); ++i) loops_[i]->start(std::move(listeners[i]));
  }
  ~Impl() { stop(); }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  void stop() {
    for (const auto& loop : loops_) loop->drain();
    for (const auto& loop : loops_) loop->join();
  }

  const tcp::endpoint& local() const { return local_; }
  const Counters& counters() const { return counters_; }

 private:
  Counters counters_;
  std::vector<std::shared_ptr<LoopCore>> loops_;
  tcp::endpoint local_;
};

Server::Server(const Address& address, const ServerLimits& limits, unsigned loops, Application& application)
    : impl_(std::make_unique<Impl>(address, limits, loops, application)) {}
Server::~Server() = default;

void Server::stop() { impl_->stop(); }

std::uint16_t Server::port() const { return impl_->local().port(); }

std::string Server::address() const {
  const std::string host = impl_->local().address().to_string();
  return (impl_->local().address().is_v6() ? "[" + host + "]" : host) + ":" + std::to_string(port());
}

ServerFigures Server::figures() const {
  const Counters& counters = impl_->counters();
  ServerFigures figures{counters.connections, counters.streams, counters.turned_away, {}};
  std::copy(counters.own_answers.begin(), counters.own_answers.end(), figures.own_answers.begin());
  return figures;
}

}  // namespace daybook::http
