// Decimals from their text: exact, or refused.
#include "core/decimal.h"

#include <doctest/doctest.h>

#include <random>

#include "core/civil_time.h"
#include "worker/decode/json_event.h"

namespace daybook {
namespace {

TEST_CASE("a decimal is read exactly or not at all") {
  const auto read = [](std::string_view text, int scale) {
    const std::optional<std::int64_t> value = parse_decimal(text, scale);
    return value ? decimal_text(*value, scale) : std::string("none");
  };
  CHECK(read("7.25", 2) == "7.25");
  CHECK(read("7.250000000000000000000000", 2) == "7.25");
  CHECK(read("7.255", 2) == "none");
  CHECK(read("-0.10", 2) == "-0.10");
  CHECK(read("-0", 2) == "0.00");
  CHECK(read("0.001", 3) == "0.001");
  CHECK(read("12e-2", 2) == "0.12");
  CHECK(read("1.2e1", 1) == "12.0");
  CHECK(read("1E3", 2) == "1000.00");
  CHECK(read("0e999999999999", 2) == "0.00");
  CHECK(read("1e-400", 9) == "none");
  CHECK(read("123456789.123456789", 9) == "123456789.123456789");
  CHECK(read("1234567890.123456789", 9) == "none");
  CHECK(read("9999999999999999.99", 2) == "9999999999999999.99");
  CHECK(read("10000000000000000", 2) == "none");
  CHECK(read("0.10000000000000000001", 2) == "none");
  CHECK(read("000", 2) == "none");
  for (const char* wrong : {"", "-", ".5", "5.", "+1", "1e", "1e+", " 1", "1 ", "0x1", "01", "1.2.3", "NaN"})
    CHECK(read(wrong, 2) == "none");
  std::mt19937_64 random(17);
  for (int i = 0; i < 10'000; ++i) {
    const int scale = static_cast<int>(random() % 10);
    const auto value = static_cast<std::int64_t>(random() % 1'000'000'000'000'000'000U) >> (random() % 60);
    const std::string text = decimal_text(random() % 2 == 0 ? value : -value, scale);
    CHECK(read(text, scale) == text);
  }
}

TEST_CASE("a date-time has microseconds") {
  const auto text = [](std::string_view given) {
    const auto read = parse_microseconds(given);
    return read ? microseconds_text(*read) : std::string("none");
  };
  CHECK(text("2026-11-23T18:29:00.5+05:45") == "2026-11-23T12:44:00.500000Z");
  CHECK(text("1969-12-31T23:59:59.9999999Z") == "1969-12-31T23:59:59.999999Z");
  CHECK(text("0001-01-01T00:00:00Z") == "0001-01-01T00:00:00.000000Z");
  CHECK(text("2026-06-30T23:59:60.25Z") == "2026-06-30T23:59:59.250000Z");
  CHECK(text("2026-11-23T18:29:00") == "none");
  CHECK(text("0001-01-01T00:00:00+00:01") == "none");
  CHECK(text("9999-12-31T23:59:59-00:01") == "none");
}

TEST_CASE("a member's text is what was written") {
  JsonEvent event;
  const auto raw = [&event](std::string_view document, const char* pointer) {
    Record record;
    record.value = document;
    REQUIRE(!event.read_json(record));
    REQUIRE(!event.read_envelope(record));
    return std::string(event.raw(MemberPath(*parse_json_pointer(pointer))).value_or("none"));
  };
  const std::string start = R"({"specversion":"1.0","id":"1","source":"/s","type":"t","data": {"a": [1, 2.50 ,)";
  const std::string document = start + R"({"b\u0063" : 0.1000000000000000055511 }], "text":"x\u0020", "n":-1E5})" + "}";
  CHECK(raw(document, "/data/a/1") == "2.50");
  CHECK(raw(document, "/data/a/2/bc") == "0.1000000000000000055511");
  CHECK(raw(document, "/data/a/2") == R"({"b\u0063" : 0.1000000000000000055511 })");
  CHECK(raw(document, "/data/text") == R"("x\u0020")");
  CHECK(raw(document, "/data/n") == "-1E5");
  CHECK(raw(document, "/id") == "\"1\"");
  CHECK(raw(document, "/data/a/3") == "none");
  CHECK(raw(document, "/data/n/x") == "none");
  CHECK(raw(document, "/data/a/01") == "none");
}

}  // namespace
}  // namespace daybook
