#include "producer/event_text.h"

#include <chrono>
#include <cstring>

#include "producer/calendar.h"

namespace daybook::simulation {
namespace {

constexpr std::string_view groups[blood_groups] = {"O+", "O-", "A+", "A-", "B+", "B-", "AB+", "AB-"};
constexpr std::string_view reasons[] = {"opening", "donation", "issue", "transfer_out", "transfer_in"};
constexpr std::string_view shifts[] = {"day", "evening", "night"};

char* put_digits(char* at, unsigned value, int digits) {
  for (int i = digits - 1; i >= 0; --i, value /= 10) at[i] = static_cast<char>('0' + value % 10);
  return at + digits;
}

// "2026-11-23T18:29:00", and ".123" when asked for.
void append_civil(std::string& out, std::int64_t ms, bool with_milliseconds) {
  const std::int64_t in_day = (ms % day_ms + day_ms) % day_ms;
  const std::chrono::year_month_day date{std::chrono::sys_days{std::chrono::days{(ms - in_day) / day_ms}}};
  const unsigned seconds = static_cast<unsigned>(in_day / second_ms);
  char text[24];
  char* at = put_digits(text, static_cast<unsigned>(static_cast<int>(date.year())), 4);
  *at++ = '-';
  at = put_digits(at, static_cast<unsigned>(date.month()), 2);
  *at++ = '-';
  at = put_digits(at, static_cast<unsigned>(date.day()), 2);
  *at++ = 'T';
  at = put_digits(at, seconds / 3600, 2);
  *at++ = ':';
  at = put_digits(at, seconds / 60 % 60, 2);
  *at++ = ':';
  at = put_digits(at, seconds % 60, 2);
  if (with_milliseconds) {
    *at++ = '.';
    at = put_digits(at, static_cast<unsigned>(in_day % second_ms), 3);
  }
  out.append(text, static_cast<std::size_t>(at - text));
}

void append_utc(std::string& out, std::int64_t ms) {
  append_civil(out, ms, true);
  out += 'Z';
}

void append_local(std::string& out, std::int64_t ms) {
  append_civil(out, ms + local_offset_ms, false);
  out += "+03:00";
}

Uuid facility_uuid(std::uint64_t seed, std::uint32_t facility) {
  Random random(Random::mix(seed) ^ (0xfac1117700000000u + facility));
  return {random.next(), random.next()};
}

}  // namespace

EventText::EventText(std::uint64_t seed, std::uint32_t facilities) {
  facility_ids_.resize(facilities);
  for (std::uint32_t i = 0; i < facilities; ++i) append_uuid(facility_ids_[i], facility_uuid(seed, i));
}

// A random UUID (version 4) of any 128 bits.
void EventText::append_uuid(std::string& out, const Uuid& id) {
  static constexpr char digits[] = "0123456789abcdef";
  const std::uint64_t words[2] = {(id.high & ~0xf000ull) | 0x4000u, (id.low & ~(3ull << 62)) | (2ull << 62)};
  char text[36];
  char* at = text;
  for (int i = 0; i < 16; ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) *at++ = '-';
    const unsigned byte = static_cast<unsigned>(words[i / 8] >> (56 - i % 8 * 8)) & 0xff;
    *at++ = digits[byte >> 4];
    *at++ = digits[byte & 15];
  }
  out.append(text, sizeof text);
}

void EventText::append_head(std::string& out, const Event& event, std::string_view specversion, std::string_view type,
                            std::string_view app) const {
  out += R"({"specversion":")";
  out += specversion;
  out += R"(","id":")";
  append_uuid(out, event.id);
  out += R"(","source":"/bloodbank/)";
  out += app;
  out += R"(","type":"bloodbank.)";
  out += type;
  out += R"(","time":")";
  append_utc(out, event.time_ms);
  out += R"(","data":{)";
}

void EventText::append_stock_changed(std::string& out, const Event& event, std::string_view specversion,
                                     std::string_view quantity) const {
  append_head(out, event, specversion, "stock.changed", "inventory");
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
      append_head(out, event, "1.0", "units.transferred", "transfers");
      add_id(R"("transfer_id":")", event.entity);
      out += R"(","dispatched_from_id":")";
      out += facility_ids_[event.sender];
      out += R"(","dispatched_to_id":")";
      out += facility_ids_[event.facility];
      add_group_and_quantity();
      out += R"(,"date_dispatched":")";
      append_local(out, event.begun_ms);
      out += R"(","date_delivered":)";
      if (event.delivered) {
        out += '"';
        append_local(out, event.time_ms);
        out += '"';
      } else {
        out += "null";
      }
      break;
    case EventKind::request_created:
      append_head(out, event, "1.0", "request.created", "requests");
      add_id(R"("request_id":")", event.entity);
      out += R"(","facility_id":")";
      out += facility_ids_[event.facility];
      add_group_and_quantity();
      out += event.urgent ? R"(,"priority":"urgent")" : R"(,"priority":"routine")";
      out += R"(,"created_at":")";
      append_local(out, event.begun_ms);
      out += '"';
      break;
    case EventKind::request_cancelled:
      append_head(out, event, "1.0", "request.cancelled", "requests");
      add_id(R"("request_id":")", event.entity);
      out += R"(","facility_id":")";
      out += facility_ids_[event.facility];
      out += R"(","reason":"no longer needed","created_at":")";
      append_local(out, event.begun_ms);
      out += R"(","cancelled_at":")";
      append_local(out, event.time_ms);
      out += '"';
      break;
  }
  out += "}}";
}

}  // namespace daybook::simulation
