#include "worker/decode/json_event.h"

#include <absl/container/flat_hash_set.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

namespace daybook {
namespace {

using simdjson::dom::element;
using simdjson::dom::element_type;

constexpr double largest_exact = 9007199254740992.0;  // 2^53

bool starts_with_ignoring_case(std::string_view text, std::string_view lower_prefix) {
  if (text.size() < lower_prefix.size()) return false;
  return std::equal(lower_prefix.begin(), lower_prefix.end(), text.begin(),
                    [](char wanted, char c) { return wanted == (c >= 'A' && c <= 'Z' ? c + 32 : c); });
}

Rejection malformed(std::string detail) { return {"malformed", std::move(detail)}; }
Rejection envelope(std::string detail) { return {"envelope", std::move(detail)}; }

// By value: simdjson's results hand out references into themselves, which dangle in a range-for.
simdjson::dom::object object_of(element value) { return value.get_object().take_value(); }
simdjson::dom::array array_of(element value) { return value.get_array().take_value(); }

bool has_nul_below(element value) {
  switch (value.type()) {
    case element_type::STRING:
      return std::string_view(value).find('\0') != std::string_view::npos;
    case element_type::ARRAY:
      for (const element item : array_of(value)) {
        if (has_nul_below(item)) return true;
      }
      return false;
    case element_type::OBJECT:
      for (const auto field : object_of(value)) {
        if (field.key.find('\0') != std::string_view::npos || has_nul_below(field.value)) return true;
      }
      return false;
    default:
      return false;
  }
}

// `object` must be one.
const element* find_member(const element& object, const Name& name, element& storage) {
  for (const auto field : object_of(object)) {
    if (Name(field.key) == name) {
      storage = field.value;
      return &storage;
    }
  }
  return nullptr;
}

}  // namespace

Name::Name(std::string_view name) : text(name) {
  const char* const begin = name.data();
  const std::size_t size = name.size();
  if (size >= 8) {
    std::memcpy(&head, begin, 8);
    std::memcpy(&tail, begin + size - 8, 8);
  } else if (size >= 4) {
    std::uint32_t first = 0;
    std::uint32_t last = 0;
    std::memcpy(&first, begin, 4);
    std::memcpy(&last, begin + size - 4, 4);
    head = first;
    tail = last;
  } else if (size > 0) {
    // The first, the middle and the last byte: all there are.
    head = static_cast<unsigned char>(begin[0]) | static_cast<unsigned char>(begin[size / 2]) << 8 |
           static_cast<unsigned char>(begin[size - 1]) << 16;
  }
}

MemberPath::MemberPath(const JsonPointer& pointer) {
  auto first = pointer.tokens.begin();
  if (first != pointer.tokens.end() && *first == "data") {
    root = Root::data;
    ++first;
  }
  tokens.assign(first, pointer.tokens.end());
  for (const std::string& token : tokens) names.emplace_back(token);
}

MemberPath::MemberPath(const Place& place) : MemberPath(static_cast<const JsonPointer&>(place)) {
  unit = place.unit;
  if (place.header.empty()) return;
  root = Root::header;
  tokens = {place.header};
  names.emplace_back(tokens.front());
}

MemberPath::MemberPath(const MemberPath& other) : root(other.root), unit(other.unit), tokens(other.tokens) {
  for (const std::string& token : tokens) names.emplace_back(token);  // into our own copies
}

std::optional<std::string_view> MemberValue::as_string() const {
  if (kind_ == Kind::attribute) return attribute_;
  std::string_view text;
  if (kind_ == Kind::json && json_.get(text) == simdjson::SUCCESS) return text;
  return std::nullopt;
}

std::optional<std::int64_t> MemberValue::as_integer() const {
  if (kind_ != Kind::json) return std::nullopt;
  std::int64_t integer = 0;
  if (json_.get(integer) == simdjson::SUCCESS) return integer;
  double number = 0;
  if (json_.type() == element_type::DOUBLE && json_.get(number) == simdjson::SUCCESS) {
    if (std::trunc(number) == number && std::fabs(number) <= largest_exact) return static_cast<std::int64_t>(number);
  }
  return std::nullopt;
}

std::optional<long double> MemberValue::as_number() const {
  static_assert(std::numeric_limits<long double>::digits >= 64);
  if (kind_ != Kind::json) return std::nullopt;
  // Type by type: simdjson would round an integer to a double.
  std::int64_t integer = 0;
  if (json_.get(integer) == simdjson::SUCCESS) return static_cast<long double>(integer);
  std::uint64_t large = 0;
  if (json_.get(large) == simdjson::SUCCESS) return static_cast<long double>(large);
  double number = 0;
  if (json_.get(number) == simdjson::SUCCESS) return static_cast<long double>(number);
  return std::nullopt;
}

std::optional<bool> MemberValue::as_bool() const {
  bool truth = false;
  if (kind_ != Kind::json || json_.get(truth) != simdjson::SUCCESS) return std::nullopt;
  return truth;
}

bool MemberValue::has_nul() const {
  if (kind_ == Kind::attribute) return attribute_.find('\0') != std::string_view::npos;
  return kind_ == Kind::json && has_nul_below(json_);
}

std::string MemberValue::as_json() const {
  if (kind_ == Kind::missing) return "null";
  if (kind_ == Kind::json) return simdjson::minify(json_);
  std::string text = "\"";
  for (const char c : attribute_) {
    static constexpr char digits[] = "0123456789abcdef";
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20) {
      text += std::string("\\u00") + digits[byte >> 4] + digits[byte & 15];
      continue;
    }
    if (c == '"' || c == '\\') text += '\\';
    text += c;
  }
  return text + "\"";
}

std::string MemberValue::describe() const {
  constexpr std::size_t shown = 80;
  const auto quoted = [shown](std::string_view text) {
    std::size_t size = std::min(text.size(), shown);
    while (size < text.size() && size > 0 && (text[size] & 0xC0) == 0x80) --size;  // not inside a character
    return "the string \"" + std::string(text.substr(0, size)) + (size < text.size() ? "\"..." : "\"");
  };
  if (kind_ == Kind::missing) return "nothing";
  if (kind_ == Kind::attribute) return quoted(attribute_);
  switch (json_.type()) {
    case element_type::NULL_VALUE:
      return "null";
    case element_type::BOOL:
      return *as_bool() ? "true" : "false";
    case element_type::STRING:
      return quoted(*as_string());
    case element_type::ARRAY:
      return "an array";
    case element_type::OBJECT:
      return "an object";
    default:
      return "the number " + std::string(simdjson::minify(json_));
  }
}

std::optional<Rejection> JsonEvent::read_json(const Record& record) {
  source_ = id_ = type_ = redrive_ = {};
  binary_ = false;
  has_data_ = false;
  null_payload_ = false;
  is_unwrapped_ = false;
  top_.clear();
  data_.clear();
  const std::string_view bytes = *record.value;
  if (bytes.empty()) return malformed("the record has 0 bytes; expected a JSON object");
  // simdjson reads beyond the end; its own way out allocates a copy for each document.
  if (padded_.size() < bytes.size() + simdjson::SIMDJSON_PADDING)
    padded_.resize(2 * bytes.size() + simdjson::SIMDJSON_PADDING);
  std::memcpy(padded_.data(), bytes.data(), bytes.size());
  size_ = bytes.size();
  const simdjson::error_code error = parser_.parse(padded_.data(), bytes.size(), false).get(document_);
  if (error != simdjson::SUCCESS) {
    return malformed(std::string("the record is no valid JSON: ") + simdjson::error_message(error));
  }
  return check_nested(document_, top_, document_.is_object());
}

bool JsonEvent::read_body() { return document_.is_object() && !read_structured(); }

std::optional<Rejection> JsonEvent::read_envelope(const Record& record) {
  bool structured = false;
  record.headers(headers_);
  for (const Header& header : headers_) {
    if (header.name.size() == 12 && starts_with_ignoring_case(header.name, "content-type")) {
      if (starts_with_ignoring_case(header.value, "application/cloudevents-batch")) {
        return envelope("content-type is " + std::string(header.value) +
                        "; batches of events are not read, one event a record is");
      }
      structured |= starts_with_ignoring_case(header.value, "application/cloudevents");
    } else if (header.name.substr(0, 3) == "ce_") {
      binary_ = true;
    }
  }
  if (structured) binary_ = false;
  source_ = id_ = type_ = redrive_ = {};
  return binary_ ? read_binary() : read_structured();
}

std::optional<Rejection> JsonEvent::read_structured() {
  if (!document_.is_object()) {
    return envelope("the record is " + MemberValue(document_).describe() +
                    "; expected a CloudEvent: a JSON object, or ce_* headers");
  }
  static const Name specversion("specversion"), source("source"), id("id"), type("type"), redrive("daybookredrive");
  Attributes attributes;
  for (const Member& member : top_) {
    if (member.name == specversion) attributes.specversion = MemberValue(member.value);
    if (member.name == source) attributes.source = MemberValue(member.value);
    if (member.name == id) attributes.id = MemberValue(member.value);
    if (member.name == type) attributes.type = MemberValue(member.value);
    if (member.name == redrive) attributes.redrive = MemberValue(member.value);
  }
  return check_envelope(attributes);
}

std::optional<Rejection> JsonEvent::read_binary() {
  has_data_ = true;
  data_element_ = document_;
  data_.swap(top_);  // the document's members are those of the data
  top_.clear();
  Attributes attributes;
  for (const Header& header : headers_) {
    if (header.name.substr(0, 3) != "ce_") continue;
    if (!simdjson::validate_utf8(header.value.data(), header.value.size())) {
      return envelope("header " + std::string(header.name) + " is not UTF-8");
    }
    const std::string_view name = header.name.substr(3);
    if (name == "specversion") attributes.specversion = MemberValue(header.value);
    if (name == "source") attributes.source = MemberValue(header.value);
    if (name == "id") attributes.id = MemberValue(header.value);
    if (name == "type") attributes.type = MemberValue(header.value);
    if (name == "daybookredrive") attributes.redrive = MemberValue(header.value);
  }
  return check_envelope(attributes);
}

std::optional<Rejection> JsonEvent::check_envelope(const Attributes& attributes) {
  source_ = attributes.source.as_string().value_or(std::string_view());
  id_ = attributes.id.as_string().value_or(std::string_view());
  type_ = attributes.type.as_string().value_or(std::string_view());
  redrive_ = attributes.redrive.as_string().value_or(std::string_view());
  if (attributes.specversion.as_string() != "1.0") {
    return envelope("attribute specversion is " + attributes.specversion.describe() + "; expected \"1.0\"");
  }
  for (const auto& [name, value] :
       {std::pair{"source", &attributes.source}, {"id", &attributes.id}, {"type", &attributes.type}}) {
    if (value->as_string().value_or(std::string_view()).empty()) {
      return envelope(std::string("attribute ") + name + " is " + value->describe() +
                      "; expected a string that is not empty");
    }
  }
  return std::nullopt;
}

// Collects the members of an object into `members` (when `keep`) and looks for names that occur twice, there and
// in everything below. simdjson bounds the nesting at 1,024, and so this recursion.
std::optional<Rejection> JsonEvent::check_nested(element value, Members& members, bool keep) {
  if (value.is_array()) {
    for (const element item : array_of(value)) {
      if (item.is_object() || item.is_array()) {
        Members below;
        if (std::optional<Rejection> rejection = check_nested(item, below, false)) return rejection;
      }
    }
    return std::nullopt;
  }
  if (!value.is_object()) return std::nullopt;

  static const Name data_name("data");
  const bool is_event = keep && &members == &top_;
  members.clear();
  std::uint64_t filter = 0;  // one bit a name: a bit that is set already makes a closer look necessary
  for (const auto field : object_of(value)) {
    const Name name(field.key);
    const std::uint64_t bit = std::uint64_t{1} << ((name.head * 0x9E3779B97F4A7C15 ^ name.tail * 0xC2B2AE3D27D4EB4F ^
                                                    name.text.size() * 0x9E37) >>
                                                   58);
    // Few members: looked for among those before. Many: below.
    if ((filter & bit) != 0 && members.size() < 64) {
      for (const Member& before : members) {
        if (before.name == name)
          return malformed("member \"" + std::string(field.key) + "\" occurs twice in one object");
      }
    }
    filter |= bit;
    members.push_back({name, field.value});
    if (field.value.is_object() || field.value.is_array()) {
      std::optional<Rejection> rejection;
      if (is_event && name == data_name && field.value.is_object()) {
        rejection = check_nested(field.value, data_, true);
      } else {
        Members below;
        rejection = check_nested(field.value, below, false);
      }
      if (rejection) return rejection;
    }
    if (is_event && name == data_name) {
      has_data_ = true;
      data_element_ = field.value;
    }
  }
  if (members.size() > 64) {
    absl::flat_hash_set<std::string_view> names;
    for (const Member& member : members) {
      if (!names.insert(member.name.text).second) {
        return malformed("member \"" + std::string(member.name.text) + "\" occurs twice in one object");
      }
    }
  }
  return std::nullopt;
}

MemberValue JsonEvent::find(const MemberPath& path) const {
  std::size_t depth = 0;
  element value;
  if (path.root == MemberPath::Root::data) {
    if (!has_data_) return {};
    value = data_element_;
    if (!path.names.empty()) {
      if (!value.is_object() && !value.is_array()) return {};
      if (value.is_object()) {
        const auto found =
            std::find_if(data_.begin(), data_.end(), [&](const Member& m) { return m.name == path.names[0]; });
        if (found == data_.end()) return {};
        value = found->value;
        depth = 1;
      }
    }
  } else {
    if (path.root == MemberPath::Root::header) return header(path.names[0].text);
    if (path.names.empty()) return binary_ ? MemberValue() : MemberValue(document_);
    if (binary_) {
      if (path.names.size() != 1) return {};
      // The last one of a name counts, as for the required attributes.
      MemberValue found;
      for (const Header& header : headers_) {
        if (header.name.substr(0, 3) == "ce_" && header.name.substr(3) == path.names[0].text)
          found = MemberValue(header.value);
      }
      return found;
    }
    const auto found = std::find_if(top_.begin(), top_.end(), [&](const Member& m) { return m.name == path.names[0]; });
    if (found == top_.end()) return {};
    value = found->value;
    depth = 1;
  }
  for (; depth < path.names.size(); ++depth) {
    if (value.is_object()) {
      element below;
      if (find_member(value, path.names[depth], below) == nullptr) return {};
      value = below;
    } else {
      // An array: the token is an index without leading zeros (RFC 6901).
      const std::string_view token = path.names[depth].text;
      if (!value.is_array() || token.empty() || token.size() > 9 || (token[0] == '0' && token.size() > 1) ||
          !std::all_of(token.begin(), token.end(), [](char c) { return c >= '0' && c <= '9'; })) {
        return {};
      }
      if (array_of(value).at(static_cast<std::size_t>(std::stoul(std::string(token)))).get(value) != simdjson::SUCCESS)
        return {};
    }
  }
  return MemberValue(value);
}

std::optional<std::string_view> JsonEvent::raw(const MemberPath& path) {
  if (path.root == MemberPath::Root::header) return std::nullopt;
  if (binary_ && path.root == MemberPath::Root::event) return std::nullopt;  // attributes are headers
  std::vector<std::string_view> tokens;
  if (is_unwrapped_) tokens.emplace_back("payload");
  if (!binary_ && path.root == MemberPath::Root::data) tokens.emplace_back("data");
  tokens.insert(tokens.end(), path.tokens.begin(), path.tokens.end());
  return raw_.find({padded_.data(), size_}, padded_.size(), tokens);
}

}  // namespace daybook
