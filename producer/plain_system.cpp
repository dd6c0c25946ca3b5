#include "producer/plain_system.h"

#include <stdexcept>

namespace daybook::simulation {
namespace {

// Where the value ends that begins at `begin`: at a comma or brace of the object that it is in. Our texts have no
// escapes.
std::size_t end_of_value(std::string_view text, std::size_t begin) {
  int depth = 0;
  bool quoted = false;
  for (std::size_t i = begin; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '"') quoted = !quoted;
    if (quoted) continue;
    if (depth == 0 && (c == ',' || c == '}')) return i;
    if (c == '{' || c == '[') ++depth;
    if (c == '}' || c == ']') --depth;
  }
  return text.size();
}

}  // namespace

void PlainSystem::make(TrafficMessage& message, Random& random, std::int64_t now_ms) {
  needed_ = make_event(message, random, now_ms);
  last_ = message;
}

void PlainSystem::make_poison(TrafficMessage& message, Poison kind, Random& random, std::int64_t now_ms) {
  if (last_.value.empty()) {  // the first message of all: an event that nobody hears of
    TrafficMessage unheard;
    make(unheard, random, now_ms);
  }
  message.topic = last_.topic;
  message.key = last_.key;
  message.value = broken_event(last_.value, needed_, kind, random_uuid(random));
}

std::string broken_event(std::string_view event, std::string_view member, Poison kind, const Uuid& id) {
  std::string text(event);
  std::string new_id;
  append_uuid(new_id, id);
  text.replace(text.find(R"("id":")") + 6, new_id.size(), new_id);

  const std::string name = "\"" + std::string(member) + "\":";
  const std::size_t at = text.find(name);
  if (at == std::string::npos) throw std::logic_error("simulated event without " + name + ": " + text);
  const std::size_t begin = at + name.size();
  const std::size_t size = end_of_value(text, begin) - begin;
  const auto set = [&](std::string_view value) { text.replace(begin, size, value); };
  const auto add = [&text](const std::string& members) { text.insert(text.size() - 2, "," + members); };
  switch (kind) {
    case Poison::not_json:
      set("");
      break;
    case Poison::empty:
      text.clear();
      break;
    case Poison::member_missing:
      text.insert(at + 1, "no_");
      break;
    case Poison::member_null:
      set("null");
      break;
    case Poison::wrong_type:
      set(R"({"five":5})");
      break;
    case Poison::beyond_int64:
    case Poison::overflow:
      set("9223372036854775808");
      break;
    case Poison::beyond_double:
      add(R"("note":1e309)");
      break;
    case Poison::duplicate_member:
      add(name + "1," + name + "1");
      break;
    case Poison::invalid_utf8:
      add("\"note\":\"\xc3\x28\xff\"");
      break;
    case Poison::wrong_specversion:
      text.replace(text.find(R"("specversion":"1.0")"), 19, R"("specversion":"0.3")");
      break;
    case Poison::too_deep:
      add(R"("note":)" + std::string(10'000, '[') + std::string(10'000, ']'));
      break;
  }
  return text;
}

}  // namespace daybook::simulation
