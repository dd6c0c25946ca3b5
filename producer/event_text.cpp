#include "producer/event_text.h"

#include "producer/calendar.h"

namespace daybook::simulation {
namespace {

constexpr std::string_view groups[blood_groups] = {"O+", "O-", "A+", "A-", "B+", "B-", "AB+", "AB-"};
constexpr std::string_view reasons[] = {"opening", "donation", "issue", "transfer_out", "transfer_in"};
constexpr std::string_view shifts[] = {"day", "evening", "night"};

Uuid facility_uuid(std::uint64_t seed, std::uint32_t facility) {
  Random random(Random::mix(seed) ^ (0xfac1117700000000u + facility));
  return {random.next(), random.next()};
}

}  // namespace

EventText::EventText(std::uint64_t seed, std::uint32_t facilities) {
  facility_ids_.resize(facilities);
  for (std::uint32_t i = 0; i < facilities; ++i) append_uuid(facility_ids_[i], facility_uuid(seed, i));
}

void EventText::append_head(std::string& out, const Event& event, std::string_view specversion, std::string_view type,
                            std::string_view app) const {
  begin_event(out, event.id, app, type, event.time_ms, specversion);
  out += '{';
}

void EventText::append_stock_changed(std::string& out, const Event& event, std::string_view specversion,
                                     std::string_view quantity) const {
  append_head(out, event, specversion, "bloodbank.stock.changed", "/bloodbank/inventory");
  out += R"("facility_id":")";
  out += facility_ids_[event.facility];
  out += R"(","blood_group":")";
  out += groups[event.blood_group];
  out += R"(","reason":")";
  out += reasons[static_cast<int>(event.reason)];
  out += R"(","shift":")";
  out += shifts[static_cast<int>(shift_at(event.time_ms))];
  out += '"';
  out += quantity;
  out += "}}";
}

void EventText::append(std::string& out, const Event& event) const {
  const std::string quantity = std::to_string(event.quantity);  // short: no allocation
  const auto add_id = [&out](std::string_view before, const Uuid& id) {
    out += before;
    append_uuid(out, id);
  };
  const auto add_group_and_quantity = [&out, &event, &quantity] {
    out += R"(","blood_group":")";
    out += groups[event.blood_group];
    out += R"(","quantity":)";
    out += quantity;
  };
  switch (event.kind) {
    case EventKind::stock_changed:
      append_stock_changed(out, event, "1.0", R"(,"quantity":)" + quantity);
      return;
    case EventKind::units_transferred:
      append_head(out, event, "1.0", "bloodbank.units.transferred", "/bloodbank/transfers");
      add_id(R"("transfer_id":")", event.entity);
      out += R"(","dispatched_from_id":")";
      out += facility_ids_[event.sender];
      out += R"(","dispatched_to_id":")";
      out += facility_ids_[event.facility];
      add_group_and_quantity();
      out += R"(,"date_dispatched":")";
      append_local(out, event.begun_ms, local_offset_ms);
      out += R"(","date_delivered":)";
      if (event.delivered) {
        out += '"';
        append_local(out, event.time_ms, local_offset_ms);
        out += '"';
      } else {
        out += "null";
      }
      break;
    case EventKind::request_created:
      append_head(out, event, "1.0", "bloodbank.request.created", "/bloodbank/requests");
      add_id(R"("request_id":")", event.entity);
      out += R"(","facility_id":")";
      out += facility_ids_[event.facility];
      add_group_and_quantity();
      out += event.urgent ? R"(,"priority":"urgent")" : R"(,"priority":"routine")";
      out += R"(,"created_at":")";
      append_local(out, event.begun_ms, local_offset_ms);
      out += '"';
      break;
    case EventKind::request_cancelled:
      append_head(out, event, "1.0", "bloodbank.request.cancelled", "/bloodbank/requests");
      add_id(R"("request_id":")", event.entity);
      out += R"(","facility_id":")";
      out += facility_ids_[event.facility];
      out += R"(","reason":"no longer needed","created_at":")";
      append_local(out, event.begun_ms, local_offset_ms);
      out += R"(","cancelled_at":")";
      append_local(out, event.time_ms, local_offset_ms);
      out += '"';
      break;
  }
  out += "}}";
}

}  // namespace daybook::simulation
