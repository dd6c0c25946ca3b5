// The traffic of the blood-bank network.
#pragma once

#include "producer/blood_bank.h"
#include "producer/event_text.h"
#include "producer/traffic.h"

namespace daybook::simulation {

class BloodBankTraffic final : public System {
 public:
  explicit BloodBankTraffic(const TrafficOptions& options);

  void make(TrafficMessage& message, Random& random, std::int64_t now_ms) override;
  void make_poison(TrafficMessage& message, Poison kind, Random& random, std::int64_t now_ms) override;
  bool dates_back() const override { return true; }

 private:
  void make_late(TrafficMessage& message, Event& event, Random& random, std::int64_t now_ms);
  void address(TrafficMessage& message, const Event& event) const;

  TrafficOptions options_;
  BloodBank bank_;
  EventText text_;
  Share late_share_;
  std::uint64_t late_owed_ = 0;
};

}  // namespace daybook::simulation
