// What verify found, as text for people and as one JSON object for scripts.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "verify/compare.h"
#include "verify/recompute.h"

namespace daybook::verify {

struct Findings {
  std::string view;
  std::int64_t table_rows = 0;
  Counts counts;
  Comparison comparison;
  std::vector<DeadLetterDifference> dead_letters;  // all of them; the report prints the first `limit`
  std::size_t limit = 0;

  std::int64_t differences() const {
    return comparison.differing_rows + static_cast<std::int64_t>(dead_letters.size());
  }
};

// Several lines; the last one is the summary.
std::string text_report(const Findings& findings, const ViewDefinition& definition);

// One object, one line.
std::string json_report(const Findings& findings, const ViewDefinition& definition);

// 1234567 -> "1,234,567".
std::string grouped(std::int64_t number);

}  // namespace daybook::verify
