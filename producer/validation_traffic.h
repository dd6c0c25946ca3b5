// The traffic of live validation: apps that log what they validated, their rules, and how each app is configured.
#pragma once

#include <vector>

#include "producer/plain_system.h"

namespace daybook::simulation {

class ValidationTraffic final : public PlainSystem {
 public:
  explicit ValidationTraffic(const TrafficOptions& options) : seed_(options.seed), apps_(options.entities) {}

 protected:
  std::string_view make_event(TrafficMessage& message, Random& random, std::int64_t now_ms) override;

 private:
  struct App {
    std::uint32_t version = 0;         // 0: nobody heard of it yet
    std::vector<std::uint32_t> rules;  // the version of each
  };

  std::string_view entry(TrafficMessage& message, Random& random, std::int64_t now_ms, std::uint32_t app);
  std::string_view change_app(TrafficMessage& message, Random& random, std::int64_t now_ms, std::uint32_t app);
  std::string_view change_rule(TrafficMessage& message, Random& random, std::int64_t now_ms, std::uint32_t app);
  Uuid rule_id(std::uint32_t app, std::size_t rule) const { return entity_uuid(seed_, 1, app * 1000 + rule); }

  std::uint64_t seed_;
  std::vector<App> apps_;
};

}  // namespace daybook::simulation
