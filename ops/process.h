// What the system knows of this process; for metrics.
#pragma once

#include <cstdint>
#include <optional>

namespace daybook::ops {

struct ProcessFigures {
  double cpu_seconds = 0;
  std::uint64_t resident_bytes = 0;
  std::uint64_t virtual_bytes = 0;
  double start_time = 0;  // seconds since 1970
  std::uint64_t open_files = 0;
  std::uint64_t open_files_max = 0;
};

// As of now. Figures that the system does not tell are 0.
ProcessFigures process_figures();

}  // namespace daybook::ops
