// What a worker tells over HTTP: /livez, /readyz, /healthz, /metrics. Pure: texts from a status.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "http/message.h"
#include "ops/process.h"
#include "worker/status.h"

namespace daybook::ops {

// A process at one moment.
struct Worker {
  std::string version;
  std::vector<ViewStatus> views;
  ProcessFigures process;
  std::chrono::steady_clock::time_point now;
};

// A step that takes longer is not waiting any more, it hangs: no call to a broker or database may take as long (the
// longest bound is a session's statement timeout of 300 s, postgres's own).
inline constexpr std::chrono::seconds live_within{360};
// A view whose last step is older does not read at the moment.
inline constexpr std::chrono::seconds ready_within{15};

http::Response livez(const Worker& worker);
http::Response readyz(const Worker& worker);
http::Response healthz(const Worker& worker);
http::Response metrics(const Worker& worker);

// By path; 404 for all others.
http::Response answer(const http::Request& request, const Worker& worker);

}  // namespace daybook::ops
