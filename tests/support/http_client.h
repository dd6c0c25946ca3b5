// One raw connection to a server on 127.0.0.1. Nothing waits longer than 5 s.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdint>
#include <stdexcept>
#include <string>
#include <utility>

namespace daybook::test {

class HttpClient {
 public:
  explicit HttpClient(std::uint16_t port) : socket_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    const timeval timeout{5, 0};
    setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
    setsockopt(socket_, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout);
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(port);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (connect(socket_, reinterpret_cast<const sockaddr*>(&to), sizeof to) != 0) {
      close(socket_);
      throw std::runtime_error("can't connect");
    }
  }
  ~HttpClient() { close(socket_); }
  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;

  HttpClient& send(const std::string& bytes) {
    ::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    return *this;
  }
  // What one call gives.
  std::string some() {
    if (!unread_.empty()) return std::exchange(unread_, {});
    std::string part(64 * 1024, '\0');
    const ssize_t size = recv(socket_, part.data(), part.size(), 0);
    part.resize(size > 0 ? static_cast<std::size_t>(size) : 0);
    has_failed_ = size < 0;
    return part;
  }
  // Up to where the server closes the connection; a mark when it does not, or resets it.
  std::string rest() {
    std::string all;
    for (std::string part = some(); !part.empty(); part = some()) all += part;
    return has_failed_ ? all + "<not closed>" : all;
  }
  // Up to and with `end`.
  std::string until(const std::string& end) {
    std::string all;
    std::size_t from = 0;  // where `end` may begin
    for (;;) {
      const std::string part = some();
      if (part.empty()) return all + "<ended>";
      all += part;
      const std::size_t found = all.find(end, from);
      if (found != std::string::npos) {
        unread_ = all.substr(found + end.size());
        all.resize(found + end.size());
        return all;
      }
      from = all.size() < end.size() ? 0 : all.size() - end.size() + 1;
    }
  }
  // Whether something can be read now.
  bool has_bytes() const {
    char byte = 0;
    return !unread_.empty() || recv(socket_, &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
  }
  // The client sends no more.
  void end() { shutdown(socket_, SHUT_WR); }
  void reset_at_end() {
    const linger now{1, 0};
    setsockopt(socket_, SOL_SOCKET, SO_LINGER, &now, sizeof now);
  }

 private:
  int socket_;
  std::string unread_;
  bool has_failed_ = false;
};

}  // namespace daybook::test
