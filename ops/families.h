// Metrics in Prometheus' text format, put together family by family.
#pragma once

#include <prometheus/metric_family.h>

#include <cstdint>
#include <string>
#include <vector>

#include "ops/process.h"

namespace daybook::ops {

using Labels = std::vector<prometheus::ClientMetric::Label>;

// Families in the order in which they were first added to.
class Families {
 public:
  void counter(const std::string& name, const std::string& help, Labels labels, double value);
  void gauge(const std::string& name, const std::string& help, Labels labels, double value);
  // `counts`: one for each bound (values at most it and above the one before), and one for what is above all of them.
  void histogram(const std::string& name, const std::string& help, Labels labels, const std::vector<double>& bounds,
                 const std::vector<std::uint64_t>& counts, double sum);

  std::string text() const;

 private:
  prometheus::ClientMetric& add(const std::string& name, const std::string& help, prometheus::MetricType type,
                                Labels labels);

  std::vector<prometheus::MetricFamily> all_;
};

inline constexpr const char* metrics_content_type = "text/plain; version=0.0.4; charset=utf-8";

// The program's version and what the system knows of its process.
void add_process(Families& to, const std::string& version, const ProcessFigures& process);

}  // namespace daybook::ops
