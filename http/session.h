// One connection: reads requests, keeps their answers in order, writes all that are ready at once. Lives on one loop's
// thread. Between two requests it holds no buffer: what was read stays in the loop's buffer unless it is incomplete.
#pragma once

#include <sys/types.h>

#include <boost/intrusive/list_hook.hpp>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "http/descriptor.h"
#include "http/exchange.h"

namespace daybook::http {

class LoopCore;
class ParsedRequest;
struct StreamQueue;

class Session final : public Exchange::Connection,
                      public std::enable_shared_from_this<Session>,
                      public boost::intrusive::list_base_hook<> {
 public:
  // What it waits for. Each but `waiting` and `streaming` is bounded in time.
  enum class Phase : std::uint8_t {
    idle,       // a request
    reading,    // the rest of one
    waiting,    // an answer of the application
    writing,    // the client, to take an answer or a stream's bytes
    streaming,  // more of an endless answer
    lingering,  // the client's end, behind the last answer
    closed
  };

  Session(Descriptor socket, std::shared_ptr<LoopCore> loop, std::string peer);
  ~Session() override;
  void start();
  // What epoll told of its socket. Each state is told once (edge-triggered): a session remembers.
  void on_events(std::uint32_t events);
  // Goes on reading where it stopped, for others to have their turn.
  void read_on();
  // Parses what was kept and writes what is ready, until nothing moves.
  void proceed();
  // The time of its phase is over.
  void expire();
  // The server stops.
  void drain();
  void close();

  Phase phase() const { return phase_; }

  // As Exchange::Connection. Other threads are let in by a detour.
  void answer(std::uint64_t number, BlockPtr block, std::string headers) override;
  std::shared_ptr<Stream> stream(std::uint64_t number, std::string head) override;
  void abandon(std::uint64_t number) override;
  Loop& loop() override;

  // For the stream's handle.
  bool write_stream(std::shared_ptr<const std::string> bytes);
  bool stream_has_ended() const;
  std::size_t stream_queued() const;
  void end_stream();
  void release_stream();  // from any thread

  std::chrono::steady_clock::time_point since;  // when it entered its phase or last moved in it (LoopCore's)

 private:
  struct Answer {
    BlockPtr block;  // null: not ready
    std::string headers;
    bool without_body = false;
    bool closes = false;  // it is the connection's last
    bool frozen = false;  // `headers` ends the head already: some of the answer is written
  };

  void wait_readable();
  void on_readable();
  ssize_t receive(char* to, std::size_t size);
  bool read_input();
  void drop_input();
  bool may_parse() const;
  void parse(std::string_view bytes, std::size_t known);
  bool parse_kept();
  void keep(std::string_view bytes);
  void dispatch(ParsedRequest& request);
  void refuse(unsigned status, const std::string& detail);
  Answer* find(std::uint64_t number);
  void end_with(std::size_t index);

  void write_answers();
  void finish_when_stopping();
  std::size_t size_of(const Answer& answer) const;
  std::size_t write_parts(std::size_t total);
  void count_answers(std::size_t bytes);
  void write_queue();
  void settle();
  void enter(Phase phase);

  Descriptor socket_;  // gone once closed
  std::shared_ptr<LoopCore> loop_;
  std::shared_ptr<Session> self_;  // while it is open
  std::string peer_;
  std::string kept_;             // begin of a request, or requests that have to wait
  std::vector<Answer> answers_;  // from front_ on: those not yet written
  std::size_t front_ = 0;
  std::uint64_t front_number_ = 0;
  std::size_t written_ = 0;              // of the front answer
  std::unique_ptr<StreamQueue> stream_;  // an endless answer has begun
  std::uint32_t parsed_size_ = 0;        // of kept_ when it was last found incomplete
  std::uint32_t dropped_ = 0;
  Phase phase_ = Phase::closed;
  bool readable_ = false;  // there may be more to read
  bool hung_up_ = false;   // the client's end, or an error, is to be read behind all else
  bool waits_readable_ = false;
  bool waits_writable_ = false;
  bool busy_ = false;       // proceed() follows anyway
  bool moved_ = false;      // a request came whole or an answer left whole since the phase was looked at
  bool blocked_ = false;    // kept_ waits for answers to leave, not for bytes
  bool ended_ = false;      // the client sends no more
  bool last_seen_ = false;  // nothing behind the last request that is in answers_ is looked at
  bool done_ = false;       // the last answer is written
};

}  // namespace daybook::http
