#include "cli/dead_letters_shown.h"

#include <sodium/utils.h>

#include <cstdio>
#include <map>

#include "producer/redrive.h"

namespace daybook::shown {
namespace {

using nlohmann::ordered_json;

bool is_utf8(const std::string& bytes) {
  try {
    ordered_json(bytes).dump();
    return true;
  } catch (const ordered_json::type_error&) {
    return false;
  }
}

// Control characters would act on the terminal: they come from whoever wrote the event.
std::string printable(const std::string& text) {
  std::string shown;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto c = static_cast<unsigned char>(text[i]);
    const bool is_c1 = c == 0xC2 && i + 1 < text.size() && static_cast<unsigned char>(text[i + 1]) < 0xA0;
    if (c >= 0x20 && c != 0x7F && !is_c1) {
      shown.push_back(text[i]);
      continue;
    }
    char escaped[8];
    std::snprintf(escaped, sizeof escaped, "\\x%02x", is_c1 ? static_cast<unsigned char>(text[++i]) : c);
    shown += escaped;
  }
  return shown;
}

bool is_text(const std::string& bytes) {
  std::string without_breaks;
  for (const char c : bytes) {
    if (c != '\n' && c != '\t' && c != '\r') without_breaks.push_back(c);
  }
  return is_utf8(bytes) && printable(without_breaks) == without_breaks;
}

std::string base64(const std::string& bytes) {
  std::string text(sodium_base64_ENCODED_LEN(bytes.size(), sodium_base64_VARIANT_ORIGINAL), '\0');
  sodium_bin2base64(text.data(), text.size(), reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size(),
                    sodium_base64_VARIANT_ORIGINAL);
  text.pop_back();  // the terminating zero
  return text;
}

std::string text_or_base64(const std::string& bytes) { return is_text(bytes) ? bytes : "base64 " + base64(bytes); }

// {"NAME": text} or {"NAME_base64": ...}; null when there are no bytes at all.
void add_bytes(ordered_json& object, const std::string& name, const std::optional<std::string>& bytes) {
  if (!bytes) {
    object[name] = nullptr;
  } else if (is_utf8(*bytes)) {
    object[name] = *bytes;
  } else {
    object[name + "_base64"] = base64(*bytes);
  }
}

template <typename T>
ordered_json or_null(const std::optional<T>& value) {
  return value ? ordered_json(*value) : ordered_json(nullptr);
}

std::string position(const sql::StoredDeadLetter& letter) { return to_string(letter.partition, letter.offset); }

std::string redriven_to(const sql::StoredDeadLetter& letter) {
  return to_string({letter.partition.topic, letter.redriven_partition.value_or(-1)},
                   letter.redriven_offset.value_or(-1));
}

std::string field(const char* name, const std::string& text) {
  char line[32];
  std::snprintf(line, sizeof line, "  %-12s ", name);
  return line + printable(text) + "\n";
}

}  // namespace

std::string by_code(const std::vector<sql::DeadLetterCount>& counts) {
  std::map<std::string, std::int64_t> codes;
  for (const sql::DeadLetterCount& one : counts) codes[one.code] += one.count;
  std::string text;
  for (const auto& [code, count] : codes) text += (text.empty() ? "" : ", ") + code + " " + std::to_string(count);
  return text;
}

std::int64_t total(const std::vector<sql::DeadLetterCount>& counts) {
  std::int64_t sum = 0;
  for (const sql::DeadLetterCount& one : counts) sum += one.count;
  return sum;
}

std::string counted(std::int64_t count, const std::string& state) {
  return std::to_string(count) + (state == "all" ? "" : " " + state) + (count == 1 ? " dead letter" : " dead letters");
}

std::string list(const std::vector<sql::StoredDeadLetter>& letters) {
  std::string text;
  const auto add = [&text](const std::string& id, const std::string& state, const std::string& time,
                           const std::string& code, const std::string& where, const std::string& event) {
    char line[160];
    std::snprintf(line, sizeof line, "%8s  %-9s  %-24s  %-9s  ", id.c_str(), state.c_str(), time.c_str(), code.c_str());
    std::string position = where;
    position.resize(std::max<std::size_t>(position.size(), 28), ' ');
    text += line + position + "  " + event + "\n";
  };
  add("id", "state", "time", "code", "position", "event: reason");
  for (const sql::StoredDeadLetter& letter : letters) {
    add(std::to_string(letter.id), letter.state, letter.record_time.value_or("-"), letter.code, position(letter),
        printable(letter.event_id.value_or("-") + ": " + letter.detail));
  }
  return text;
}

std::string whole(const sql::StoredDeadLetter& letter) {
  std::string text = "dead letter " + std::to_string(letter.id) + "\n";
  text += field("state", letter.state);
  text += field("position", position(letter));
  text += field("code", letter.code);
  text += field("reason", letter.detail);
  if (letter.record_time) text += field("time", *letter.record_time);
  text += field("stored", letter.created_at);
  if (letter.event_id) text += field("event id", *letter.event_id);
  if (letter.event_source) text += field("event source", *letter.event_source);
  if (letter.event_type) text += field("event type", *letter.event_type);
  if (const auto trace = publishing::traceparent_of(letter.record)) text += field("traceparent", *trace);
  const std::string settled = letter.settled_at.value_or("-") + " by " + letter.settled_by.value_or("-");
  if (letter.state == "redriven") text += field("redriven", settled + " to " + redriven_to(letter));
  if (letter.state == "discarded") text += field("discarded", settled + ": " + letter.reason.value_or("-"));
  text += field("key", letter.record.key ? text_or_base64(*letter.record.key) : "none");
  for (const auto& [name, value] : letter.record.headers) text += field("header", name + ": " + text_or_base64(value));
  text += field("value", letter.record.value ? std::to_string(letter.value_bytes) + " bytes" : "none");
  if (letter.record.value) text += text_or_base64(*letter.record.value) + "\n";
  return text;
}

ordered_json as_json(const sql::StoredDeadLetter& letter, sql::WithValues values) {
  ordered_json object = {{"id", letter.id},
                         {"state", letter.state},
                         {"topic", letter.partition.topic},
                         {"partition", letter.partition.partition},
                         {"offset", letter.offset},
                         {"time", or_null(letter.record_time)},
                         {"code", letter.code},
                         {"detail", letter.detail},
                         {"event_source", or_null(letter.event_source)},
                         {"event_id", or_null(letter.event_id)},
                         {"event_type", or_null(letter.event_type)},
                         {"stored_at", letter.created_at},
                         {"settled_at", or_null(letter.settled_at)},
                         {"settled_by", or_null(letter.settled_by)},
                         {"reason", or_null(letter.reason)},
                         {"redriven_partition", or_null(letter.redriven_partition)},
                         {"redriven_offset", or_null(letter.redriven_offset)},
                         {"value_bytes", letter.value_bytes}};
  if (values == sql::WithValues::no) return object;
  object["traceparent"] = or_null(publishing::traceparent_of(letter.record));
  add_bytes(object, "key", letter.record.key);
  object["headers"] = ordered_json::array();
  for (const auto& [name, value] : letter.record.headers) {
    ordered_json header = {{"name", name}};
    add_bytes(header, "value", value);
    object["headers"].push_back(std::move(header));
  }
  add_bytes(object, "value", letter.record.value);
  return object;
}

void print(const ordered_json& report) {
  std::printf("%s\n", report.dump(-1, ' ', false, ordered_json::error_handler_t::replace).c_str());
}

}  // namespace daybook::shown
