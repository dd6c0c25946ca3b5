// CloudEvents envelopes in structured form.
#include <sys/random.h>

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <ctime>

#include "producer/producer.h"
#include "producer/strict_json.h"

namespace daybook {

std::string random_uuid() {
  unsigned char bytes[16];
  std::size_t filled = 0;
  while (filled < sizeof bytes) {
    const ssize_t got = getrandom(bytes + filled, sizeof bytes - filled, 0);
    if (got < 0 && errno != EINTR) throw StopError("the system's random generator gives nothing");
    if (got > 0) filled += static_cast<std::size_t>(got);
  }
  bytes[6] = static_cast<unsigned char>((bytes[6] & 0x0f) | 0x40);
  bytes[8] = static_cast<unsigned char>((bytes[8] & 0x3f) | 0x80);
  static constexpr char digits[] = "0123456789abcdef";
  std::string text;
  text.reserve(36);
  for (int i = 0; i < 16; ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) text.push_back('-');
    text.push_back(digits[bytes[i] >> 4]);
    text.push_back(digits[bytes[i] & 15]);
  }
  return text;
}

std::string rfc3339(std::chrono::system_clock::time_point time) {
  const auto ms = std::chrono::floor<std::chrono::milliseconds>(time).time_since_epoch().count();
  const std::int64_t part = (ms % 1000 + 1000) % 1000;
  const std::time_t seconds = static_cast<std::time_t>((ms - part) / 1000);
  std::tm utc{};
  gmtime_r(&seconds, &utc);
  char text[80];
  std::snprintf(text, sizeof text, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", utc.tm_year + 1900, utc.tm_mon + 1,
                utc.tm_mday, utc.tm_hour, utc.tm_min, utc.tm_sec, static_cast<int>(part));
  return text;
}

std::string structured_event(const EventEnvelope& envelope) {
  std::string mistakes;
  const auto add_mistake = [&mistakes](const std::string& text) { mistakes += (mistakes.empty() ? "" : "; ") + text; };
  if (envelope.type.empty()) add_mistake("type is empty");
  if (envelope.source.empty()) add_mistake("source is empty");
  if (!envelope.data.empty()) {
    nlohmann::json parsed;
    std::string reason;
    if (!parse_strict_json(envelope.data, parsed, reason)) add_mistake("data: " + reason);
  }
  std::string text = R"({"specversion":"1.0")";
  const auto add = [&text, &add_mistake](const char* name, const std::string& value) {
    try {
      text += std::string(",\"") + name + "\":" + nlohmann::json(value).dump();
    } catch (const nlohmann::json::exception&) {
      add_mistake(std::string(name) + " is not UTF-8");
    }
  };
  add("id", envelope.id.empty() ? random_uuid() : envelope.id);
  add("source", envelope.source);
  add("type", envelope.type);
  add("time", rfc3339(envelope.time.value_or(std::chrono::system_clock::now())));
  if (!envelope.subject.empty()) add("subject", envelope.subject);
  if (!envelope.data.empty()) text += R"(,"datacontenttype":"application/json","data":)" + envelope.data;
  if (!mistakes.empty()) throw UsageError("event: " + mistakes);
  return text + "}";
}

}  // namespace daybook
