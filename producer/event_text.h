// Events of the simulated blood banks as CloudEvents in JSON, formatted straight into a buffer: a DOM for each
// would cost several times as much.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "producer/blood_bank.h"

namespace daybook::simulation {

inline constexpr const char* blood_bank_topic = "bloodbank.events";

class EventText {
 public:
  // The facilities' UUIDs follow from the seed.
  EventText(std::uint64_t seed, std::uint32_t facilities);

  std::string_view facility_id(std::uint32_t facility) const { return facility_ids_[facility]; }

  // Appends the event, on one line without its end.
  void append(std::string& out, const Event& event) const;

  // Appends a stock change with these texts in place of its specversion and of its last member, the quantity
  // (`,"quantity":5`): what the deliberately broken events are made from.
  void append_stock_changed(std::string& out, const Event& event, std::string_view specversion,
                            std::string_view quantity) const;

 private:
  void append_head(std::string& out, const Event& event, std::string_view specversion, std::string_view type,
                   std::string_view app) const;

  std::vector<std::string> facility_ids_;
};

}  // namespace daybook::simulation
