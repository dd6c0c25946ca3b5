// What the systems share whose broken messages are their last event, broken, under an id of its own.
#pragma once

#include "producer/event_writer.h"
#include "producer/traffic.h"

namespace daybook::simulation {

class PlainSystem : public System {
 public:
  void make(TrafficMessage& message, Random& random, std::int64_t now_ms) final;
  void make_poison(TrafficMessage& message, Poison kind, Random& random, std::int64_t now_ms) final;

 protected:
  // The next event. Returns the name of a member that every view of it needs, which is what gets broken.
  virtual std::string_view make_event(TrafficMessage& message, Random& random, std::int64_t now_ms) = 0;

 private:
  TrafficMessage last_;
  std::string_view needed_;
};

// The event as text that is broken in this way. It has this id, and a member of this name in it, or in its data.
std::string broken_event(std::string_view event, std::string_view member, Poison kind, const Uuid& id);

}  // namespace daybook::simulation
