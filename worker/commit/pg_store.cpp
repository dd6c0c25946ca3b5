#include "worker/commit/pg_store.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <future>

#include "core/error.h"
#include "sql/render.h"
#include "worker/commit/binary_array.h"
#include "worker/commit/commit_parameters.h"

namespace daybook {
namespace {

// Fingerprints that load() asks for at once: 4 MiB, plus one row at most.
constexpr std::int64_t events_a_range = 1 << 18;

// A reader that lags by less finds all it missed in the change feed: two slots of these sizes stay. 16,384 entries are
// a minute of 270 commits a second; 64 MiB of entries with rows are some 400,000 of them.
constexpr std::int64_t change_slot_entries = 8192;
constexpr std::int64_t change_slot_bytes = 32 << 20;
constexpr auto expire_change_interval = std::chrono::seconds(1);  // so that no slot grows far beyond its size

// "ERROR:  integer out of range\nCONTEXT: ..." -> "integer out of range"
std::string first_line(const char* what) {
  std::string line(what);
  line.resize(std::min(line.find('\n'), line.size()));
  const std::string prefix = "ERROR:  ";
  return line.rfind(prefix, 0) == 0 ? line.substr(prefix.size()) : line;
}

}  // namespace

PgStore::PgStore(std::string uri, const ViewDefinition& view, sql::Generation generation, std::string owner)
    : uri_(std::move(uri)), view_(view), generation_(std::move(generation)), owner_(std::move(owner)) {}

bool PgStore::connect() {
  if (connection_ && connection_->is_open()) return false;
  connection_ = postgres::connect(uri_, "daybook-worker/" + view_.name);
  const std::string g = std::to_string(generation_.id);
  try {
    pqxx::nontransaction transaction(*connection_);
    // A server that hangs must not hang the worker for ever; an idle session must not hold anything.
    // The commit function relies on a fresh snapshot for each of its statements, whatever the role's default is.
    transaction.exec(
        "SET statement_timeout = '300s'; SET idle_in_transaction_session_timeout = '10s'; SET bytea_output = 'hex';"
        " SET default_transaction_isolation = 'read committed'");
    connection_->prepare("commit", sql::render_commit_call(view_, generation_.id));
    connection_->prepare("take",
                         "SELECT outcome, detail, topic, partition, next_offset, epoch, anchor_offset, anchor_time_ms,"
                         " anchor_hash FROM daybook.take(" +
                             g + ", $1, $2, $3, $4, $5)");
    // The first reason stays: what follows from it is no news.
    connection_->prepare("pause",
                         "UPDATE daybook.generation SET paused = $1, paused_at = clock_timestamp() WHERE paused IS NULL"
                         " AND id = " +
                             g);
    connection_->prepare("head", "SELECT seq, nonce FROM daybook.view_head WHERE generation = " + g);
    // The head and the chunks of one snapshot. The first row that can hold something newer than $1 is the last one
    // that began at or before the next commit.
    // The generation by its number everywhere: so that a plan touches no other view's tables.
    connection_->prepare(
        "tail",
        "SELECT h.seq, h.nonce, s.fingerprints FROM daybook.view_head h LEFT JOIN daybook.seen s ON s.generation = " +
            g +
            " AND s.last_seq > $1 AND s.first_seq >= coalesce((SELECT max(o.first_seq) FROM daybook.seen o"
            " WHERE o.generation = " +
            g + " AND o.first_seq <= $1 + 1), 0) WHERE h.generation = " + g + " ORDER BY s.first_seq");
    connection_->prepare("expire", "SELECT oldest_seconds FROM daybook.expire_seen(" + g + ", $1)");
    connection_->prepare("expire_change", "SELECT daybook.expire_change(" + g + ", $1, $2)");
    // The first fingerprint of the newest row that begins with or before the window, and the end.
    connection_->prepare("window",
                         "SELECT h.seq, h.nonce, h.seen_events, coalesce((SELECT max(s.first_event) FROM daybook.seen s"
                         " WHERE s.generation = " +
                             g +
                             " AND s.first_event <= h.seen_events - $1), (SELECT min(s.first_event) FROM daybook.seen s"
                             " WHERE s.generation = " +
                             g + "), h.seen_events) FROM daybook.view_head h WHERE h.generation = " + g);
  } catch (...) {
    connection_.reset();
    postgres::rethrow("database: preparing the statements of view " + view_.name);
  }
  return true;
}

Head PgStore::head() {
  try {
    pqxx::nontransaction transaction(*connection_);
    const pqxx::result rows = postgres::exec_prepared(transaction, "head");
    if (rows.empty())
      throw StopError("database: view " + view_.name + " has lost its generation " + std::to_string(generation_.id));
    return {rows[0][0].as<std::int64_t>(), rows[0][1].as<std::string>()};
  } catch (...) {
    connection_.reset();
    postgres::rethrow("database: reading the head of view " + view_.name);
  }
}

// In ranges of fingerprint numbers, so that memory is bounded whatever the rows' sizes are; the next range is received
// while the one before is added to the set. A cursor, because only one of those has a binary format in libpqxx.
Head PgStore::load(const std::function<void(std::uint64_t)>& expect,
                   const std::function<void(std::span<const Fingerprint>)>& each_chunk) {
  try {
    // One snapshot for the head and all chunks.
    pqxx::transaction<pqxx::repeatable_read> transaction(*connection_);
    transaction.exec("SET LOCAL idle_in_transaction_session_timeout = 0");  // adding a chunk to the set takes its time
    const pqxx::result window =
        postgres::exec_prepared(transaction, "window", static_cast<std::int64_t>(view_.deduplication_window_events));
    const Head found{window.at(0)[0].as<std::int64_t>(), window.at(0)[1].as<std::string>()};
    const std::int64_t end = window.at(0)[2].as<std::int64_t>();
    const std::int64_t begin = window.at(0)[3].as<std::int64_t>();
    const std::string rows =
        "DECLARE chunks BINARY NO SCROLL CURSOR FOR SELECT fingerprints FROM daybook.seen WHERE generation = " +
        std::to_string(generation_.id) + " AND first_event >= ";
    const auto receive = [&](std::int64_t from) {
      transaction.exec(rows + std::to_string(from) + " AND first_event < " + std::to_string(from + events_a_range) +
                       " ORDER BY first_event");
      pqxx::result range = transaction.exec("FETCH ALL FROM chunks");
      transaction.exec("CLOSE chunks");
      return range;
    };
    expect(static_cast<std::uint64_t>(end - begin));
    std::future<pqxx::result> next;
    for (std::int64_t from = begin; from < end; from += events_a_range) {
      const pqxx::result range = next.valid() ? next.get() : receive(from);
      if (from + events_a_range < end) next = std::async(std::launch::async, receive, from + events_a_range);
      for (const auto& row : range) {
        each_chunk(fingerprints_from({row[0].c_str(), row[0].size()}, sizeof(Fingerprint)));
      }
    }
    transaction.commit();
    return found;
  } catch (...) {
    connection_.reset();
    postgres::rethrow("database: loading the fingerprints of view " + view_.name);
  }
}

Tail PgStore::read_tail(pqxx::transaction_base& transaction, std::int64_t seq) {
  Tail tail;
  for (const auto& row : postgres::exec_prepared(transaction, "tail", seq)) {
    tail.head = {row[0].as<std::int64_t>(), row[1].as<std::string>()};
    if (row[2].is_null()) continue;
    const std::vector<Fingerprint> chunk = fingerprints_from(postgres::bytes_of(row[2]), sizeof(Fingerprint));
    tail.fingerprints.insert(tail.fingerprints.end(), chunk.begin(), chunk.end());
  }
  return tail;
}

Tail PgStore::tail(std::int64_t seq) {
  try {
    pqxx::nontransaction transaction(*connection_);
    return read_tail(transaction, seq);
  } catch (...) {
    connection_.reset();
    postgres::rethrow("database: reading the newest fingerprints of view " + view_.name);
  }
}

TakeOutcome PgStore::take(const std::string& cluster_id, const std::vector<TopicPartition>& partitions,
                          const Positions& first) {
  BinaryArray topics(PgType::text, partitions.size()), numbers(PgType::int4, partitions.size()),
      starts(PgType::int8, partitions.size());
  for (const TopicPartition& partition : partitions) {
    topics.add_bytes(partition.topic);
    numbers.add_int4(partition.partition);
    starts.add_int8(first.at(partition));
  }
  try {
    pqxx::nontransaction transaction(*connection_);
    OwnedPositions owned;
    for (const auto& row : postgres::exec_binary(transaction, "take",
                                                 {cluster_id, owner_, topics.take(), numbers.take(), starts.take()})) {
      const std::string outcome = row[0].as<std::string>();
      if (outcome == "paused") return Paused{row[1].as<std::string>()};
      if (outcome == "other_cluster") {
        throw StopError("view " + view_.name + " reads the Kafka cluster " + row[1].as<std::string>() +
                        ", these brokers are of cluster " + cluster_id +
                        ": give this worker the right --brokers; if the topics were moved with their offsets, run"
                        " `daybook positions move " +
                        view_.name + " --to current`");
      }
      OwnedPosition& position = owned[{row[2].as<std::string>(), row[3].as<std::int32_t>()}];
      position.next = row[4].as<std::int64_t>();
      position.epoch = row[5].as<std::int64_t>();
      if (row[6].is_null()) continue;
      position.anchor = Anchor{row[6].as<std::int64_t>(), row[7].as<std::int64_t>(),
                               static_cast<std::uint64_t>(row[8].as<std::int64_t>())};
    }
    return owned;
  } catch (...) {
    connection_.reset();
    postgres::rethrow("database: taking partitions for view " + view_.name);
  }
}

void PgStore::pause(const std::string& why) {
  try {
    pqxx::nontransaction transaction(*connection_);
    postgres::exec_prepared(transaction, "pause", why);
  } catch (...) {
    connection_.reset();
    postgres::rethrow("database: pausing view " + view_.name);
  }
}

CommitOutcome PgStore::commit(const Batch& batch, const OwnedPositions& owned, std::int64_t known_seq) {
  try {
    CommitOutcome outcome = call_commit(batch, owned, known_seq);
    // Here and not where it failed: the transaction object uses its connection until it is gone.
    if (std::holds_alternative<Unknown>(outcome)) connection_.reset();
    return outcome;
  } catch (const pqxx::broken_connection& error) {
    connection_.reset();
    return Unknown{first_line(error.what())};
  } catch (const pqxx::sql_error& error) {
    // The statement failed as a whole: nothing of it happened. Classes 22 (data) and 23 (constraint) accuse the
    // data, and so does a value too large for an index (54000); all else is the database's trouble, and reading starts
    // again from the stored positions.
    const std::string state = postgres::sqlstate(error);
    if (state.rfind("22", 0) == 0 || state.rfind("23", 0) == 0 || state == "54000")
      return Refused{state, first_line(error.what())};
    if (state == "57014") return TooSlow{};
    if (state == "42501") {
      return Retired{"this user may not commit: " + std::string(first_line(error.what())) +
                     ": it needs the role daybook_write (docs/security.md)"};
    }
    if (state.rfind("42", 0) == 0 || state.rfind("3F", 0) == 0) {
      return Retired{"the commit function or the table of generation " + std::to_string(generation_.id) +
                     " is not usable: " + first_line(error.what()) + " (run `daybook views apply` with this program)"};
    }
    connection_.reset();
    return Unknown{first_line(error.what())};
  } catch (const std::exception& error) {
    connection_.reset();
    return Unknown{first_line(error.what())};
  }
}

CommitOutcome PgStore::call_commit(const Batch& batch, const OwnedPositions& owned, std::int64_t known_seq) {
  pqxx::nontransaction transaction(*connection_);
  const pqxx::result rows =
      postgres::exec_binary(transaction, "commit", commit_parameters(view_, batch, owned, known_seq));
  const std::string outcome = rows.at(0)[0].as<std::string>();
  if (outcome == "fenced") return Fenced{};
  if (outcome == "behind") return Behind{};
  if (outcome == "paused") return Paused{rows[0][4].as<std::string>()};
  if (outcome == "duplicates") return CommittedElsewhere{fingerprints_from(postgres::bytes_of(rows[0][3]), 12)};
  if (outcome == "retired") {
    return Retired{"generation " + std::to_string(generation_.id) +
                   " of this view is not live any more, or its table was replaced"};
  }
  announce(transaction);
  Applied applied{{rows[0][1].as<std::int64_t>(), rows[0][2].as<std::string>()}, {}};
  if (applied.head.seq != known_seq + 1) {
    // Others committed in between; the function checked this batch against theirs. The caller's set needs them before
    // its next batch. A failure here must not hide that the commit happened: the others are then read at once again.
    try {
      Tail tail = read_tail(transaction, known_seq);
      applied.others = std::move(tail.fingerprints);
      applied.head = tail.head;
    } catch (const std::exception&) {
      return Unknown{"committed, but reading the other workers' fingerprints failed"};
    }
  }
  return applied;
}

// Wakes the readers. By itself, after the commit: in the commit's transaction it would hold a lock of the whole server
// until the commit is on disk. Without a flush of its own, since nothing was written. What fails here changes nothing
// of the commit's outcome: readers look by themselves, a little later, and a broken session is noticed by its next use.
void PgStore::announce(pqxx::transaction_base& transaction) {
  try {
    transaction.exec("NOTIFY daybook_change_" + std::to_string(generation_.id));
    announcing_fails_ = false;
    const auto now = std::chrono::steady_clock::now();
    if (now < expire_change_at_) return;
    expire_change_at_ = now + expire_change_interval;
    postgres::exec_prepared(transaction, "expire_change", change_slot_entries, change_slot_bytes);
  } catch (const std::exception& error) {
    if (!announcing_fails_)
      spdlog::warn("{}: committed, but telling the readers failed: {}", view_.name, first_line(error.what()));
    announcing_fails_ = true;
  }
}

std::optional<std::chrono::seconds> PgStore::expire() {
  try {
    pqxx::nontransaction transaction(*connection_);
    const pqxx::result rows =
        postgres::exec_prepared(transaction, "expire", static_cast<std::int64_t>(view_.deduplication_window_events));
    if (rows.at(0)[0].is_null()) return std::nullopt;
    return std::chrono::seconds(rows[0][0].as<std::int64_t>());
  } catch (...) {
    connection_.reset();
    postgres::rethrow("database: dropping old fingerprints of view " + view_.name);
  }
}

}  // namespace daybook
