#include "verify/report.h"

#include <algorithm>
#include <nlohmann/json.hpp>

namespace daybook::verify {
namespace {

using json = nlohmann::ordered_json;

std::string count_of(std::int64_t number, const std::string& one, const std::string& many) {
  return grouped(number) + " " + (number == 1 ? one : many);
}

std::string line_of(const RowDifference& row, const ViewDefinition& definition) {
  std::string line = row.uncertain ? "uncertain: " : "differs: ";
  line += describe_key(definition, row.key) + ":";
  if (row.kind == RowDifference::Kind::only_in_table) line += " only in the table:";
  if (row.kind == RowDifference::Kind::only_in_log) line += " only in the log:";
  const char* separator = " ";
  for (const CellDifference& cell : row.cells) {
    line += separator + cell.column;
    if (!cell.table.empty()) line += " table " + cell.table;
    if (!cell.log.empty()) line += (cell.table.empty() ? " log " : ", log ") + cell.log;
    separator = "; ";
  }
  return line;
}

std::string line_of(const DeadLetterDifference& letter) {
  const std::string where = letter.partition.topic + "/" + std::to_string(letter.partition.partition) + " offset " +
                            std::to_string(letter.offset);
  switch (letter.kind) {
    case DeadLetterDifference::Kind::missing:
      return "differs: " + where + ": invalid (" + letter.code + ": " + letter.detail +
             "), but there is no dead letter";
    case DeadLetterDifference::Kind::unfounded:
      return "differs: " + where + ": a dead letter (" + letter.code + "), but the record is valid";
    case DeadLetterDifference::Kind::no_record:
      return "differs: " + where + ": a dead letter (" + letter.code + "), but the log has no record there";
  }
  return where;
}

const char* name_of(RowDifference::Kind kind) {
  switch (kind) {
    case RowDifference::Kind::values:
      return "values";
    case RowDifference::Kind::only_in_table:
      return "only_in_table";
    case RowDifference::Kind::only_in_log:
      return "only_in_log";
  }
  return "";
}

const char* name_of(DeadLetterDifference::Kind kind) {
  switch (kind) {
    case DeadLetterDifference::Kind::missing:
      return "dead_letter_missing";
    case DeadLetterDifference::Kind::unfounded:
      return "dead_letter_unfounded";
    case DeadLetterDifference::Kind::no_record:
      return "dead_letter_without_record";
  }
  return "";
}

}  // namespace

std::string grouped(std::int64_t number) {
  std::string text = std::to_string(number);
  for (int at = static_cast<int>(text.size()) - 3; at > (number < 0 ? 1 : 0); at -= 3)
    text.insert(static_cast<std::size_t>(at), ",");
  return text;
}

std::string text_report(const Findings& findings, const ViewDefinition& definition) {
  std::string text;
  for (const RowDifference& row : findings.comparison.rows) text += line_of(row, definition) + "\n";
  const std::size_t letters = std::min(findings.limit, findings.dead_letters.size());
  for (std::size_t i = 0; i < letters; ++i) text += line_of(findings.dead_letters[i]) + "\n";
  const std::int64_t unprinted = findings.differences() + findings.comparison.uncertain_rows -
                                 static_cast<std::int64_t>(findings.comparison.rows.size() + letters);
  if (unprinted > 0) text += "and " + grouped(unprinted) + " more (--limit prints more)\n";

  const Counts& counts = findings.counts;
  if (counts.reused_ids > 0) {
    text += "note: " + count_of(counts.reused_ids, "copy carries", "copies carry") +
            " other data than the first event of the same source and id\n";
  }
  if (counts.outside_window > 0) {
    text += "note: " + count_of(counts.outside_window, "copy may lie", "copies may lie") +
            " further from the first than the deduplication window of " +
            grouped(static_cast<std::int64_t>(definition.deduplication_window_events)) + " events\n";
  }
  if (findings.comparison.uncertain_rows > 0) {
    text += "note: " + count_of(findings.comparison.uncertain_rows, "row differs", "rows differ") +
            " only as far as such copies explain it\n";
  }
  text += "verify " + findings.view + ": " + count_of(findings.table_rows, "row", "rows") + ", " +
          count_of(counts.events, "event", "events") + ", " + count_of(counts.duplicates, "duplicate", "duplicates") +
          ", " + count_of(counts.dead_letters, "dead letter", "dead letters") + ", " +
          count_of(findings.differences(), "difference", "differences");
  if (findings.comparison.uncertain_rows > 0)
    text += ", " + count_of(findings.comparison.uncertain_rows, "uncertain row", "uncertain rows");
  return text + "\n";
}

std::string json_report(const Findings& findings, const ViewDefinition& definition) {
  json details = json::array();
  for (const RowDifference& row : findings.comparison.rows) {
    json key = json::object();
    for (std::size_t i = 0; i < row.key.size(); ++i) key[definition.key[i].name] = row.key[i];
    json columns = json::object();
    for (const CellDifference& cell : row.cells) {
      json& column = columns[cell.column] = json::object();
      if (!cell.table.empty()) column["table"] = cell.table;
      if (!cell.log.empty()) column["log"] = cell.log;
    }
    details.push_back({{"kind", name_of(row.kind)}, {"uncertain", row.uncertain}, {"key", key}, {"columns", columns}});
  }
  for (std::size_t i = 0; i < std::min(findings.limit, findings.dead_letters.size()); ++i) {
    const DeadLetterDifference& letter = findings.dead_letters[i];
    details.push_back({{"kind", name_of(letter.kind)},
                       {"topic", letter.partition.topic},
                       {"partition", letter.partition.partition},
                       {"offset", letter.offset},
                       {"code", letter.code},
                       {"detail", letter.detail}});
  }
  const Counts& counts = findings.counts;
  const json report = {{"view", findings.view},
                       {"rows", findings.table_rows},
                       {"events", counts.events},
                       {"contributing", counts.contributing},
                       {"passed_over", counts.passed_over},
                       {"duplicates", counts.duplicates},
                       {"dead_letters", counts.dead_letters},
                       {"redriven_elsewhere", counts.other_view},
                       {"reused_ids", counts.reused_ids},
                       {"outside_window", counts.outside_window},
                       {"differences", findings.differences()},
                       {"uncertain_rows", findings.comparison.uncertain_rows},
                       {"details", details}};
  return report.dump(-1, ' ', false, json::error_handler_t::replace) + "\n";
}

}  // namespace daybook::verify
