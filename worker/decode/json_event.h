// One record's bytes as an event whose members can be looked up: a CloudEvent in structured or binary mode, or what
// another envelope says it is (docs/envelopes.md).
//
// The whole document is checked, also what no rule reads: UTF-8, syntax, nesting, numbers, and member names that
// occur twice (two readers would take different ones of them for the value).
#pragma once

#include <simdjson.h>

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "core/civil_time.h"
#include "core/envelope.h"
#include "core/error.h"
#include "core/json_pointer.h"
#include "core/record.h"
#include "worker/decode/raw_json.h"

namespace daybook {

// A name with its first and last 8 bytes in words, so that names of up to 16 bytes are compared without memcmp, and
// longer ones nearly always.
struct Name {
  std::uint64_t head = 0;
  std::uint64_t tail = 0;
  std::string_view text;

  explicit Name(std::string_view name);
  bool operator==(const Name& other) const {
    return head == other.head && tail == other.tail && text.size() == other.text.size() &&
           (text.size() <= 16 || text == other.text);
  }
};

// A pointer made ready for look-ups.
struct MemberPath {
  // data: the pointer starts with /data, which is looked up but once an event; header: no pointer but a header's name.
  enum class Root { event, data, header };
  Root root = Root::event;
  TimeUnit unit = TimeUnit::text;   // of times
  std::vector<Name> names;          // below the root
  std::vector<std::string> tokens;  // what `names` refer to

  explicit MemberPath(const JsonPointer& pointer);
  explicit MemberPath(const Place& place);
  MemberPath(const MemberPath& other);
  MemberPath& operator=(const MemberPath&) = delete;
};

// A value found in an event: JSON, or the text of a header (in binary mode an attribute's).
class MemberValue {
 public:
  MemberValue() = default;
  explicit MemberValue(simdjson::dom::element json) : json_(json), kind_(Kind::json) {}
  // An attribute of a CloudEvent in binary mode: a text, as in structured mode.
  explicit MemberValue(std::string_view attribute) : attribute_(attribute), kind_(Kind::attribute) {}
  // A header that a place names: there a count of units is written in digits.
  static MemberValue of_header(std::string_view text) {
    MemberValue value(text);
    value.is_header_ = true;
    return value;
  }

  bool missing() const { return kind_ == Kind::missing; }
  bool is_null() const { return kind_ == Kind::missing || (kind_ == Kind::json && json_.is_null()); }
  std::optional<std::string_view> as_string() const;
  // An integer, or a number without a fraction up to 2^53 (5.0 is 5).
  std::optional<std::int64_t> as_integer() const;
  // Exactly: a long double holds each integer of 64 bits, with and without a sign, and each double.
  std::optional<long double> as_number() const;
  std::optional<bool> as_bool() const;
  // Whether there is a U+0000 in a string or name, itself or below: PostgreSQL can't keep that.
  bool has_nul() const;
  // As JSON, numbers as they were parsed.
  std::string as_json() const;
  // The instant in microseconds since 1970 UTC, within the years 1 to 9999: an RFC 3339 text with an offset, or a count
  // of units (in a header: decimal digits).
  std::optional<std::int64_t> as_instant(TimeUnit unit) const;
  // The instant in seconds since 1970 UTC, the fraction dropped (floor): an RFC 3339 text, or a count of units.
  std::optional<std::int64_t> as_seconds(TimeUnit unit) const;
  // A count of days since 1970.
  std::optional<CivilDay> as_days() const;
  // A number with a point or an exponent: what it was parsed to has lost digits.
  bool is_fraction() const { return kind_ == Kind::json && json_.type() == simdjson::dom::element_type::DOUBLE; }
  // What it is, for messages: `null`, `the string "abc"`, `the number 1.5`, `an object`, `nothing`.
  std::string describe() const;

 private:
  enum class Kind { missing, json, attribute };
  bool is_header_ = false;
  simdjson::dom::element json_;
  std::string_view attribute_;
  Kind kind_ = Kind::missing;
};

// A topic's envelope made ready for look-ups.
struct EnvelopePaths {
  struct Part {
    std::vector<MemberPath> path;  // one, or none
    std::string shown;             // the path, for messages
    std::string constant;
  };
  Envelope::Kind kind = Envelope::Kind::cloudevents;
  std::string topic;
  Part id, type, source;
  std::vector<MemberPath> time;  // one, or none

  EnvelopePaths(const Envelope& envelope, std::string topic);
};

// What as_instant() takes, for messages.
std::string expected_time(TimeUnit unit);

class JsonEvent {
 public:
  // Reads the record's value: first as JSON, then as an event. All views and values stay valid until the next call.
  // The rejections' codes are "malformed" and "envelope". The record must have a value.
  std::optional<Rejection> read_json(const Record& record);
  // True when the body by itself is a complete event (specversion, source, id and type are there and right). Then
  // source(), id(), type() and find() work already; whether it is this record's event or only its data is for the
  // headers to say.
  bool read_body();
  // Asks the headers, as the CloudEvents binding for Kafka says: structured mode by content-type, binary mode by
  // ce_* headers; with neither, a body with specversion is structured.
  std::optional<Rejection> read_envelope(const Record& record);

  // The same for the other envelopes (json_envelope.cpp); after read_json().
  std::optional<Rejection> read_plain(const Record& record, const EnvelopePaths& envelope);
  std::optional<Rejection> read_debezium(const Record& record, const EnvelopePaths& envelope);
  // After read_debezium(): the change event is null, which is a tombstone.
  bool is_null_payload() const { return null_payload_; }

  // The required attributes; those that were found, after a rejection.
  std::string_view source() const { return source_; }
  std::string_view id() const { return id_; }
  std::string_view type() const { return type_; }
  Name type_name() const { return Name(type_); }
  // The extension attribute `daybookredrive`, outside CloudEvents a header: the only view that this copy of a dead
  // letter is for. Mostly empty.
  std::string_view redrive() const { return redrive_; }

  MemberValue find(const MemberPath& path) const;
  // The text of what find() finds in the record's value, as it was written: numbers with all their digits. Nothing for
  // what is in headers or in the record's key. Costs another way through the document.
  std::optional<std::string_view> raw(const MemberPath& path);

 private:
  struct Member {
    Name name;
    simdjson::dom::element value;
  };
  using Members = std::vector<Member>;

  std::optional<Rejection> read_structured();
  std::optional<Rejection> read_binary();
  struct Attributes {
    MemberValue specversion, source, id, type, redrive;
  };
  void read_marks(const Record& record);
  void unwrap(simdjson::dom::element payload);
  void read_record_key(const Record& record);
  MemberValue header(std::string_view name) const;
  std::string_view position_of(const Record& record, const std::string& topic);
  std::optional<Rejection> read_part(const EnvelopePaths::Part& part, const char* name, std::string& text);
  std::optional<Rejection> check_envelope(const Attributes& attributes);
  std::optional<Rejection> check_nested(simdjson::dom::element value, Members& scratch, bool top);

  simdjson::dom::parser parser_;
  RawJson raw_;
  std::vector<char> padded_;  // the record's bytes with the room behind them that simdjson reads
  std::size_t size_ = 0;      // of the record
  simdjson::dom::element document_;
  std::vector<Header> headers_;
  bool binary_ = false;
  Members top_;   // of the document
  Members data_;  // of the member `data`, or of the document in binary mode; empty when that is no object
  simdjson::dom::element data_element_;
  bool has_data_ = false;
  std::string_view source_, id_, type_, redrive_;

  // Of the other envelopes: what the attributes refer to where the record has them in no such form.
  std::string id_text_, type_text_, source_text_, key_text_;
  std::string_view redriven_position_;  // of the original of a redriven copy
  bool null_payload_ = false;
  bool is_unwrapped_ = false;  // the event is the document's member `payload`
  simdjson::dom::parser key_parser_;
  std::vector<char> padded_key_;
  Members source_block_;  // of the source of a Debezium event, sorted
};

}  // namespace daybook
