#include "producer/event_writer.h"

#include <chrono>

#include "producer/calendar.h"

namespace daybook::simulation {
namespace {

char* put_digits(char* at, unsigned value, int digits) {
  for (int i = digits - 1; i >= 0; --i, value /= 10) at[i] = static_cast<char>('0' + value % 10);
  return at + digits;
}

char* put_date(char* at, std::int64_t days) {
  const std::chrono::year_month_day date{std::chrono::sys_days{std::chrono::days{days}}};
  at = put_digits(at, static_cast<unsigned>(static_cast<int>(date.year())), 4);
  *at++ = '-';
  at = put_digits(at, static_cast<unsigned>(date.month()), 2);
  *at++ = '-';
  return put_digits(at, static_cast<unsigned>(date.day()), 2);
}

// "2026-11-23T18:29:00", and ".123" when asked for.
void append_civil(std::string& out, std::int64_t ms, bool with_milliseconds) {
  const std::int64_t in_day = (ms % day_ms + day_ms) % day_ms;
  const unsigned seconds = static_cast<unsigned>(in_day / second_ms);
  char text[24];
  char* at = put_date(text, (ms - in_day) / day_ms);
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

void append_decimal(std::string& out, std::int64_t units, int scale) {
  std::string digits = std::to_string(units < 0 ? -units : units);
  const std::size_t behind = static_cast<std::size_t>(scale);
  if (digits.size() <= behind) digits.insert(0, behind + 1 - digits.size(), '0');
  if (units < 0) out += '-';
  out.append(digits, 0, digits.size() - behind);
  if (scale == 0) return;
  out += '.';
  out.append(digits, digits.size() - behind);
}

}  // namespace

Uuid entity_uuid(std::uint64_t seed, std::uint64_t kind, std::uint64_t number) {
  Random random(Random::mix(seed ^ Random::mix(kind)) ^ number);
  return random_uuid(random);
}

void append_uuid(std::string& out, const Uuid& id) {
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

void append_utc(std::string& out, std::int64_t ms) {
  append_civil(out, ms, true);
  out += 'Z';
}

void append_local(std::string& out, std::int64_t ms, std::int64_t offset_ms) {
  append_civil(out, ms + offset_ms, false);
  const std::int64_t minutes = (offset_ms < 0 ? -offset_ms : offset_ms) / (60 * second_ms);
  char text[6] = {offset_ms < 0 ? '-' : '+'};
  put_digits(text + 1, static_cast<unsigned>(minutes / 60), 2);
  text[3] = ':';
  put_digits(text + 4, static_cast<unsigned>(minutes % 60), 2);
  out.append(text, sizeof text);
}

void append_date(std::string& out, std::int64_t days) {
  char text[10];
  put_date(text, days);
  out.append(text, sizeof text);
}

std::string& Members::raw(std::string_view name) {
  out_ += first_ ? "\"" : ",\"";
  first_ = false;
  out_ += name;
  out_ += "\":";
  return out_;
}

Members& Members::text(std::string_view name, std::string_view value) {
  raw(name) += '"';
  out_ += value;
  out_ += '"';
  return *this;
}

Members& Members::number(std::string_view name, std::int64_t value) {
  raw(name) += std::to_string(value);
  return *this;
}

Members& Members::decimal(std::string_view name, std::int64_t units, int scale) {
  append_decimal(raw(name), units, scale);
  return *this;
}

Members& Members::decimal_text(std::string_view name, std::int64_t units, int scale) {
  append_decimal(raw(name) += '"', units, scale);
  out_ += '"';
  return *this;
}

Members& Members::boolean(std::string_view name, bool value) { return json(name, value ? "true" : "false"); }

Members& Members::null(std::string_view name) { return json(name, "null"); }

Members& Members::uuid(std::string_view name, const Uuid& value) {
  append_uuid(raw(name) += '"', value);
  out_ += '"';
  return *this;
}

Members& Members::utc(std::string_view name, std::int64_t ms) {
  append_utc(raw(name) += '"', ms);
  out_ += '"';
  return *this;
}

Members& Members::local(std::string_view name, std::int64_t ms, std::int64_t offset_ms) {
  append_local(raw(name) += '"', ms, offset_ms);
  out_ += '"';
  return *this;
}

Members& Members::date(std::string_view name, std::int64_t days) {
  append_date(raw(name) += '"', days);
  out_ += '"';
  return *this;
}

Members& Members::json(std::string_view name, std::string_view value) {
  raw(name) += value;
  return *this;
}

void begin_event(std::string& out, const Uuid& id, std::string_view source, std::string_view type, std::int64_t time_ms,
                 std::string_view specversion) {
  out += R"({"specversion":")";
  out += specversion;
  out += R"(","id":")";
  append_uuid(out, id);
  out += R"(","source":")";
  out += source;
  out += R"(","type":")";
  out += type;
  out += R"(","time":")";
  append_utc(out, time_ms);
  out += R"(","data":)";
}

}  // namespace daybook::simulation
