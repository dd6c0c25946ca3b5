// Cases as data: tests/cases/summary/*.json, each with events (in), rows and dead letters (expected).
//
//   {"about": "...", "view": "../path/of/definition.json" or the definition itself,
//    "events": [{"partition": 0, "value": {...} | "raw": "text" | "hex": "00ff", "time": ms, "headers": [[n, v]],
//                "key": {...} | "raw_key": "text"}],
//    "rows": {"key|key": [values]}, "dead_letters": [["topic/partition@offset", code, part of the detail]]}
//
// An event without "topic" is on the view's first topic; without "partition" on partition 0.
#pragma once

#include <string>
#include <vector>

#include "core/definition.h"
#include "tests/support/fake_source.h"
#include "tests/support/memory_store.h"

namespace daybook::test {

struct ExpectedDeadLetter {
  TopicPartition partition;
  std::int64_t offset = 0;
  std::string code;
  std::string detail_part;
};

struct CaseFile {
  std::string name;
  std::string about;
  ViewDefinition view;
  Log log;
  Rows rows;       // empty when there are values that are no integers
  TextRows texts;  // the same as texts
  std::vector<ExpectedDeadLetter> dead_letters;
};

// Throws std::runtime_error naming the file when it is not of the form above.
std::vector<CaseFile> load_cases(const std::string& folder);

// The same log with every record a second time, behind all others of its partition.
Log with_every_record_repeated(const Log& log);

}  // namespace daybook::test
