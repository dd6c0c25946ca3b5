// One record's bytes as a CloudEvent whose members can be looked up: structured or binary mode.
//
// The whole document is checked, also what no rule reads: UTF-8, syntax, nesting, numbers, and member names that
// occur twice (two readers would take different ones of them for the value).
#pragma once

#include <simdjson.h>

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

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
  enum class Root { event, data };  // data: the pointer starts with /data, which is looked up but once an event
  Root root = Root::event;
  std::vector<Name> names;          // below the root
  std::vector<std::string> tokens;  // what `names` refer to

  explicit MemberPath(const JsonPointer& pointer);
  MemberPath(const MemberPath& other);
  MemberPath& operator=(const MemberPath&) = delete;
};

// A value found in an event: JSON, or in binary mode the text of an attribute's header.
class MemberValue {
 public:
  MemberValue() = default;
  explicit MemberValue(simdjson::dom::element json) : json_(json), kind_(Kind::json) {}
  explicit MemberValue(std::string_view attribute) : attribute_(attribute), kind_(Kind::attribute) {}

  bool missing() const { return kind_ == Kind::missing; }
  bool is_null() const { return kind_ == Kind::missing || (kind_ == Kind::json && json_.is_null()); }
  std::optional<std::string_view> as_string() const;
  // An integer, or a number without a fraction up to 2^53 (5.0 is 5).
  std::optional<std::int64_t> as_integer() const;
  // Exactly: a long double holds each integer of 64 bits, with and without a sign, and each double.
  std::optional<long double> as_number() const;
  std::optional<bool> as_bool() const;
  // A number with a point or an exponent: what it was parsed to has lost digits.
  bool is_fraction() const { return kind_ == Kind::json && json_.type() == simdjson::dom::element_type::DOUBLE; }
  // What it is, for messages: `null`, `the string "abc"`, `the number 1.5`, `an object`, `nothing`.
  std::string describe() const;

 private:
  enum class Kind { missing, json, attribute };
  simdjson::dom::element json_;
  std::string_view attribute_;
  Kind kind_ = Kind::missing;
};

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

  // The required attributes; those that were found, after a rejection.
  std::string_view source() const { return source_; }
  std::string_view id() const { return id_; }
  std::string_view type() const { return type_; }
  Name type_name() const { return Name(type_); }
  // The extension attribute `daybookredrive`: the only view that this copy of a dead letter is for. Mostly empty.
  std::string_view redrive() const { return redrive_; }

  MemberValue find(const MemberPath& path) const;
  // The text of what find() finds when that is JSON, as it was written: numbers with all their digits. Costs another
  // way through the document.
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
};

}  // namespace daybook
