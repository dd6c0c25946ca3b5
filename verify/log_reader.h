// Reads the log from a view's start to its stored positions into a Recomputation: manual assignment, no
// consumer group, committed transactions only.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "core/error.h"
#include "kafka/client.h"
#include "verify/recompute.h"
#include "verify/snapshot.h"

namespace daybook::verify {

// The log no longer starts where the view did, so that the view can't be recomputed from it.
class LogCutError : public StopError {
 public:
  using StopError::StopError;
};

struct LogReaderSettings {
  std::string brokers;
  kafka::Properties properties;  // the user's, passed through to librdkafka
  // Called now and then with the number of records read so far; may be empty.
  std::function<void(std::int64_t)> progress;
};

// Throws LogCutError; StopError when a topic is gone or ends before a position; RetryError when the broker is away
// or delivers nothing for a minute.
void read_log(const LogReaderSettings& settings, const std::vector<Span>& spans, Recomputation& recomputation);

}  // namespace daybook::verify
