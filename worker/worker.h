// A worker process: one loop, one consumer and one database session for each view.
#pragma once

#include <atomic>
#include <functional>
#include <string>
#include <vector>

#include "core/definition.h"
#include "kafka/client.h"
#include "worker/limits.h"
#include "worker/ports.h"
#include "worker/status_board.h"

namespace daybook {

// What a view's loop works with.
struct Ports {
  Source& source;
  Store& store;
  Clock& clock;
};

struct WorkerSettings {
  std::string brokers;
  kafka::Properties properties;
  std::string database;
  // Ends by itself once everything that is in the log has been applied; broker and database must answer within
  // `patience_seconds`, else RetryError.
  bool once = false;
  int patience_seconds = 30;
  Limits limits;
  std::string dead_letter_topic;  // gets copies of dead letters; empty: none are made
  StatusBoard* board = nullptr;   // where the views, in their order, tell how they are; none: nobody looks
  // Puts something between a view's loop and its real ports; called by each view's thread. What it returns must live
  // until run_worker() returns. For tests that end the process at a named moment (tests/faults).
  std::function<Ports(Ports)> decorate;
};

// The consumer group of a view's workers.
std::string group_of(const ViewDefinition& view);

// Runs until `stop` becomes true (or, with `once`, until all is applied). Throws StopError and, with `once`,
// RetryError.
void run_worker(const WorkerSettings& settings, const std::vector<ViewDefinition>& views,
                const std::atomic<bool>& stop);

}  // namespace daybook
