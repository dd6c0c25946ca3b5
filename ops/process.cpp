#include "ops/process.h"

#include <sys/resource.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

namespace daybook::ops {
namespace {

// Seconds since 1970 at which the machine started.
double boot_time() {
  std::ifstream file("/proc/stat");
  for (std::string word; file >> word;) {
    double seconds = 0;
    if (word == "btime" && file >> seconds) return seconds;
  }
  return 0;
}

}  // namespace

ProcessFigures process_figures() {
  ProcessFigures figures;
  // proc(5): the name stands in parentheses and may hold spaces; behind it, from the third field on, all are numbers
  // but for the state.
  std::ifstream file("/proc/self/stat");
  std::string line;
  std::getline(file, line);
  const std::size_t parenthesis = line.rfind(')');
  if (parenthesis != std::string::npos) {
    std::istringstream fields(line.substr(parenthesis + 1));
    std::string field;
    const double ticks = static_cast<double>(sysconf(_SC_CLK_TCK));
    for (int number = 3; fields >> field; ++number) {
      if (number == 14 || number == 15) figures.cpu_seconds += std::stod(field) / ticks;
      if (number == 22) figures.start_time = boot_time() + std::stod(field) / ticks;
      if (number == 23) figures.virtual_bytes = std::stoull(field);
      if (number == 24) figures.resident_bytes = std::stoull(field) * static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
    }
  }
  std::error_code error;
  for (std::filesystem::directory_iterator entry("/proc/self/fd", error), end; !error && entry != end;
       entry.increment(error)) {
    ++figures.open_files;
  }
  rlimit files{};
  if (getrlimit(RLIMIT_NOFILE, &files) == 0) figures.open_files_max = files.rlim_cur;
  return figures;
}

}  // namespace daybook::ops
