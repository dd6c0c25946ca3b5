// The bounds of a worker's batches, each with its reason.
#pragma once

#include <chrono>
#include <cstddef>

namespace daybook {

struct Limits {
  // Whatever was folded is committed as soon as the committer is free, so that light load has low latency and a batch
  // grows with the load by itself: by what arrives during the commit before it. Only with many records behind it, when
  // nobody waits for these rows yet, a batch waits to grow, since larger batches touch each row less often.
  std::int64_t catching_up_lag = 100'000;
  std::chrono::milliseconds catching_up_age_max{1'000};
  // A batch that only moves positions over passed-over records waits: nobody misses it.
  std::chrono::milliseconds only_positions_age{1'000};
  // What a batch holds at most.
  std::size_t events_max = 200'000;  // 10 MiB of contributions; also what others look through under the lock
  std::size_t rows_max = 32'768;     // some 100 ms of PostgreSQL's time
  std::size_t bytes_max = std::size_t{32} << 20;  // dead letters are large
  // While other workers commit to the same view: they wait for this one's lock.
  std::size_t rows_max_shared = 8'000;
  std::size_t events_max_shared = 50'000;
  // While the database refuses events: a guilty one is found in smaller batches at less cost.
  std::size_t events_max_suspicious = 2'000;
  // A full batch behind a commit that takes longer than this: the source stops fetching, so that memory stays
  // bounded while polling goes on.
  std::chrono::milliseconds stall_max{5'000};
  // A partition that brings nothing for this long although the log goes on (its fetcher is stuck) is started again.
  std::chrono::milliseconds silence_max{30'000};
  // A log that ends before the stored position: a new leader may not know its end yet. After this it is truncated.
  std::chrono::milliseconds short_log_patience{10'000};
  // More than this share of dead letters among the last records pauses the view; 1 never does.
  std::size_t flood_records = 1'000;
  double flood_share = 0.5;
};

}  // namespace daybook
