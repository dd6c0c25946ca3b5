// CloudEvents in JSON, formatted straight into a buffer: a DOM for each would cost several times as much. The texts
// that are written here need no escapes.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "producer/random.h"

namespace daybook::simulation {

struct Uuid {
  std::uint64_t high = 0;
  std::uint64_t low = 0;
};
inline Uuid random_uuid(Random& random) {
  const std::uint64_t high = random.next();
  return {high, random.next()};
}

// A UUID that follows from a seed, a kind of entity and its number.
Uuid entity_uuid(std::uint64_t seed, std::uint64_t kind, std::uint64_t number);

void append_uuid(std::string& out, const Uuid& id);  // as a random UUID (version 4), of any 128 bits
void append_utc(std::string& out, std::int64_t ms);  // "2026-11-23T18:29:00.123Z"
void append_local(std::string& out, std::int64_t ms, std::int64_t offset_ms);  // "2026-11-23T18:29:00+03:00"
void append_date(std::string& out, std::int64_t days);                         // since 1970: "2026-11-23"

// The members of an object, one after the other; the braces are written by it, too.
class Members {
 public:
  explicit Members(std::string& out) : out_(out) { out_ += '{'; }
  Members(const Members&) = delete;
  Members& operator=(const Members&) = delete;

  Members& text(std::string_view name, std::string_view value);
  Members& number(std::string_view name, std::int64_t value);
  Members& decimal(std::string_view name, std::int64_t units, int scale);       // 7.25 is 725 with scale 2
  Members& decimal_text(std::string_view name, std::int64_t units, int scale);  // the same as a string
  Members& boolean(std::string_view name, bool value);
  Members& null(std::string_view name);
  Members& uuid(std::string_view name, const Uuid& value);
  Members& utc(std::string_view name, std::int64_t ms);
  Members& local(std::string_view name, std::int64_t ms, std::int64_t offset_ms);
  Members& date(std::string_view name, std::int64_t days);
  Members& json(std::string_view name, std::string_view value);  // as it stands
  std::string& raw(std::string_view name);                       // the value is for the caller to append
  void end() { out_ += '}'; }

 private:
  std::string& out_;
  bool first_ = true;
};

// The envelope, up to the member `data`, whose object is for the caller to append; then end_event.
void begin_event(std::string& out, const Uuid& id, std::string_view source, std::string_view type, std::int64_t time_ms,
                 std::string_view specversion = "1.0");
inline void end_event(std::string& out) { out += '}'; }

}  // namespace daybook::simulation
