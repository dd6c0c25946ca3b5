// The metrics, in Prometheus' text format. docs/operations.md explains each; a test compares the two.
#include <algorithm>

#include "ops/endpoint.h"
#include "ops/families.h"

namespace daybook::ops {
namespace {

// What a dead letter's code can be: each is there from the start, at 0, so that its first one is an increase.
constexpr const char* dead_letter_codes[] = {"malformed", "envelope", "member", "future", "range", "database"};

double number(std::uint64_t value) { return static_cast<double>(value); }

void add_counters(Families& to, const ViewStatus& view, const Labels& labels) {
  const Counters& counters = view.counters;
  to.counter("daybook_events_applied_total", "Events that this worker added to the view's rows", labels,
             number(counters.applied_events));
  to.counter("daybook_duplicates_total", "Events dropped since their source and id were applied before", labels,
             number(counters.duplicates));
  to.counter("daybook_ids_reused_total", "Duplicates whose data differs from the event that was applied", labels,
             number(counters.ids_reused));
  to.counter("daybook_events_passed_over_total", "Records that the view has no use for", labels,
             number(counters.passed_over));
  std::map<std::string, std::uint64_t> letters = counters.dead_letters_by_code;
  for (const char* code : dead_letter_codes) letters.try_emplace(code, 0);
  for (const auto& [code, count] : letters) {
    Labels with_code = labels;
    with_code.push_back({"code", code});
    to.counter("daybook_dead_letters_total", "Events that could not be applied, by reason", std::move(with_code),
               number(count));
  }
  to.counter("daybook_stale_records_total", "Records dropped by position: delivered again, or of a partition lost",
             labels, number(counters.stale_records));
  to.counter("daybook_fenced_total", "Commits that changed nothing since another worker had taken a partition", labels,
             number(counters.fenced));
  to.counter("daybook_restarts_total", "Times that reading began again from the stored positions after trouble", labels,
             number(counters.restarts));
}

void add_commits(Families& to, const ViewStatus& view, const Labels& labels, const Worker& worker) {
  to.counter("daybook_commits_total", "Batches committed", labels, number(view.counters.commits));
  to.histogram("daybook_commit_duration_seconds", "From handing over a batch until its answer", labels,
               view.commits.seconds.bounds(), view.commits.seconds.counts(), view.commits.seconds.sum());
  to.histogram("daybook_commit_events", "Events of a committed batch", labels, view.commits.events.bounds(),
               view.commits.events.counts(), view.commits.events.sum());
  to.histogram("daybook_commit_rows", "Rows that a committed batch changed", labels, view.commits.rows.bounds(),
               view.commits.rows.counts(), view.commits.rows.sum());
  if (view.committed_at) {
    to.gauge("daybook_last_commit_age_seconds", "Time since the last commit; missing before the first", labels,
             std::chrono::duration<double>(worker.now - *view.committed_at).count());
  }
}

void add_state(Families& to, const ViewStatus& view, const Labels& labels, const Worker& worker) {
  const bool ready = view.is_ready() && worker.now - view.stepped_at <= ready_within;
  to.gauge("daybook_ready", "1: the view reads, or stands by; else /readyz says why", labels, ready ? 1 : 0);
  to.gauge("daybook_paused", "1: the view waits for a person; /readyz says why", labels,
           view.state == ViewStatus::State::paused ? 1 : 0);
  to.gauge("daybook_database_connected", "1: there is a session with the database", labels,
           view.database_connected ? 1 : 0);
  to.gauge("daybook_last_step_age_seconds", "Time since the view's loop last came round", labels,
           std::chrono::duration<double>(worker.now - view.stepped_at).count());
  for (const PartitionStatus& partition : view.partitions) {
    Labels with_partition = labels;
    with_partition.push_back({"topic", partition.name.topic});
    with_partition.push_back({"partition", std::to_string(partition.name.partition)});
    to.gauge("daybook_next_offset", "Stored position: the next offset to read", with_partition,
             static_cast<double>(partition.next_offset));
    if (!partition.log_end) continue;
    to.gauge("daybook_lag_records", "Records behind the stored position, as of the last fetch", with_partition,
             static_cast<double>(std::max<std::int64_t>(0, *partition.log_end - partition.next_offset)));
  }
}

void add_deduplication(Families& to, const ViewStatus& view, const Labels& labels) {
  to.gauge("daybook_deduplication_window_events", "Configured: events whose copies are recognized at least", labels,
           number(view.window_events));
  if (view.window_age) {
    to.gauge("daybook_deduplication_window_seconds", "The oldest fingerprint has been kept at least this long", labels,
             view.window_age->count());
  }
  to.gauge("daybook_fingerprints", "Fingerprints kept in memory", labels, number(view.fingerprints));
  to.gauge("daybook_fingerprints_memory_bytes", "Memory of the fingerprints", labels, number(view.fingerprint_bytes));
}

}  // namespace

http::Response metrics(const Worker& worker) {
  Families families;
  for (const ViewStatus& view : worker.views) {
    const Labels labels = {{"view", view.view}};
    add_counters(families, view, labels);
    add_commits(families, view, labels, worker);
    add_state(families, view, labels, worker);
    add_deduplication(families, view, labels);
  }
  add_process(families, worker.version, worker.process);
  return {200, metrics_content_type, families.text(), {}};
}

}  // namespace daybook::ops
