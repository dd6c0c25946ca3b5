// The bounds of a worker's batches, each with its reason.
#pragma once

#include <chrono>
#include <cstddef>

namespace daybook {

struct Limits {
  // A batch is committed at once when nothing waits behind it; these bound it when something does.
  std::size_t events_max = 250'000;             // 10 MiB of contributions and fingerprints
  std::size_t rows_max = 32'768;                // some 100 ms of PostgreSQL's time
  std::size_t bytes_max = std::size_t{32} << 20;  // what a batch may hold in memory (dead letters are large)
  std::chrono::milliseconds age_max{50};        // while records keep coming and the committer is idle
  // With that many records behind it, nobody waits for these rows yet: larger batches touch each row less often.
  std::int64_t catching_up_lag = 100'000;
  std::chrono::milliseconds catching_up_age_max{1'000};
  // While other workers commit to the same view: they wait for this one's lock.
  std::size_t rows_max_shared = 8'000;
  // A full batch behind a commit that takes longer than this: the source stops fetching, so that memory stays
  // bounded while polling goes on.
  std::chrono::milliseconds stall_max{5'000};
};

}  // namespace daybook
