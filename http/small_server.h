// The server for what people and tools look at: one loop, GET and HEAD, an answer made at once by a function.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "http/message.h"
#include "http/server.h"

namespace daybook::http {

class SmallServer {
 public:
  // As Server. The handler is called on the server's thread, one request at a time.
  SmallServer(const Address& address, ServerLimits limits, Handler handler);
  // Ends within a second: answers under way have half a second, whatever the limits' drain_timeout is.
  ~SmallServer();
  SmallServer(const SmallServer&) = delete;
  SmallServer& operator=(const SmallServer&) = delete;

  std::string address() const { return server_->address(); }
  std::uint16_t port() const { return server_->port(); }

 private:
  class Answers;
  std::unique_ptr<Answers> answers_;
  std::unique_ptr<Server> server_;
};

}  // namespace daybook::http
