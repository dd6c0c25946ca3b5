#include "ops/families.h"

#include <prometheus/text_serializer.h>

#include <algorithm>
#include <limits>

namespace daybook::ops {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;

void Families::counter(const std::string& name, const std::string& help, Labels labels, double value) {
  add(name, help, MetricType::Counter, std::move(labels)).counter.value = value;
}

void Families::gauge(const std::string& name, const std::string& help, Labels labels, double value) {
  add(name, help, MetricType::Gauge, std::move(labels)).gauge.value = value;
}

void Families::histogram(const std::string& name, const std::string& help, Labels labels,
                         const std::vector<double>& bounds, const std::vector<std::uint64_t>& counts, double sum) {
  ClientMetric::Histogram& histogram = add(name, help, MetricType::Histogram, std::move(labels)).histogram;
  std::uint64_t count = 0;
  for (std::size_t i = 0; i < counts.size(); ++i) {
    count += counts[i];
    histogram.bucket.push_back({count, i < bounds.size() ? bounds[i] : std::numeric_limits<double>::infinity()});
  }
  histogram.sample_count = count;
  histogram.sample_sum = sum;
}

std::string Families::text() const { return prometheus::TextSerializer().Serialize(all_); }

ClientMetric& Families::add(const std::string& name, const std::string& help, MetricType type, Labels labels) {
  auto family = std::find_if(all_.begin(), all_.end(), [&name](const MetricFamily& f) { return f.name == name; });
  if (family == all_.end()) family = all_.insert(family, MetricFamily{name, help, type, {}});
  family->metric.emplace_back().label = std::move(labels);
  return family->metric.back();
}

void add_process(Families& to, const std::string& version, const ProcessFigures& process) {
  const auto number = [](std::uint64_t value) { return static_cast<double>(value); };
  to.gauge("daybook_build_info", "1, with the program's version", {{"version", version}}, 1);
  to.counter("process_cpu_seconds_total", "User and system time", {}, process.cpu_seconds);
  to.gauge("process_resident_memory_bytes", "Resident memory", {}, number(process.resident_bytes));
  to.gauge("process_virtual_memory_bytes", "Virtual memory", {}, number(process.virtual_bytes));
  to.gauge("process_start_time_seconds", "Start, in seconds since 1970", {}, process.start_time);
  to.gauge("process_open_fds", "Open file descriptors", {}, number(process.open_files));
  to.gauge("process_max_fds", "Bound on open file descriptors", {}, number(process.open_files_max));
}

}  // namespace daybook::ops
