// Values that are no whole sums, without a database: what the decoder and verify's own judgement read, sketches and
// their stated errors, and batches that are taken apart. tests/integration/values_test.cpp has the same on PostgreSQL.
#include "verify/values.h"

#include <absl/time/time.h>
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <random>
#include <set>

#include "core/civil_time.h"
#include "core/decimal.h"
#include "core/sketch.h"
#include "tests/support/case_file.h"
#include "tests/support/random_values.h"
#include "tests/support/recomputed.h"
#include "tests/support/referee.h"
#include "verify/gathered.h"
#include "worker/fold/batch.h"

using namespace daybook;
using namespace daybook::test;

namespace {

// All that a commit would be given.
std::string text_of(const ViewDefinition& view, const RowChanges& rows) {
  std::string text;
  const auto number = [&text](const std::optional<std::int64_t>& n) { text += n ? " " + std::to_string(*n) : " -"; };
  for (std::size_t row = 0; row < rows.keys.size(); ++row) {
    for (const std::string& part : key_text(view, rows.keys[row])) text += part + "|";
    for (const auto& changes : rows.changes) number(changes[row]);
    for (const MergedColumn& merged : rows.merged) {
      text += " /";
      if (!merged.numbers.empty() && merged.texts.empty()) number(merged.numbers[row]);
      if (!merged.texts.empty()) text += " " + merged.texts[row].value_or("-");
      if (!merged.orders.empty())
        text += merged.orders[row] ? " at " + std::to_string(digest(0, *merged.orders[row])) : "";
      if (!merged.sketches.empty()) {
        // One entry a bucket or register, in their order: the same sketch has the same bytes.
        const int bits =
            view.columns[merged.column].aggregate == Aggregate::quantile ? sketch::count_bits : sketch::rank_bits;
        const std::vector<std::int64_t>& entries = merged.sketches[row];
        for (std::size_t i = 0; i < entries.size(); ++i) {
          REQUIRE((i == 0 || entries[i - 1] >> bits < entries[i] >> bits));
          number(entries[i]);
        }
      }
    }
    text += "\n";
  }
  return text;
}

struct Decoded {
  DecodedEvent event;
  std::int64_t offset;
};

std::vector<Decoded> decoded(const ViewDefinition& view, std::uint32_t seed, int events) {
  Decoder decoder(view, {1, 2, 3});
  const std::vector<std::string> topics = view.topics();
  std::vector<Decoded> all;
  std::int64_t offset = 0;
  for (const auto& [topic, value] : random_value_events(seed, events, false)) {
    Record record;
    record.topic = static_cast<std::uint32_t>(std::find(topics.begin(), topics.end(), topic) - topics.begin());
    record.offset = offset++;
    record.value = value;
    record.timestamp_ms = 1'790'000'000'000;
    DecodedEvent event;
    decoder.decode(record, event);
    if (event.outcome == Outcome::contributes) all.push_back({event, record.offset});
  }
  return all;
}

std::unique_ptr<Batch> folded(const ViewDefinition& view, const std::vector<Decoded>& events) {
  auto batch = std::make_unique<Batch>(view);
  for (const Decoded& d : events) batch->add(d.event, {0, d.offset});
  return batch;
}

}  // namespace

TEST_CASE("the decoder and verify read the same values") {
  for (const CaseFile& test : load_cases(DAYBOOK_SOURCE_DIR "/tests/cases/values")) {
    CAPTURE(test.name);
    Referee referee(test.view);
    const std::vector<std::string> topics = test.view.topics();
    for (const auto& [partition, records] : test.log) {
      for (const auto& [offset, record] : records) {
        Message message;
        message.topic =
            static_cast<std::size_t>(std::find(topics.begin(), topics.end(), partition.topic) - topics.begin());
        message.timestamp_ms = record.timestamp_ms;
        message.value = *record.value;
        CHECK(referee.disagreement(message) == "");
      }
    }
    // The rows of the recomputation are those of the case; what PostgreSQL alone refuses is a dead letter of its own.
    std::vector<DeadLetter> letters;
    for (const ExpectedDeadLetter& expected : test.dead_letters) {
      DeadLetter& letter = letters.emplace_back();
      letter.partition = expected.partition;
      letter.offset = expected.offset;
      letter.rejection.code = expected.code;
    }
    verify::Recomputation recomputation(test.view);
    recompute(recomputation, test.log, letters);
    CHECK(text_of(TextRows(recomputation.text_rows())) == text_of(test.texts));
  }
  const ViewDefinition view = view_of_all_values();
  Referee referee(view);
  int contributed = 0;
  for (const auto& [topic, value] : random_value_events(11, 3'000, false)) {
    Message message;
    message.topic = topic == "a.events" ? 0 : 1;
    message.value = value;
    const std::string found = referee.disagreement(message);
    CHECK_MESSAGE(found.empty(), value, "\n", found);
    contributed += referee.contributed() ? 1 : 0;
  }
  CHECK(contributed > 2'000);
}

TEST_CASE("decimals, digit by digit, as the decoder and verify read them") {
  std::mt19937 random(20261125);
  MESSAGE("seed 20261125");
  const char* const pieces[] = {"0", "1", "9",  "00",        "5",   ".",   "e",   "E",
                                "-", "+", "10", "999999999", "e-2", ".25", "e17", "0.0"};
  int read = 0;
  for (int i = 0; i < 200'000; ++i) {
    std::string text;
    for (std::uint32_t n = 1 + random() % 5; n > 0; --n) text += pieces[random() % std::size(pieces)];
    const int scale = 1 + static_cast<int>(random() % 9);
    const std::optional<std::int64_t> by_worker = parse_decimal(text, scale);
    const std::optional<std::int64_t> by_verify = verify::scaled_of(text, scale);
    // A number beyond a double is no JSON for verify's reader; it has too many digits, too.
    REQUIRE_MESSAGE(by_worker == by_verify, text, " of scale ", scale);
    read += by_worker ? 1 : 0;
    if (by_worker) REQUIRE(decimal_text(*by_worker, scale) == verify::number_text(*by_worker, scale));
  }
  CHECK(read > 5'000);
}

TEST_CASE("hours of any zone and minutes begin where verify says") {
  std::mt19937_64 random(8);
  MESSAGE("seed 8");
  for (const char* name : {"Asia/Kathmandu", "Europe/Lisbon", "America/St_Johns", "Australia/Lord_Howe",
                           "Africa/Monrovia", "Pacific/Apia", "UTC"}) {
    CAPTURE(name);
    HourZone hours(name);
    absl::TimeZone zone;
    REQUIRE(absl::LoadTimeZone(name, &zone));
    // Around each change of the zone's offset, and anywhere from 1880 to 2040.
    std::vector<std::int64_t> begins;
    absl::TimeZone::CivilTransition change;
    for (absl::Time at = absl::FromUnixSeconds(-2'840'000'000);
         zone.NextTransition(at, &change) && change.to.year() < 2040;) {
      at = zone.At(change.to).trans;
      begins.push_back(absl::ToUnixSeconds(at) - 5'000);
    }
    for (int i = 0; i < 500; ++i)
      begins.push_back(-2'840'000'000 + static_cast<std::int64_t>(random() % 5'000'000'000));
    for (int i = 0; i < 40'000; ++i) {
      const std::int64_t instant =
          begins[static_cast<std::size_t>(i) / 60 % begins.size()] + static_cast<std::int64_t>(random() % 10'000);
      const std::string text = utc_text(instant);
      CAPTURE(text);
      const auto printed = [](std::int64_t begin) { return utc_text(begin).replace(10, 1, " ").replace(19, 1, "+00"); };
      REQUIRE(printed(hours.begin_of_hour(instant).value()) ==
              verify::begin_of(verify::instant_of(text).value(), KeyType::hour, zone).value());
      REQUIRE(printed(begin_of_minute(instant).value()) ==
              verify::begin_of(verify::instant_of(text).value(), KeyType::minute, zone).value());
    }
  }
}

TEST_CASE("a bucket's middle is within 1/128 of each value in it, and both programs put a value into the same one") {
  std::mt19937_64 random(3);
  std::vector<std::int64_t> values = {0, 1, 63, 64, 127, 128, 129, 255, 256, INT64_MAX, INT64_MAX - 1, -INT64_MAX};
  for (int i = 0; i < 100'000; ++i) values.push_back(static_cast<std::int64_t>(random()) >> (random() % 63));
  for (std::int64_t value : values) {
    if (value == INT64_MIN) continue;
    const std::int64_t bucket = sketch::bucket_of(value);
    REQUIRE(bucket == verify::bucket_of(value));
    REQUIRE(sketch::bucket_of(-value) == -bucket);
    verify::Gathered one;
    one.take(Aggregate::quantile, bucket, {});
    const std::int64_t middle = verify::quantile_of(one, 500'000);
    const long double error = std::fabs(static_cast<long double>(middle) - static_cast<long double>(value));
    REQUIRE(error * 128 <= std::fabs(static_cast<long double>(value)));
    if (std::abs(value) < 128) REQUIRE(middle == value);
  }
  std::sort(values.begin(), values.end());
  for (std::size_t i = 1; i < values.size(); ++i)
    REQUIRE((values[i - 1] == INT64_MIN || sketch::bucket_of(values[i - 1]) <= sketch::bucket_of(values[i])));
}

TEST_CASE("a quantile is within 1 % of the value of its rank") {
  std::mt19937_64 random(4);
  for (int round = 0; round < 200; ++round) {
    CAPTURE(round);
    std::vector<std::int64_t> values(1 + random() % 2'000);
    const std::uint64_t shift = 1 + random() % 60;
    verify::Gathered sketch;
    for (std::int64_t& value : values) {
      value = static_cast<std::int64_t>(random()) >> (shift + random() % 3);
      sketch.take(Aggregate::quantile, sketch::bucket_of(value), {});
    }
    std::sort(values.begin(), values.end());
    for (const int millionths : {1, 100'000, 500'000, 950'000, 990'000, 999'999}) {
      const std::int64_t exact = values[static_cast<std::size_t>(millionths) * (values.size() - 1) / 1'000'000];
      const std::int64_t found = verify::quantile_of(sketch, millionths);
      REQUIRE(std::fabs(static_cast<double>(found) - static_cast<double>(exact)) <=
              0.01 * std::fabs(static_cast<double>(exact)));
    }
  }
}

TEST_CASE("distinct values are counted within the stated error") {
  std::mt19937_64 random(6);
  double squares = 0;
  int counts = 0;
  for (const int values : {0, 1, 2, 3, 10, 50, 100}) {
    // Few are nearly always counted as they are.
    verify::Gathered sketch;
    for (int i = 0; i < values; ++i)
      sketch.take(Aggregate::distinct, verify::register_of("s" + std::to_string(random())), {});
    CHECK(std::abs(verify::distinct_of(sketch) - values) <= 1 + values / 20);
  }
  for (int round = 0; round < 60; ++round) {
    const int values = 1'000 << (round % 7);
    verify::Gathered sketch;
    for (int i = 0; i < values; ++i)
      sketch.take(Aggregate::distinct, verify::register_of("s" + std::to_string(random())), {});
    const double error = static_cast<double>(verify::distinct_of(sketch)) / values - 1;
    CHECK(std::fabs(error) < 5 * 0.01625);
    squares += error * error;
    ++counts;
  }
  const double standard_error = std::sqrt(squares / counts);
  MESSAGE("standard error ", standard_error);
  CHECK(standard_error < 0.02);
}

TEST_CASE("a batch of any order, with events taken out and in two halves, folds to what its events say") {
  const ViewDefinition view = view_of_all_values();
  for (std::uint32_t seed = 1; seed <= 40; ++seed) {
    CAPTURE(seed);
    std::mt19937 random(seed);
    std::vector<Decoded> events = decoded(view, seed, 120);
    const std::string whole = text_of(view, folded(view, events)->row_changes());
    std::shuffle(events.begin(), events.end(), random);
    const std::unique_ptr<Batch> folded_batch = folded(view, events);
    Batch& batch = *folded_batch;
    CHECK(text_of(view, batch.row_changes()) == whole);

    std::vector<Fingerprint> out;
    std::vector<Decoded> kept;
    for (const Decoded& d : events) {
      if (random() % 3 == 0) {
        out.push_back(d.event.fingerprint);
      } else {
        kept.push_back(d);
      }
    }
    CHECK(batch.drop(out) == out.size());
    CHECK(text_of(view, batch.row_changes()) == text_of(view, folded(view, kept)->row_changes()));

    const std::size_t half = random() % (kept.size() + 1);
    Batch front(view);
    batch.cover({"a.events", 0}, {0, 1'000, 0});
    front.take_front(batch, half);
    const auto middle = kept.begin() + static_cast<std::ptrdiff_t>(half);
    CHECK(text_of(view, front.row_changes()) == text_of(view, folded(view, {kept.begin(), middle})->row_changes()));
    CHECK(text_of(view, batch.row_changes()) == text_of(view, folded(view, {middle, kept.end()})->row_changes()));
  }
}
