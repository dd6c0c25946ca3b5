// The metrics, in Prometheus' text format. docs/operations.md explains each; a test compares the two.
#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>

#include <algorithm>
#include <limits>

#include "ops/endpoint.h"

namespace daybook::ops {
namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;
using Labels = std::vector<ClientMetric::Label>;

// What a dead letter's code can be: each is there from the start, at 0, so that its first one is an increase.
constexpr const char* dead_letter_codes[] = {"malformed", "envelope", "member", "future", "range", "database"};

// Families in the order in which they were first added to.
class Families {
 public:
  void counter(const std::string& name, const std::string& help, Labels labels, double value) {
    add(name, help, MetricType::Counter, std::move(labels)).counter.value = value;
  }
  void gauge(const std::string& name, const std::string& help, Labels labels, double value) {
    add(name, help, MetricType::Gauge, std::move(labels)).gauge.value = value;
  }
  void histogram(const std::string& name, const std::string& help, Labels labels, const Histogram& values) {
    ClientMetric::Histogram& histogram = add(name, help, MetricType::Histogram, std::move(labels)).histogram;
    std::uint64_t count = 0;
    for (std::size_t i = 0; i < values.counts().size(); ++i) {
      count += values.counts()[i];
      const double bound = i < values.bounds().size() ? values.bounds()[i] : std::numeric_limits<double>::infinity();
      histogram.bucket.push_back({count, bound});
    }
    histogram.sample_count = count;
    histogram.sample_sum = values.sum();
  }

  std::string text() const { return prometheus::TextSerializer().Serialize(all_); }

 private:
  ClientMetric& add(const std::string& name, const std::string& help, MetricType type, Labels labels) {
    auto family = std::find_if(all_.begin(), all_.end(), [&name](const MetricFamily& f) { return f.name == name; });
    if (family == all_.end()) family = all_.insert(family, MetricFamily{name, help, type, {}});
    family->metric.emplace_back().label = std::move(labels);
    return family->metric.back();
  }

  std::vector<MetricFamily> all_;
};

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
               view.commits.seconds);
  to.histogram("daybook_commit_events", "Events of a committed batch", labels, view.commits.events);
  to.histogram("daybook_commit_rows", "Rows that a committed batch changed", labels, view.commits.rows);
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

void add_process(Families& to, const Worker& worker) {
  to.gauge("daybook_build_info", "1, with the program's version", {{"version", worker.version}}, 1);
  to.counter("process_cpu_seconds_total", "User and system time", {}, worker.process.cpu_seconds);
  to.gauge("process_resident_memory_bytes", "Resident memory", {}, number(worker.process.resident_bytes));
  to.gauge("process_virtual_memory_bytes", "Virtual memory", {}, number(worker.process.virtual_bytes));
  to.gauge("process_start_time_seconds", "Start, in seconds since 1970", {}, worker.process.start_time);
  to.gauge("process_open_fds", "Open file descriptors", {}, number(worker.process.open_files));
  to.gauge("process_max_fds", "Bound on open file descriptors", {}, number(worker.process.open_files_max));
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
  add_process(families, worker);
  return {200, "text/plain; version=0.0.4; charset=utf-8", families.text(), {}};
}

}  // namespace daybook::ops
