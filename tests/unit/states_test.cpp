// States: what the decoder makes of events, beside verify; and the fold, which takes events out of a batch again.
#include <doctest/doctest.h>

#include <random>

#include "core/definition_reader.h"
#include "tests/support/referee.h"
#include "tests/support/state_text.h"
#include "worker/fold/batch.h"

namespace daybook {
namespace {

using test::Message;
using test::Referee;

ViewDefinition read(const std::string& text) {
  DefinitionOrMistakes read = read_definition(text);
  if (const auto* mistakes = std::get_if<std::vector<DefinitionMistake>>(&read)) FAIL(to_string(mistakes->front()));
  return std::get<ViewDefinition>(std::move(read));
}

ViewDefinition one_column(const std::string& column) {
  return read(R"({"view": "v", "kind": "latest", "key": [{"name": "id", "type": "int"}], "columns": [{"name": "x", )" +
              column + R"(}], "sources": [{"topic": "t", "event": "e", "key": {"id": "/data/id"}, "version": "/data/v",
              "set": {"x": "/data/x"}}]})");
}

std::string event_with(const std::string& x, const std::string& version = "1") {
  return R"({"specversion":"1.0","id":"1","source":"/s","type":"e","data":{"id":1,"v":)" + version + ",\"x\":" + x +
         "}}";
}

// The value that both the worker and verify read; "rejected: CODE"; or how they disagree.
std::string value_in(Referee& referee, const std::string& event) {
  Message message;
  message.value = event;
  message.timestamp_ms = 1'790'000'000'000;
  if (const std::string found = referee.disagreement(message); !found.empty()) return found;
  const DecodedEvent& decoded = referee.decoded();
  if (decoded.outcome == Outcome::rejected) return "rejected: " + decoded.rejection.code;
  const std::string text = test::states_text(referee.view(), decoded);
  return text.substr(text.find(" x ") + 3, text.size() - text.find(" x ") - 4);
}

TEST_CASE("values of each type of column") {
  struct Case {
    const char* column;
    std::vector<std::pair<const char*, const char*>> values;  // JSON, what is read
  };
  const Case cases[] = {
      {R"("type": "text")",
       {{R"("a\"ä")", "a\"ä"}, {R"("")", ""}, {"null", "NULL"}, {"5", "-"}, {R"("\u0000")", "-"}, {"[]", "-"}}},
      {R"("type": "int")",
       {{"2147483647", "2147483647"},
        {"-2147483648", "-2147483648"},
        {"2147483648", "-"},
        {"5.0", "5"},
        {"5.5", "-"},
        {R"("5")", "-"},
        {"true", "-"}}},
      {R"("type": "bigint")",
       {{"9223372036854775807", "9223372036854775807"},
        {"9223372036854775808", "-"},
        {"-9223372036854775808", "-9223372036854775808"},
        {"1e3", "1000"}}},
      {R"("type": "decimal", "scale": 2)",
       {{"7.25", "7.25"},
        {R"("7.25")", "7.25"},
        {"-0.05", "-0.05"},
        {"7.250", "7.25"},
        {"7.251", "-"},
        {"7", "7.00"},
        {"1e2", "100.00"},
        {"0.1000000000000000055511151231257827", "-"},
        {"9999999999999999.99", "9999999999999999.99"},
        {"9999999999999999.999", "-"},
        {"10000000000000000", "-"},
        {"9007199254740993.01", "9007199254740993.01"},
        {R"("1e-1")", "0.10"},
        {R"(" 1")", "-"},
        {R"("")", "-"},
        {"true", "-"},
        {"-0.0", "0.00"}}},
      {R"("type": "boolean")", {{"true", "true"}, {"false", "false"}, {"1", "-"}, {R"("true")", "-"}}},
      {R"("type": "timestamp")",
       {{R"("2026-11-25T10:00:00Z")", "2026-11-25 10:00:00+00"},
        {R"("2026-11-25T10:00:00.1234567+05:45")", "2026-11-25 04:15:00.123456+00"},
        {R"("0001-01-01T00:00:00Z")", "0001-01-01 00:00:00+00"},
        {R"("0001-01-01T00:00:00+01:00")", "-"},
        {R"("9999-12-31T23:59:59.999999Z")", "9999-12-31 23:59:59.999999+00"},
        {R"("2026-11-25T10:00:00")", "-"},
        {R"("1969-12-31T23:59:59.5Z")", "1969-12-31 23:59:59.5+00"},
        {R"("2026-11-25")", "-"},
        {"1790000000", "-"}}},
      {R"("type": "date")",
       {{R"("2026-02-28")", "2026-02-28"}, {R"("2026-02-29")", "-"}, {R"("2026-02-28T00:00:00Z")", "-"}, {"5", "-"}}},
      {R"("type": "uuid")",
       {{R"("0A0B0C0D-0102-0304-0506-0708090A0B0C")", "0a0b0c0d-0102-0304-0506-0708090a0b0c"}, {R"("0a")", "-"}}},
      {R"("type": "json")",
       {{R"({"b":[1,2.50],"a":null})", R"({"a":null,"b":[1e0,25e-1]})"},
        {"false", "false"},
        {R"("x")", R"("x")"},
        {R"({"a":"\u0000"})", "-"},
        {R"({"\u0000":1})", "-"},
        {"0.1000000000000000055", "1000000000000000055e-19"},
        {"null", "NULL"},
        {"[ ]", "[]"},
        {R"("\\u0000")", R"("\\u0000")"}}},
  };
  for (const Case& test : cases) {
    CAPTURE(test.column);
    Referee referee(one_column(test.column));
    for (const auto& [json, expected] : test.values) {
      CAPTURE(json);
      const std::string wanted = std::string(expected) == "-" ? "rejected: member" : "1| 1 x " + std::string(expected);
      CHECK(value_in(referee, event_with(json)) == wanted);
    }
  }
  Referee required(one_column(R"("type": "text", "required": true)"));
  CHECK(value_in(required, event_with("null")) == "rejected: member");
  CHECK(value_in(required, R"({"specversion":"1.0","id":"1","source":"/s","type":"e","data":{"id":1,"v":1}})") ==
        "rejected: member");
}

TEST_CASE("a version is an integer or a date-time") {
  Referee referee(one_column(R"("type": "int")"));
  CHECK(value_in(referee, event_with("5", "-9223372036854775808")) == "1| -9223372036854775808 x 5");
  CHECK(value_in(referee, event_with("5", R"("1970-01-01T00:00:01.5Z")")) == "1| 1500000 x 5");
  for (const char* wrong : {"null", "1.5", R"("7")", "true", R"("2026-11-25")"}) {
    CAPTURE(wrong);
    CHECK(value_in(referee, event_with("5", wrong)) == "rejected: member");
  }
  ViewDefinition bounded = one_column(R"("type": "int")");
  bounded.max_future_seconds = 60;
  Referee strict(bounded);  // the record is of 2026-09-21T14:13:20Z
  CHECK(value_in(strict, event_with("5", R"("2026-09-21T14:14:20.9Z")")) == "1| 1790000060900000 x 5");
  CHECK(value_in(strict, event_with("5", R"("2026-09-21T14:14:21Z")")) == "rejected: future");
}

TEST_CASE("parts of a row: what the same sources name belongs together") {
  const ViewDefinition view = std::get<ViewDefinition>(
      read_definition_file(DAYBOOK_SOURCE_DIR "/tests/cases/definitions/good/latest_every_member.json"));
  CHECK(view.parts() == std::vector<std::size_t>{0, 0, 1, 0, 0, 1, 0, 2, 2});
  CHECK(view.part_count() == 3);
  CHECK(view.can_be_null(view.columns[0]));  // with another part alone there is a row without a name
  CHECK(
      !one_column(R"("type": "int", "required": true)").can_be_null({"x", Aggregate::sum, ColumnType::int4, 0, true}));
}

// Events that say something of a few rows; versions are alike now and then.
std::vector<DecodedEvent> random_events(const ViewDefinition& view, std::mt19937& random, std::int64_t count) {
  Decoder decoder(view, FingerprintKey{1});
  std::vector<DecodedEvent> events;
  for (std::int64_t i = 0; i < count; ++i) {
    const bool gone = random() % 4 == 0;
    const std::string value = R"({"specversion":"1.0","id":")" + std::to_string(i) + R"(","source":"/s","type":")" +
                              (gone ? "d" : "e") + R"(","data":{"id":)" + std::to_string(random() % 3) +
                              ",\"v\":" + std::to_string(random() % 8) + ",\"x\":" + std::to_string(i) + "}}";
    Record record;
    record.value = value;
    record.partition = static_cast<std::int32_t>(random() % 2);
    record.offset = i;
    decoder.decode(record, events.emplace_back());
    REQUIRE(events.back().outcome == Outcome::contributes);
  }
  return events;
}

std::string text_of(const Batch& batch) {
  std::string text;
  for (const StateFold::Kept& state : batch.states()) {
    std::string_view values = state.values;
    text += std::to_string(row_key::integer_at(state.key.data())) + " part " + std::to_string(state.part) +
            " version " + std::to_string(state.order.version) + " offset " + std::to_string(state.order.offset) +
            (state.gone ? " gone" : " " + std::string(*state_values::next(values))) + "\n";
  }
  return text;
}

TEST_CASE("a batch keeps what counts of each row, also when events leave it") {
  ViewDefinition view = read(R"({"view": "v", "kind": "latest", "key": [{"name": "id", "type": "int"}],
    "columns": [{"name": "x", "type": "bigint"}], "sources": [
      {"topic": "t", "event": "e", "key": {"id": "/data/id"}, "version": "/data/v", "set": {"x": "/data/x"}},
      {"topic": "t", "event": "d", "key": {"id": "/data/id"}, "version": "/data/v", "delete": true}]})");
  for (std::uint32_t seed = 1; seed <= 20; ++seed) {
    CAPTURE(seed);
    std::mt19937 random(seed);
    const std::vector<DecodedEvent> events = random_events(view, random, 60);
    const auto batch_of = [&](const std::vector<std::size_t>& numbers) {
      auto batch = std::make_unique<Batch>(view);
      for (const std::size_t i : numbers) batch->add(events[i], {0, static_cast<std::int64_t>(i)});
      return batch;
    };
    std::vector<std::size_t> all(events.size());
    for (std::size_t i = 0; i < all.size(); ++i) all[i] = i;
    const auto batch_of_all = batch_of(all);
    for (const StateFold::Kept& kept : batch_of_all->states()) {
      for (const DecodedEvent& event : events) {
        const bool is_newer = event.keys == kept.key && kept.order < event.states.at(0).order;
        CHECK(!is_newer);
      }
    }
    const std::string whole = text_of(*batch_of_all);
    CHECK(std::count(whole.begin(), whole.end(), '\n') == 3);
    std::vector<std::size_t> shuffled = all;
    std::shuffle(shuffled.begin(), shuffled.end(), random);
    CHECK(text_of(*batch_of(shuffled)) == whole);

    const auto dropped = batch_of(all);
    std::vector<Fingerprint> gone;
    std::vector<std::size_t> left;
    for (const std::size_t i : all) {
      if (random() % 3 == 0) {
        gone.push_back(events[i].fingerprint);
      } else {
        left.push_back(i);
      }
    }
    CHECK(dropped->drop(gone) == gone.size());
    CHECK(text_of(*dropped) == text_of(*batch_of(left)));

    const auto rest = batch_of(all);
    rest->cover({"t", 0}, {0, 60, 0});
    Batch front(view);
    const std::size_t half = random() % all.size();
    front.take_front(*rest, half);
    CHECK(text_of(front) == text_of(*batch_of({all.begin(), all.begin() + static_cast<std::ptrdiff_t>(half)})));
    CHECK(text_of(*rest) == text_of(*batch_of({all.begin() + static_cast<std::ptrdiff_t>(half), all.end()})));
    CHECK(rest->drop({events[59].fingerprint}) == 1);
    CHECK(rest->events() == 59 - half);
    rest->clear();
    CHECK(text_of(*rest).empty());
  }
}

}  // namespace
}  // namespace daybook
