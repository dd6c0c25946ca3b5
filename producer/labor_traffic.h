// The traffic of time clocks in car dealerships: hours as they are punched, corrected and deleted, told as signed
// changes of one local day each; a shift over midnight is told as two.
#pragma once

#include <deque>
#include <memory>
#include <vector>

#include "producer/plain_system.h"

namespace daybook::simulation {

class LaborTraffic final : public PlainSystem {
 public:
  explicit LaborTraffic(const TrafficOptions& options);
  ~LaborTraffic() override;

 protected:
  std::string_view make_event(TrafficMessage& message, Random& random, std::int64_t now_ms) override;

 private:
  // What was worked on one local day, in quarters of an hour.
  struct Part {
    Uuid id;
    std::uint32_t employee = 0;
    std::uint32_t version = 0;
    std::int64_t day = 0;
    std::int64_t begin_ms = 0;
    std::int32_t quarters = 0;
  };
  struct Zones;

  void punch(Random& random, std::int64_t now_ms, std::uint32_t employee);
  std::string_view hours(TrafficMessage& message, Random& random, std::int64_t now_ms, std::string_view kind,
                         const Part& part, std::int32_t quarters) const;
  std::string_view dealership(TrafficMessage& message, Random& random, std::int64_t now_ms, std::uint32_t dealership);
  std::int64_t offset_at(std::uint32_t dealership, std::int64_t ms) const;

  std::uint64_t seed_;
  std::uint32_t employees_;
  std::unique_ptr<const Zones> zones_;
  std::vector<std::uint32_t> versions_;     // of each dealership; 0: nobody heard of it yet
  std::vector<std::int64_t> worked_until_;  // by employee: nobody is at work twice
  std::deque<Part> told_;                   // the last ones, which may be corrected
  std::deque<Part> now_;                    // to be told before anything else
};

}  // namespace daybook::simulation
