// The pure part of the worker's way, stage by stage, without broker and database: nanoseconds an event.
//
//   core_bench VIEW.json EVENTS.ndjson
#include <time.h>

#include <cstdio>
#include <fstream>
#include <string>
#include <vector>

#include "core/definition_reader.h"
#include "worker/commit/commit_parameters.h"
#include "worker/decode/decoder.h"
#include "worker/fold/batch.h"
#include "worker/fold/seen_set.h"

namespace {

double cpu_seconds() {
  timespec now{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

}  // namespace

int main(int argc, char** argv) {
  using namespace daybook;
  if (argc != 3) {
    std::fprintf(stderr, "usage: core_bench VIEW.json EVENTS.ndjson\n");
    return 2;
  }
  const ViewDefinition view = load_definitions({argv[1]}).front();
  std::vector<std::string> lines;
  std::ifstream file(argv[2]);
  for (std::string line; std::getline(file, line);) lines.push_back(line);
  const double events = static_cast<double>(lines.size());

  Decoder decoder(view, FingerprintKey{1, 2, 3});
  std::vector<DecodedEvent> decoded(lines.size());
  Record record;
  record.timestamp_ms = 1'800'000'000'000;
  JsonEvent json;
  double begin = cpu_seconds();
  for (const std::string& line : lines) {
    record.value = line;
    json.read_json(record);
    json.read_body();
  }
  const double read = cpu_seconds() - begin;
  DecodedEvent one;
  begin = cpu_seconds();
  for (const std::string& line : lines) {
    record.value = line;
    decoder.decode(record, one);
  }
  const double decode = cpu_seconds() - begin;
  for (std::size_t i = 0; i < lines.size(); ++i) {
    record.value = lines[i];
    decoder.decode(record, decoded[i]);
  }
  SeenSet seen(20'000'000, 0);
  begin = cpu_seconds();
  for (std::size_t i = 0; i < decoded.size(); ++i) {
    if (i + 16 < decoded.size()) seen.prefetch(decoded[i + 16].fingerprint);
    seen.insert(decoded[i].fingerprint);
  }
  const double dedup = cpu_seconds() - begin;
  Batch batch(view);
  begin = cpu_seconds();
  std::size_t contributing = 0;
  for (std::size_t i = 0; i < decoded.size(); ++i) {
    const DecodedEvent& event = decoded[i];
    if (i + 16 < decoded.size()) batch.prefetch_slot(decoded[i + 16]);
    if (i + 8 < decoded.size()) batch.prefetch_row(decoded[i + 8]);
    if (event.outcome != Outcome::contributes) continue;
    batch.add(event, {});
    ++contributing;
  }
  const double fold = cpu_seconds() - begin;
  begin = cpu_seconds();
  const RowChanges rows = batch.row_changes();
  const double seal = cpu_seconds() - begin;
  begin = cpu_seconds();
  const std::vector<std::string> parameters = commit_parameters(view, batch, {}, 0);
  const double encode = cpu_seconds() - begin;
  std::printf(
      "{\"events\": %.0f, \"contributing\": %zu, \"rows\": %zu, \"read_ns\": %.0f, \"decode_ns\": %.0f, \"dedup_ns\": "
      "%.0f, \"fold_ns\": %.0f,"
      " \"seal_ms\": %.1f, \"encode_ms\": %.1f}\n",
      events, contributing, rows.keys.size(), 1e9 * read / events, 1e9 * decode / events, 1e9 * dedup / events,
      1e9 * fold / events, 1e3 * seal, 1e3 * encode);
  return 0;
}
