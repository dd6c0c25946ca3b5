// Builds nlohmann's DOM from its parser's events, because its own builder lets a later member of the same
// name win silently.
#include "producer/strict_json.h"

#include <cstdint>
#include <vector>

namespace daybook {
namespace {

using nlohmann::json;

class Builder {
 public:
  Builder(json& root, std::string& reason) : root_(root), reason_(reason) {}

  bool null() { return place(nullptr) != nullptr; }
  bool boolean(bool value) { return place(value) != nullptr; }
  bool number_integer(json::number_integer_t value) { return place(value) != nullptr; }
  // Beyond int64 an integer is as good as a fraction: no member of type integer takes it, and valijson would
  // wrap it around.
  bool number_unsigned(json::number_unsigned_t value) {
    return value > INT64_MAX ? place(static_cast<double>(value)) != nullptr : place(value) != nullptr;
  }
  bool number_float(json::number_float_t value, const std::string&) { return place(value) != nullptr; }
  bool string(std::string& value) { return place(std::move(value)) != nullptr; }
  bool binary(json::binary_t& value) { return place(std::move(value)) != nullptr; }
  bool start_object(std::size_t) { return open(json::value_t::object); }
  bool start_array(std::size_t) { return open(json::value_t::array); }
  bool end_object() { return close(); }
  bool end_array() { return close(); }

  bool key(std::string& name) {
    const auto [member, added] = open_.back()->get_ref<json::object_t&>().emplace(name, nullptr);
    slot_ = &member->second;
    if (!added) reason_ = "member \"" + name + "\" appears twice in one object";
    return added;
  }

  bool parse_error(std::size_t, const std::string&, const nlohmann::detail::exception& error) {
    const std::string text = error.what();  // "[json.exception.parse_error.101] parse error at …"
    const std::size_t bracket = text.find("] ");
    reason_ = "not JSON: " + (bracket == std::string::npos ? text : text.substr(bracket + 2));
    return false;
  }

 private:
  // Where the value goes: the root, the end of the open array, or the member just named. A pointer into an
  // array stays good while it is open on the stack, as nothing is added to its parent meanwhile.
  template <typename Value>
  json* place(Value&& value) {
    if (open_.empty()) {
      root_ = json(std::forward<Value>(value));
      return &root_;
    }
    if (open_.back()->is_array()) {
      json::array_t& array = open_.back()->get_ref<json::array_t&>();
      array.emplace_back(std::forward<Value>(value));
      return &array.back();
    }
    *slot_ = json(std::forward<Value>(value));
    return slot_;
  }

  bool open(json::value_t type) {
    if (open_.size() >= max_json_depth) {
      reason_ = "nested deeper than " + std::to_string(max_json_depth) + " levels";
      return false;
    }
    open_.push_back(place(json(type)));
    return true;
  }

  bool close() {
    open_.pop_back();
    return true;
  }

  json& root_;
  std::string& reason_;
  std::vector<json*> open_;
  json* slot_ = nullptr;
};

}  // namespace

bool parse_strict_json(std::string_view text, json& out, std::string& reason) {
  Builder builder(out, reason);
  return json::sax_parse(text.begin(), text.end(), &builder);
}

}  // namespace daybook
