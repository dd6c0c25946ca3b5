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

namespace daybook {

// A member's name with its first bytes and length in one word, so that names are compared without memcmp
// for all but long ones.
struct MemberName {
  std::uint64_t prefix = 0;
  std::string_view text;

  explicit MemberName(std::string_view name);
  bool operator==(const MemberName& other) const {
    return prefix == other.prefix && text.size() == other.text.size() && (text.size() <= 8 || text == other.text);
  }
};

// A pointer made ready for look-ups.
struct MemberPath {
  enum class Root { event, data };  // data: the pointer starts with /data, which is looked up but once an event
  Root root = Root::event;
  std::vector<MemberName> names;    // below the root
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
  std::optional<double> as_number() const;
  std::optional<bool> as_bool() const;
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
  // Reads the record's value. All views and values stay valid until the next call. The rejection's code is
  // "malformed" or "envelope". The record must have a value.
  std::optional<Rejection> read(const Record& record);

  // The required attributes; those that were found, after a rejection.
  std::string_view source() const { return source_; }
  std::string_view id() const { return id_; }
  std::string_view type() const { return type_; }

  MemberValue find(const MemberPath& path) const;

 private:
  struct Member {
    MemberName name;
    simdjson::dom::element value;
  };
  using Members = std::vector<Member>;

  std::optional<Rejection> read_json(std::string_view bytes);
  std::optional<Rejection> read_structured();
  std::optional<Rejection> read_binary();
  std::optional<Rejection> check_envelope(const MemberValue& specversion, const MemberValue& source, const MemberValue& id,
                                          const MemberValue& type);
  std::optional<Rejection> check_nested(simdjson::dom::element value, Members& scratch, bool top);

  simdjson::dom::parser parser_;
  simdjson::dom::element document_;
  std::vector<Header> headers_;
  bool binary_ = false;
  Members top_;   // of the document
  Members data_;  // of the member `data`, or of the document in binary mode; empty when that is no object
  simdjson::dom::element data_element_;
  bool has_data_ = false;
  std::string_view source_, id_, type_;
};

}  // namespace daybook
