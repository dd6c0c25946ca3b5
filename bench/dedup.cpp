// Deduplication, part by part; `bench/run dedup` runs each in a process of its own and puts them together.
//
//   dedup_bench set EVENTS     the worker's set in memory
//   dedup_bench peer EVENTS    absl::flat_hash_set of the same 16-byte keys, which forgets nothing
//   dedup_bench fill VIEW EVENTS EVENTS_A_CHUNK
//                              stores fingerprints as commits of that size do (DAYBOOK_DATABASE, PG*)
//   dedup_bench load VIEW      what a worker does when it starts: all of them from the store into the set
//   dedup_bench expire VIEW    how long commits of 200 events take, alone and while old fingerprints are dropped
//
// Prints one JSON object. Nanoseconds are of CPU time, since the machine is shared.
#include <absl/container/flat_hash_set.h>
#include <sys/resource.h>
#include <time.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "core/definition_reader.h"
#include "sql/apply.h"
#include "worker/commit/binary_array.h"
#include "worker/commit/pg_store.h"
#include "worker/fold/seen_set.h"

namespace {

using namespace daybook;

constexpr const char* view_file = DAYBOOK_SOURCE_DIR "/schemas/bloodbank/views/dashboard_daily_summary.json";
constexpr std::size_t group = 16;         // as the loop looks them up
constexpr std::uint64_t slack = 800'000;  // as the loop has it

double cpu_seconds() {
  timespec now{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

double wall_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

double peak_rss_mb() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) / 1024;
}

// The n-th fingerprint: SplitMix64, so that the same events come in every part.
std::uint64_t mixed(std::uint64_t n) {
  n *= 0x9E3779B97F4A7C15;
  n = (n ^ n >> 30) * 0xBF58476D1CE4E5B9;
  n = (n ^ n >> 27) * 0x94D049BB133111EB;
  return n ^ n >> 31;
}
Fingerprint fingerprint(std::uint64_t n) {
  const std::uint64_t second = mixed(~n);
  return {mixed(n), static_cast<std::uint32_t>(second >> 32), static_cast<std::uint32_t>(second)};
}

struct Key {
  std::uint64_t high, low;
  bool operator==(const Key&) const = default;
  template <typename H>
  friend H AbslHashValue(H h, const Key& key) {
    return H::combine(std::move(h), key.high, key.low);
  }
};

// CPU nanoseconds an event of `each(n)` over [begin, end), in groups as the loop has them.
template <typename Prefetch, typename Each>
double measure(std::uint64_t begin, std::uint64_t end, Prefetch prefetch, Each each) {
  const double from = cpu_seconds();
  for (std::uint64_t n = begin; n < end; n += group) {
    const std::uint64_t last = std::min(end, n + group);
    for (std::uint64_t i = n; i < last; ++i) prefetch(i);
    for (std::uint64_t i = n; i < last; ++i) each(i);
  }
  return 1e9 * (cpu_seconds() - from) / static_cast<double>(end - begin);
}

void need(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "dedup_bench: %s\n", what);
  std::exit(1);
}

int measure_set(std::uint64_t events) {
  SeenSet seen(events, slack);
  const auto prefetch = [&](std::uint64_t n) { seen.prefetch(fingerprint(n)); };
  std::uint64_t fresh = 0;
  const auto insert = [&](std::uint64_t n) { fresh += seen.insert(fingerprint(n)) == SeenSet::Inserted::fresh; };
  const double filling = measure(0, events + slack, prefetch, insert);
  need(fresh == events + slack, "not every event was fresh");
  const double hit = measure(slack, slack + events / 2, prefetch, insert);
  need(fresh == events + slack, "a copy counted as fresh");
  const std::uint64_t more = std::min<std::uint64_t>(events, 5'000'000);
  const double full = measure(events + slack, events + slack + more, prefetch, insert);
  need(seen.size() == events + slack, "the window is not full");
  std::printf(
      "{\"events\": %llu, \"fresh_ns\": %.0f, \"fresh_when_full_ns\": %.0f, \"duplicate_ns\": %.0f, "
      "\"bytes_per_event\": %.1f, \"peak_rss_mb\": %.0f}\n",
      static_cast<unsigned long long>(events), filling, full, hit,
      static_cast<double>(seen.memory_bytes()) / static_cast<double>(seen.size()), peak_rss_mb());
  return 0;
}

int measure_peer(std::uint64_t events) {
  const double before = peak_rss_mb();
  absl::flat_hash_set<Key> seen;
  const auto key = [](std::uint64_t n) {
    const Fingerprint f = fingerprint(n);
    return Key{f.identity_high, f.identity_low};
  };
  std::uint64_t fresh = 0;
  const auto prefetch = [&](std::uint64_t n) { seen.prefetch(key(n)); };
  const auto insert = [&](std::uint64_t n) { fresh += seen.insert(key(n)).second; };
  const double filling = measure(0, events, prefetch, insert);
  need(fresh == events, "not every event was fresh");
  const double hit = measure(0, events / 2, prefetch, insert);
  need(fresh == events, "a copy counted as fresh");
  // Each slot has a byte of control beside the key.
  const double bytes = static_cast<double>(seen.capacity()) * (sizeof(Key) + 1) / static_cast<double>(events);
  std::printf(
      "{\"events\": %llu, \"fresh_ns\": %.0f, \"duplicate_ns\": %.0f, \"bytes_per_event\": %.1f, \"peak_rss_mb\": "
      "%.0f}\n",
      static_cast<unsigned long long>(events), filling, hit, bytes, peak_rss_mb() - before);
  return 0;
}

const char* database() {
  const char* uri = std::getenv("DAYBOOK_DATABASE");
  return uri == nullptr ? "" : uri;
}

int fill(const std::string& view, std::uint64_t events, std::uint64_t chunk) {
  const postgres::Connection connection = postgres::connect(database(), "daybook-bench");
  const std::string g = std::to_string(sql::require_generation(*connection, view).id);
  pqxx::nontransaction transaction(*connection);
  connection->prepare("fill",
                      "INSERT INTO daybook.seen (generation, slot, first_seq, last_seq, first_event, committed_at,"
                      " fingerprints) SELECT " +
                          g + ", 0, seq, seq, (seq - 1) * " + std::to_string(chunk) +
                          ", now(), bytes FROM unnest($1::bigint[], $2::bytea[]) AS b (seq, bytes)");
  std::int64_t seq = 0;
  std::vector<Fingerprint> bytes;
  for (std::uint64_t at = 0; at < events;) {
    const std::uint64_t rows = std::max<std::uint64_t>(1, 200'000 / chunk);
    BinaryArray seqs(PgType::int8, rows), chunks(PgType::bytea, rows);
    for (std::uint64_t row = 0; row < rows; ++row) {
      bytes.clear();
      for (std::uint64_t i = 0; i < chunk; ++i) bytes.push_back(fingerprint(at++));
      seqs.add_int8(++seq);
      chunks.add_bytes({reinterpret_cast<const char*>(bytes.data()), bytes.size() * sizeof(Fingerprint)});
    }
    postgres::exec_binary(transaction, "fill", {seqs.take(), chunks.take()});
  }
  transaction.exec("UPDATE daybook.view_head SET seq = " + std::to_string(seq) + ", seen_events = " +
                   std::to_string(seq) + " * " + std::to_string(chunk) + "::bigint WHERE generation = " + g);
  std::printf("{}\n");
  return 0;
}

int load(const std::string& name) {
  const postgres::Connection connection = postgres::connect(database(), "daybook-bench");
  ViewDefinition view;
  view.name = name;
  PgStore store(database(), view, sql::require_generation(*connection, name), "bench");
  store.connect();
  SeenSet seen(view.deduplication_window_events, slack);
  const double cpu = cpu_seconds();
  const double wall = wall_seconds();
  double inserting = 0;
  store.load([&](std::uint64_t count) { seen.reserve(count); },
             [&](std::span<const Fingerprint> chunk) {
               const double from = wall_seconds();
               seen.insert(chunk);
               inserting += wall_seconds() - from;
             });
  std::printf(
      "{\"events\": %llu, \"load_s\": %.2f, \"insert_s\": %.2f, \"load_cpu_s\": %.2f, \"peak_rss_mb\": %.0f, "
      "\"set_mb\": %.0f}\n",
      static_cast<unsigned long long>(seen.size()), wall_seconds() - wall, inserting, cpu_seconds() - cpu,
      peak_rss_mb(), static_cast<double>(seen.memory_bytes()) / (1 << 20));
  return 0;
}

std::string quantiles(std::vector<double> times) {
  if (times.empty()) return "null";
  std::sort(times.begin(), times.end());
  char text[128];
  std::snprintf(text, sizeof text, "{\"commits\": %zu, \"p50_ms\": %.1f, \"p99_ms\": %.1f, \"max_ms\": %.1f}",
                times.size(), times[times.size() / 2], times[times.size() * 99 / 100], times.back());
  return text;
}

// Everything but the newest tenth of what fill() stored is dropped.
int expire(const std::string& name) {
  const postgres::Connection connection = postgres::connect(database(), "daybook-bench");
  const sql::Generation generation = sql::require_generation(*connection, name);
  ViewDefinition view = load_definitions({view_file}).front();
  view.name = name;
  {
    pqxx::nontransaction transaction(*connection);
    const std::string g = std::to_string(generation.id);
    const auto stored =
        transaction.exec("SELECT sum(length(fingerprints) / 16) FROM daybook.seen WHERE generation = " + g)[0][0]
            .as<std::uint64_t>();
    view.deduplication_window_events = stored / 10;
    // As if all of it lay in the oldest slot, behind two that hold the window.
    transaction.exec(
        "UPDATE daybook.view_head SET seen_slot = 2, seen_slot_from = seen_events / 2, seen_previous_from = 0"
        " WHERE generation = " +
        g);
  }
  PgStore committing(database(), view, generation, "bench");
  committing.connect();
  const TopicPartition partition{"bloodbank.events", 0};
  OwnedPosition position =
      std::get<OwnedPositions>(committing.take("cluster", {partition}, {{partition, 0}})).at(partition);
  std::int64_t known = committing.head().seq;
  Decoder decoder(view, FingerprintKey{1, 2, 3});
  DecodedEvent event;
  Record record;
  const std::string value =
      R"({"specversion":"1.0","source":"/s","id":"1","type":"bloodbank.stock.changed","time":"2026-03-01T12:00:00Z",)"
      R"("data":{"facility_id":"00000000-0000-4000-8000-000000000001","quantity":4}})";
  record.value = value;
  decoder.decode(record, event);
  need(event.outcome == Outcome::contributes, "the event does not contribute");
  std::uint64_t number = std::uint64_t{1} << 40;
  const auto commit = [&] {
    Batch batch(view);
    for (int i = 0; i < 200; ++i) {
      event.fingerprint = fingerprint(number++);
      batch.add(event, {0, position.next + i});
    }
    batch.cover(partition, {position.next, position.next + 200, 0});
    const double from = wall_seconds();
    const CommitOutcome outcome = committing.commit(batch, {{partition, position}}, known);
    const double took = 1e3 * (wall_seconds() - from);
    need(std::holds_alternative<Applied>(outcome), "a commit was not applied");
    known = std::get<Applied>(outcome).head.seq;
    position.next += 200;
    return took;
  };
  std::vector<double> alone, meanwhile;
  for (const double end = wall_seconds() + 4; wall_seconds() < end;) alone.push_back(commit());
  double expiry = 0;
  std::atomic<bool> done = false;
  std::thread expiring([&] {
    PgStore store(database(), view, generation, "bench");
    store.connect();
    const double from = wall_seconds();
    store.expire();
    expiry = 1e3 * (wall_seconds() - from);
    done = true;
  });
  while (!done) meanwhile.push_back(commit());
  expiring.join();
  std::vector<double> after;  // vacuum, checkpoints
  for (const double end = wall_seconds() + 4; wall_seconds() < end;) after.push_back(commit());
  std::printf("{\"expire_ms\": %.0f, \"before\": %s, \"meanwhile\": %s, \"after\": %s}\n", expiry,
              quantiles(alone).c_str(), quantiles(meanwhile).c_str(), quantiles(after).c_str());
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string part = argc > 1 ? argv[1] : "";
  const auto number = [&](int i) { return static_cast<std::uint64_t>(std::strtoull(argv[i], nullptr, 10)); };
  if (part == "set" && argc == 3) return measure_set(number(2));
  if (part == "peer" && argc == 3) return measure_peer(number(2));
  if (part == "fill" && argc == 5) return fill(argv[2], number(3), number(4));
  if (part == "load" && argc == 3) return load(argv[2]);
  if (part == "expire" && argc == 3) return expire(argv[2]);
  std::fprintf(stderr,
               "usage: dedup_bench set|peer EVENTS | fill VIEW EVENTS EVENTS_A_CHUNK | load VIEW | expire VIEW\n");
  return 2;
}
