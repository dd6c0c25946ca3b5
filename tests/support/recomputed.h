// The rows that verify's independent recomputation makes of a log; its differences about dead letters fail the test.
#pragma once

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "tests/support/fake_source.h"
#include "tests/support/memory_store.h"
#include "verify/recompute.h"

namespace daybook::test {

inline void recompute(verify::Recomputation& recomputation, const Log& log, const std::vector<DeadLetter>& letters) {
  for (const auto& [partition, records] : log) {
    recomputation.expect(partition, 0, records.empty() ? 0 : records.rbegin()->first + 1);
  }
  for (const DeadLetter& letter : letters)
    recomputation.expect(verify::DeadLetter{letter.partition, letter.offset, letter.rejection.code});
  for (const auto& [partition, records] : log) {
    for (const auto& [offset, record] : records) {
      verify::LogRecord out;
      out.topic = partition.topic;
      out.partition = partition.partition;
      out.offset = offset;
      out.timestamp_ms = record.timestamp_ms;
      for (const auto& [name, value] : record.headers) out.headers.emplace_back(name, value);
      if (record.key) out.key = *record.key;
      if (record.value) out.value = *record.value;
      recomputation.add(out);
    }
  }
  for (const verify::DeadLetterDifference& difference : recomputation.dead_letter_differences()) {
    FAIL_CHECK("dead letters differ from verify's judgement at ", difference.partition.partition, "@",
               difference.offset, ": ", difference.code, " ", difference.detail);
  }
}

inline Rows recomputed(const ViewDefinition& view, const Log& log, const std::vector<DeadLetter>& letters) {
  verify::Recomputation recomputation(view);
  recompute(recomputation, log, letters);
  Rows rows;
  for (const auto& [key, values] : recomputation.rows()) rows[key] = values;
  return rows;
}

inline std::string text_of(const TextRows& rows) {
  std::string text;
  for (const auto& [key, values] : rows) {
    for (const std::string& column : key) text += column + "|";
    for (const std::string& value : values) text += " " + value;
    text += "\n";
  }
  return text;
}

inline std::string text_of(const Rows& rows) {
  std::string text;
  for (const auto& [key, values] : rows) {
    for (const std::string& column : key) text += column + "|";
    for (const std::int64_t value : values) text += " " + std::to_string(value);
    text += "\n";
  }
  return text;
}

}  // namespace daybook::test
