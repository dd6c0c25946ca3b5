// What a reader tells of itself: health, metrics, the cache's figures. Pure: texts from values.
#pragma once

#include <chrono>
#include <string>

#include "http/message.h"
#include "http/server.h"
#include "ops/process.h"
#include "reader/reader.h"
#include "reader/serve/traffic.h"

namespace daybook::reader {

// A reader at one moment.
struct Condition {
  std::string version;
  CacheStats cache;
  http::ServerFigures server;
  std::size_t streams = 0;
  bool stopping = false;
  ops::ProcessFigures process;
};

// Why it should get no requests; empty when it should.
std::string why_not_ready(const Condition& reader);

http::Response readyz(const Condition& reader);
// For people: views with their age and size. Always 200.
http::Response healthz(const Condition& reader);
http::Response metrics(const Condition& reader, const std::array<Traffic::Route, Traffic::routes.size()>& traffic);
http::Response cache_stats(const Condition& reader);

}  // namespace daybook::reader
