// Dead letters as people and the dead-letter topic see them: listed, redriven, discarded, copied.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/owned_record.h"
#include "core/position.h"
#include "postgres/connection.h"

namespace daybook::sql {

struct DeadLetterFilter {
  std::vector<std::string> states;  // none: any
  std::vector<std::int64_t> ids;    // none: any
  std::vector<std::string> codes;   // none: any
  std::optional<std::string> topic, event_source, event_id, event_type;
  std::optional<std::int32_t> partition;
  std::optional<std::int64_t> from_offset, to_offset;  // both inclusive
  std::optional<std::int64_t> since, until;            // the record's own time, seconds since 1970 UTC: [since, until)
  std::optional<std::int64_t> newest_id;               // none that came after this one
};

struct StoredDeadLetter {
  std::int64_t id = 0;
  TopicPartition partition;
  std::int64_t offset = 0;
  OwnedRecord record;  // without the value where only the list was asked for
  std::int64_t value_bytes = 0;
  std::optional<std::string> record_time;  // RFC 3339, UTC
  std::string code, detail;
  std::optional<std::string> event_source, event_id, event_type;
  std::string state;
  std::string created_at;
  std::optional<std::string> settled_at, settled_by, reason;
  std::optional<std::int32_t> redriven_partition;
  std::optional<std::int64_t> redriven_offset;
};

enum class WithValues { no, yes };

struct DeadLetterCount {
  std::string state, code, topic;
  std::int64_t count = 0;
  std::int64_t newest_id = 0;
};
// How many there are of each state, code and topic. All of these throw RetryError.
std::vector<DeadLetterCount> count_dead_letters(pqxx::connection& connection, int generation,
                                                const DeadLetterFilter& filter);

// At most `limit`, in the order of topic, partition and offset; with `after`, those behind that one.
std::vector<StoredDeadLetter> dead_letters(pqxx::connection& connection, int generation, const DeadLetterFilter& filter,
                                           std::size_t limit, WithValues values,
                                           const StoredDeadLetter* after = nullptr);

// Marks the first `limit` of them; returns how many. Only new ones are ever discarded.
std::int64_t discard_dead_letters(pqxx::connection& connection, int generation, DeadLetterFilter filter,
                                  std::size_t limit, const std::string& reason);

struct Redriven {
  std::int64_t id = 0;
  std::int32_t partition = 0;  // where it was published
  std::int64_t offset = 0;
};
void mark_redriven(pqxx::connection& connection, int generation, const std::vector<Redriven>& letters);

// The Kafka cluster that a generation reads; none before its first worker.
std::optional<std::string> cluster_of(pqxx::connection& connection, int generation);

// One session at a time redrives a view's dead letters, and one copies them. False: another one does. Held until
// the connection ends.
enum class DeadLetterTask { redrive, copy };
bool try_begin(pqxx::connection& connection, int generation, DeadLetterTask task);

// The oldest ones that have no copy in the dead-letter topic yet, at most `limit`.
std::vector<StoredDeadLetter> not_copied(pqxx::connection& connection, int generation, std::size_t limit);
void mark_copied(pqxx::connection& connection, int generation, const std::vector<std::int64_t>& ids);

}  // namespace daybook::sql
