// The traffic of a directory: who works where, in which slot and for which region, each told by an app of its own, and
// the zones that regions are made of.
#pragma once

#include <vector>

#include "producer/plain_system.h"

namespace daybook::simulation {

class UserContextTraffic final : public PlainSystem {
 public:
  explicit UserContextTraffic(const TrafficOptions& options) : seed_(options.seed), users_(options.entities) {}

 protected:
  std::string_view make_event(TrafficMessage& message, Random& random, std::int64_t now_ms) override;

 private:
  struct User {
    std::uint8_t known = 0;  // a bit for each of employee, assignment, slot, region
  };

  std::string_view employee(TrafficMessage& message, Random& random, std::int64_t now_ms, std::uint32_t user);
  std::string_view assignment(TrafficMessage& message, Random& random, std::int64_t now_ms, std::uint32_t user);
  std::string_view slot(TrafficMessage& message, Random& random, std::int64_t now_ms, std::uint32_t user);
  std::string_view region(TrafficMessage& message, Random& random, std::int64_t now_ms, std::uint32_t user);
  std::string_view zone(TrafficMessage& message, Random& random, std::int64_t now_ms);

  std::uint64_t seed_;
  std::vector<User> users_;
  std::uint32_t zones_known_ = 0;
};

}  // namespace daybook::simulation
