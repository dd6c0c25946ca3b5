// Civil days and instants, held against abseil's own reading and arithmetic.
#include "core/civil_time.h"

#include <absl/time/civil_time.h>
#include <absl/time/time.h>
#include <doctest/doctest.h>

#include <random>

#include "core/error.h"

namespace daybook {
namespace {

const absl::CivilDay epoch(1970, 1, 1);

absl::TimeZone zone_named(const std::string& name) {
  absl::TimeZone zone;
  REQUIRE_MESSAGE(absl::LoadTimeZone(name, &zone), name);
  return zone;
}

CivilDay expected_day(std::int64_t instant, const absl::TimeZone& zone) {
  return static_cast<CivilDay>(absl::ToCivilDay(absl::FromUnixSeconds(instant), zone) - epoch);
}

// The day of an instant as written, in a zone, as text; "none" for what is no instant or no day.
std::string day(std::string_view instant, const std::string& zone_name) {
  const std::optional<std::int64_t> seconds = parse_instant(instant);
  if (!seconds) return "none";
  const std::optional<CivilDay> found = DayZone(zone_name).day_of(*seconds);
  return found ? to_string(*found) : "none";
}

TEST_CASE("every day of years 1 to 9999") {
  absl::CivilDay civil(1, 1, 1);
  CivilDay number = static_cast<CivilDay>(civil - epoch);
  bool equal = true;
  for (; civil.year() < 10000; ++civil, ++number) {
    equal = equal && civil_day(static_cast<int>(civil.year()), civil.month(), civil.day()) == number;
    if (number % 31 == 0)
      equal = equal &&
              to_string(number) == absl::FormatCivilTime(civil).insert(0, 4 - std::to_string(civil.year()).size(), '0');
    if (number % 31 == 0) equal = equal && parse_date(to_string(number)) == number;
    if (!equal) FAIL(absl::FormatCivilTime(civil));
  }
  CHECK(to_string(number - 1) == "9999-12-31");
}

TEST_CASE("dates") {
  CHECK(parse_date("1970-01-01") == 0);
  CHECK(parse_date("1969-12-31") == -1);
  CHECK(parse_date("0001-01-01") == civil_day(1, 1, 1));
  CHECK(parse_date("9999-12-31") == civil_day(9999, 12, 31));
  CHECK(parse_date("2024-02-29") == civil_day(2024, 2, 29));
  CHECK(parse_date("2000-02-29").has_value());
  for (const char* text : {"",
                           "2026",
                           "2026-1-1",
                           "2026-11-2",
                           "2026-11-023",
                           "26-11-23",
                           "2026/11/23",
                           "2026-11-23 ",
                           " 2026-11-23",
                           "20261123",
                           "2026-11-23T",
                           "2026-11-2a",
                           "2026-11--3",
                           "2026-11-+3",
                           "+026-11-23",
                           "-026-11-23",
                           "0000-01-01",
                           "0000-12-31",
                           "10000-01-01",
                           "2026-00-01",
                           "2026-13-01",
                           "2026-01-00",
                           "2026-01-32",
                           "2026-04-31",
                           "2026-02-29",
                           "2023-02-29",
                           "1900-02-29",
                           "2100-02-29",
                           "2026-11-2\xc2",
                           "２０２６-11-23",
                           "2026‑11-23",
                           "0x26-11-23",
                           "2026-W47-1",
                           "2026-327"}) {
    CHECK_MESSAGE(!parse_date(text).has_value(), text);
  }
  CHECK(!parse_date(std::string_view("2026-11-23\0", 11)).has_value());
  for (const int year : {0, -1, 10000, INT32_MAX, INT32_MIN}) CHECK(!civil_day(year, 1, 1).has_value());
  CHECK(!civil_day(2026, INT32_MAX, 1).has_value());
  CHECK(!civil_day(2026, 1, INT32_MIN).has_value());
}

TEST_CASE("instants as written") {
  const std::int64_t noon = 1795435740;  // 2026-11-23T12:09:00Z
  CHECK(parse_instant("2026-11-23T12:09:00Z") == noon);
  CHECK(parse_instant("2026-11-23t12:09:00z") == noon);
  CHECK(parse_instant("2026-11-23 12:09:00Z") == noon);
  CHECK(parse_instant("2026-11-23T12:09:00.5Z") == noon);
  CHECK(parse_instant("2026-11-23T12:09:00.999999999999999999999Z") == noon);
  CHECK(parse_instant("2026-11-23T12:09:00+00:00") == noon);
  CHECK(parse_instant("2026-11-23T12:09:00-00:00") == noon);
  CHECK(parse_instant("2026-11-23T17:54:00+05:45") == noon);
  CHECK(parse_instant("2026-11-23T08:39:00.25-03:30") == noon);
  CHECK(parse_instant("2026-11-24T12:08:00+23:59") == noon);
  CHECK(parse_instant("2026-11-22T12:10:00-23:59") == noon);
  CHECK(parse_instant("1970-01-01T00:00:00Z") == 0);
  CHECK(parse_instant("1969-12-31T23:59:59.999Z") == -1);  // floor, not towards zero
  CHECK(parse_instant("0001-01-01T00:00:00Z") == -62135596800);
  CHECK(parse_instant("9999-12-31T23:59:59Z") == 253402300799);
  // A leap second is the second before it.
  CHECK(parse_instant("2016-12-31T23:59:60Z") == parse_instant("2016-12-31T23:59:59Z"));
  CHECK(parse_instant("2016-12-31T23:59:60.9Z") == parse_instant("2016-12-31T23:59:59Z"));
  CHECK(parse_instant("2017-01-01T05:44:60+05:45") == parse_instant("2016-12-31T23:59:59Z"));
}

TEST_CASE("what is no instant") {
  for (const char* text : {"",
                           "Z",
                           "2026-11-23",
                           "2026-11-23T12:09:00",
                           "2026-11-23T12:09:00.5",
                           "2026-11-23T12:09Z",
                           "2026-11-23T12Z",
                           "2026-11-23TZ",
                           "2026-11-23T12:09:00.Z",
                           "2026-11-23T12:09:00,5Z",
                           "2026-11-23T12:09:00.5",
                           "2026-11-23T12:09:00.",
                           "2026-11-23T12:09:00..5Z",
                           "2026-11-23T24:00:00Z",
                           "2026-11-23T12:60:00Z",
                           "2026-11-23T12:09:61Z",
                           "2026-11-23T12:09:99Z",
                           "2026-11-23T-1:09:00Z",
                           "2026-11-23T+2:09:00Z",
                           "2026-11-23T 2:09:00Z",
                           "2026-11-23T1a:09:00Z",
                           "2026-11-23T12-09-00Z",
                           "2026-11-23_12:09:00Z",
                           "2026-11-23T12:09:00+0545",
                           "2026-11-23T12:09:00+05",
                           "2026-11-23T12:09:00+5:45",
                           "2026-11-23T12:09:00+05:45Z",
                           "2026-11-23T12:09:00+05:60",
                           "2026-11-23T12:09:00+24:00",
                           "2026-11-23T12:09:00+05-45",
                           "2026-11-23T12:09:00+05:4",
                           "2026-11-23T12:09:00+05:450",
                           "2026-11-23T12:09:00 +05:45",
                           "2026-11-23T12:09:00+-5:45",
                           "2026-11-23T12:09:00\xe2\x88\x92"
                           "05:45",
                           "2026-11-23T12:09:00ZZ",
                           "2026-11-23T12:09:00Z ",
                           " 2026-11-23T12:09:00Z",
                           "2026-11-23T12:09:00UTC",
                           "2026-11-23T12:09:00[UTC]",
                           "2026-11-23T12:09:00Z[UTC]",
                           "2026-02-29T12:09:00Z",
                           "0000-12-31T23:59:59Z",
                           "0000-12-31T23:59:59-00:01",
                           "10000-01-01T00:00:00Z",
                           "+2026-11-23T12:09:00Z",
                           "-2026-11-23T12:09:00Z",
                           "20261123T120900Z",
                           "1795435740",
                           "2026-11-23T12:09:00.5a",
                           "now",
                           "Mon, 23 Nov 2026 12:09:00 GMT"}) {
    CHECK_MESSAGE(!parse_instant(text).has_value(), text);
  }
  CHECK(!parse_instant(std::string_view("2026-11-23T12:09:00Z\0", 21)).has_value());
  CHECK(!parse_instant(std::string_view("2026-11-23T12:09:00\0Z", 21)).has_value());
}

TEST_CASE("instants are read as abseil reads them") {
  std::mt19937_64 random(3339);
  for (int i = 0; i < 50'000; ++i) {
    const auto seconds = std::uniform_int_distribution<std::int64_t>(-62135510400, 253402214399)(random);
    const int offset_minutes = std::uniform_int_distribution<int>(-1439, 1439)(random);
    const absl::CivilSecond local =
        absl::ToCivilSecond(absl::FromUnixSeconds(seconds + offset_minutes * 60), absl::UTCTimeZone());
    char text[64];
    const int length = std::snprintf(
        text, sizeof text, "%04d-%02d-%02dT%02d:%02d:%02d%s%c%02d:%02d", static_cast<int>(local.year()), local.month(),
        local.day(), local.hour(), local.minute(), local.second(), i % 2 == 0 ? "" : ".123456",
        offset_minutes < 0 ? '-' : '+', std::abs(offset_minutes) / 60, std::abs(offset_minutes) % 60);
    absl::Time expected;
    std::string error;
    REQUIRE_MESSAGE(absl::ParseTime(absl::RFC3339_full, text, &expected, &error), text, error);
    REQUIRE_MESSAGE(parse_instant({text, static_cast<std::size_t>(length)}) == absl::ToUnixSeconds(expected), text);
  }
}

TEST_CASE("broken instants never read beyond the text") {
  std::mt19937 random(7);
  const std::string whole = "2026-11-23T12:09:00.123+05:45";
  for (int i = 0; i < 100'000; ++i) {
    std::string text = whole.substr(0, random() % (whole.size() + 1));
    for (int changes = random() % 3; changes > 0 && !text.empty(); --changes)
      text[random() % text.size()] = "0123456789:-+.TZ \xff"[random() % 18];
    const std::vector<char> exact(text.begin(), text.end());  // no terminator, so that a sanitizer sees a step beyond
    if (const auto read = parse_instant({exact.data(), exact.size()})) REQUIRE(text.size() >= 20);
    if (const auto read = parse_date({exact.data(), exact.size()})) REQUIRE(to_string(*read) == text);
  }
}

TEST_CASE("days of a zone, known by hand") {
  // Daylight saving begins and ends in New York: the day has 23 and 25 hours.
  CHECK(day("2013-03-10T04:59:59Z", "America/New_York") == "2013-03-09");
  CHECK(day("2013-03-10T05:00:00Z", "America/New_York") == "2013-03-10");
  CHECK(day("2013-03-11T03:59:59Z", "America/New_York") == "2013-03-10");
  CHECK(day("2013-03-11T04:00:00Z", "America/New_York") == "2013-03-11");
  CHECK(day("2013-11-03T03:59:59Z", "America/New_York") == "2013-11-02");
  CHECK(day("2013-11-03T04:00:00Z", "America/New_York") == "2013-11-03");
  CHECK(day("2013-11-04T04:59:59Z", "America/New_York") == "2013-11-03");
  CHECK(day("2013-11-04T05:00:00Z", "America/New_York") == "2013-11-04");
  CHECK(day("2026-03-08T04:59:59Z", "America/New_York") == "2026-03-07");
  CHECK(day("2026-03-09T03:59:59Z", "America/New_York") == "2026-03-08");
  CHECK(day("2026-11-01T04:00:00Z", "America/New_York") == "2026-11-01");
  CHECK(day("2026-11-02T04:59:59Z", "America/New_York") == "2026-11-01");
  CHECK(day("2026-11-02T05:00:00Z", "America/New_York") == "2026-11-02");
  // Samoa had no 30 December 2011.
  CHECK(day("2011-12-30T09:59:59Z", "Pacific/Apia") == "2011-12-29");
  CHECK(day("2011-12-30T10:00:00Z", "Pacific/Apia") == "2011-12-31");
  // Midnight at 18:15 UTC.
  CHECK(day("2026-11-23T18:14:59Z", "Asia/Kathmandu") == "2026-11-23");
  CHECK(day("2026-11-23T18:15:00Z", "Asia/Kathmandu") == "2026-11-24");
  CHECK(day("2026-11-23T23:59:59+05:45", "Asia/Kathmandu") == "2026-11-23");
  CHECK(day("2026-11-23T20:59:59Z", "Africa/Nairobi") == "2026-11-23");
  CHECK(day("2026-11-23T21:00:00Z", "Africa/Nairobi") == "2026-11-24");
  CHECK(day("2024-02-29T12:00:00+03:00", "Africa/Nairobi") == "2024-02-29");
  CHECK(day("2024-02-29T23:00:00Z", "Africa/Nairobi") == "2024-03-01");
  CHECK(day("2016-12-31T23:59:60Z", "UTC") == "2016-12-31");
  // The ends of the calendar.
  CHECK(day("0001-01-01T00:00:00Z", "UTC") == "0001-01-01");
  CHECK(day("0001-01-01T00:00:00+00:01", "UTC") == "none");
  CHECK(day("0001-01-01T00:00:00Z", "America/New_York") == "none");
  CHECK(day("9999-12-31T23:59:59Z", "UTC") == "9999-12-31");
  CHECK(day("9999-12-31T23:59:59-00:01", "UTC") == "none");
  CHECK(day("9999-12-31T23:59:59Z", "Africa/Nairobi") == "none");
  CHECK(day("9999-12-31T23:59:59-03:00", "America/New_York") == "9999-12-31");
}

TEST_CASE("an hour that leaves its day for a minute") {
  // Clocks went back from 00:01 to 23:01: 02:30 UTC was midnight, 02:31 the evening before.
  DayZone zone("America/St_Johns");
  const std::int64_t hour = *parse_instant("2007-11-04T02:00:00Z");
  for (const int minute : {0, 59, 29, 31, 30, 31, 0}) {
    const std::optional<CivilDay> found = zone.day_of(hour + minute * 60);
    REQUIRE(found.has_value());
    CHECK_MESSAGE(to_string(*found) == (minute == 30 ? "2007-11-04" : "2007-11-03"), minute);
  }
}

const char* const zones[] = {"UTC",
                             "Africa/Nairobi",
                             "Asia/Kathmandu",
                             "America/New_York",
                             "Pacific/Apia",
                             "America/St_Johns",
                             "Australia/Lord_Howe",
                             "Antarctica/Troll",
                             "Asia/Kolkata",
                             "Asia/Tehran",
                             "Europe/Dublin",
                             "Pacific/Kiritimati",
                             "Pacific/Kwajalein",
                             "America/Sao_Paulo",
                             "Africa/Casablanca",
                             "Asia/Pyongyang",
                             "Africa/Monrovia",
                             "Etc/GMT+12"};

TEST_CASE("random instants fall on abseil's days, whatever the cache holds") {
  std::mt19937_64 random(20130310);
  std::uniform_int_distribution<std::int64_t> ever(-62135596800 + 2 * 86400, 253402300799 - 2 * 86400);
  std::uniform_int_distribution<std::int64_t> lately(0, 2'000'000'000);
  std::uniform_int_distribution<std::int64_t> near(-3 * 86400, 3 * 86400);
  for (const char* name : zones) {
    const absl::TimeZone zone = zone_named(name);
    DayZone days(name);
    for (int i = 0; i < 4'000; ++i) {
      const std::int64_t start = i % 2 == 0 ? ever(random) : lately(random);
      for (const std::int64_t instant : {start, start + near(random), start + near(random) / 100, start}) {
        REQUIRE_MESSAGE(days.day_of(instant) == expected_day(instant, zone), name, " ", instant);
      }
    }
  }
}

TEST_CASE("around every change of the clocks from 1850 to 2040") {
  for (const char* name : zones) {
    const absl::TimeZone zone = zone_named(name);
    DayZone days(name);
    absl::Time at = absl::FromCivil(absl::CivilDay(1850, 1, 1), absl::UTCTimeZone());
    const absl::Time end = absl::FromCivil(absl::CivilDay(2040, 1, 1), absl::UTCTimeZone());
    absl::TimeZone::CivilTransition change;
    int changes = 0;
    while (at < end && zone.NextTransition(at, &change)) {
      at = zone.At(change.from).trans;  // `from` is skipped or repeated there
      REQUIRE(++changes < 1000);
      const std::int64_t middle = absl::ToUnixSeconds(at);
      for (std::int64_t instant = middle - 2 * 3600; instant < middle + 2 * 3600; instant += 29) {
        REQUIRE_MESSAGE(days.day_of(instant) == expected_day(instant, zone), name, " ", instant);
      }
      for (const std::int64_t instant : {middle - 1, middle, middle + 1}) {
        REQUIRE_MESSAGE(days.day_of(instant) == expected_day(instant, zone), name, " ", instant);
      }
    }
  }
}

TEST_CASE("instants far out have no day") {
  DayZone days("Africa/Nairobi");
  for (const std::int64_t instant : {INT64_MAX, INT64_MIN, INT64_MAX / 2, INT64_MIN / 2, std::int64_t{253402300800} * 2,
                                     std::int64_t{-62135596800} * 2, std::int64_t{1} << 40, -(std::int64_t{1} << 40)}) {
    CHECK_MESSAGE(!days.day_of(instant).has_value(), instant);
  }
  CHECK(!days.day_of(253402300800).has_value());
  CHECK(!days.day_of(-62135596800 - 3 * 3600).has_value());
  CHECK(days.day_of(0) == 0);
}

TEST_CASE("zones that are not there") {
  for (const char* name : {"Africa/Nairobbery", "africa/nairobi", "America", "../../../etc/passwd"}) {
    CHECK_MESSAGE(!DayZone::exists(name), name);
    CHECK_THROWS_AS(DayZone{name}, StopError);
  }
  for (const char* name : zones) CHECK_MESSAGE(DayZone::exists(name), name);
}

}  // namespace
}  // namespace daybook
