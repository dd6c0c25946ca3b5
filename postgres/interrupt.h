// Ends what a database session waits for, from another thread and whatever the server does: its connection is shut
// down.
#pragma once

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

namespace daybook::postgres {

class Interrupt {
 public:
  // A descriptor of its own: the number of the session's may mean another file once the session has closed it.
  explicit Interrupt(int socket) : socket_(::fcntl(socket, F_DUPFD_CLOEXEC, 0)) {}
  ~Interrupt() {
    if (socket_ >= 0) ::close(socket_);
  }
  Interrupt(const Interrupt&) = delete;
  Interrupt& operator=(const Interrupt&) = delete;

  void now() const { ::shutdown(socket_, SHUT_RDWR); }

 private:
  const int socket_;
};

}  // namespace daybook::postgres
