#include "tests/simulation/source.h"

#include <algorithm>

#include "core/error.h"

namespace daybook::simulation {

void SimulatedSource::assign(std::vector<TopicPartition> partitions, int polls) {
  const bool revoked = pending_ && pending_->revoked;
  pending_ = Pending{std::move(partitions), polls, revoked};
}

Polled SimulatedSource::poll(std::chrono::milliseconds timeout) {
  chaos_.maybe_crash("poll");
  // What the former poll delivered is gone.
  std::fill(arena_.begin(), arena_.end(), '#');
  arena_.clear();
  bytes_.clear();
  records_.clear();
  ends_.clear();
  chaos_.clock.pass(std::chrono::milliseconds(1));
  Polled polled;
  if (deliver_assignment(polled) || chaos_.broker_is_away || next_.empty()) {
    if (next_.empty()) chaos_.clock.pass(timeout / 10);
    return polled;
  }
  if (incarnation_ != log_.incarnation) throw Violation{"simulation", "a log was replaced without a revocation"};
  if (chaos_.chance(chaos_.profile.stale)) deliver_stale();
  // One or two partitions at a time, in any order.
  for (int i = 1 + static_cast<int>(chaos_.below(2)); i > 0; --i) {
    auto chosen = std::next(next_.begin(), chaos_.below(static_cast<std::uint32_t>(next_.size())));
    if (std::find(stuck_.begin(), stuck_.end(), chosen->first) != stuck_.end()) continue;
    if (chaos_.chance(chaos_.profile.stuck)) {
      chaos_.count("fetcher stuck");
      chaos_.note("worker {}: the fetcher of {} is stuck", worker_, to_string(chosen->first));
      stuck_.push_back(chosen->first);
      continue;
    }
    deliver_run(chosen->first, chosen->second);
  }
  finish_records();
  polled.records = records_;
  polled.ends = ends_;
  return polled;
}

// Revocation and assignment come in one poll or in two.
bool SimulatedSource::deliver_assignment(Polled& polled) {
  // A log that took another's place is never read on without a revocation.
  if (!pending_ || (pending_->polls-- > 0 && incarnation_ == log_.incarnation)) return false;
  const bool together = chaos_.flip();
  if (!pending_->revoked) {
    chaos_.note("worker {}: revoked", worker_);
    polled.revoked = pending_->revoked = true;
    assigned_.clear();
    next_.clear();
    if (!together) return true;
  }
  chaos_.note("worker {}: assigned {} partitions", worker_, pending_->partitions.size());
  assigned_ = pending_->partitions;
  polled.assigned = assigned_;
  pending_.reset();
  return true;
}

void SimulatedSource::deliver_run(const TopicPartition& partition, std::int64_t& next) {
  const PartitionLog& log = log_.current(partition);
  if (next < log.begin || next > log.end) throw RetryError("kafka: " + to_string(partition, next) + " is out of range");
  std::size_t run = 1 + chaos_.below(static_cast<std::uint32_t>(chaos_.profile.run_max));
  auto record = log.records.lower_bound(next);
  for (; record != log.records.end() && run > 0; ++record, --run) {
    add_record(partition, record->first, record->second);
    next = record->first + 1;
  }
  if (record != log.records.end()) return;
  next = log.end;
  const auto [told, is_new] = end_told_.try_emplace(partition, -1);
  if (told->second == log.end) return;
  told->second = log.end;
  ends_.emplace_back(partition, log.end);
}

// Seen in practice: a record from below the position, or of a partition that is not read any more.
void SimulatedSource::deliver_stale() {
  auto chosen = std::next(log_.partitions.begin(), chaos_.below(static_cast<std::uint32_t>(log_.partitions.size())));
  const auto read = next_.find(chosen->first);
  const auto& records = log_.current(chosen->first).records;
  const auto end = read == next_.end() ? records.end() : records.lower_bound(read->second);
  const auto count = std::distance(records.begin(), end);
  if (count == 0) return;
  const auto record = std::next(records.begin(), chaos_.below(static_cast<std::uint32_t>(count)));
  chaos_.count("stale record");
  chaos_.note("worker {}: stale record {}", worker_, to_string(chosen->first, record->first));
  add_record(chosen->first, record->first, record->second);
}

void SimulatedSource::add_record(const TopicPartition& partition, std::int64_t offset, int number) {
  const Event& event = events_[number];
  Record record;
  record.partition = partition.partition;
  record.offset = offset;
  record.timestamp_ms = Events::timestamp_ms;
  Bytes bytes;
  const auto keep = [this](const std::optional<std::string>& from, std::size_t& at, std::size_t& size) {
    at = arena_.size();
    if (from) arena_ += *from;
    size = arena_.size() - at;
    return from.has_value();
  };
  bytes.has_key = keep(event.key, bytes.key_at, bytes.key_size);
  bytes.has_value = keep(event.value, bytes.value_at, bytes.value_size);
  bytes_.push_back(bytes);
  records_.push_back(record);
}

void SimulatedSource::finish_records() {
  const std::string_view all = arena_;
  for (std::size_t i = 0; i < records_.size(); ++i) {
    const Bytes& bytes = bytes_[i];
    if (bytes.has_key) records_[i].key = all.substr(bytes.key_at, bytes.key_size);
    if (bytes.has_value) records_[i].value = all.substr(bytes.value_at, bytes.value_size);
  }
}

void SimulatedSource::start(const Positions& positions) {
  chaos_.maybe_crash("start");
  for (const auto& [partition, next] : positions) {
    if (std::find(assigned_.begin(), assigned_.end(), partition) == assigned_.end())
      throw Violation{"only assigned partitions are read", to_string(partition, next)};
  }
  next_ = positions;
  end_told_.clear();
  stuck_.clear();
  incarnation_ = log_.incarnation;
}

void SimulatedSource::stop() {
  next_.clear();
  stuck_.clear();
}

std::string SimulatedSource::cluster_id() {
  if (chaos_.broker_is_away || chaos_.chance(chaos_.profile.broker_fails)) throw RetryError("kafka: timed out");
  return cluster;
}

LogRange SimulatedSource::range(const TopicPartition& partition) {
  chaos_.maybe_crash("range");
  if (chaos_.broker_is_away || chaos_.chance(chaos_.profile.broker_fails)) throw RetryError("kafka: timed out");
  const PartitionLog& log = log_.current(partition);
  // A new leader may not know the end yet.
  if (chaos_.chance(chaos_.profile.short_end)) return {log.begin, std::max(log.begin, log.end - 5)};
  return {log.begin, log.end};
}

std::int64_t SimulatedSource::known_end(const TopicPartition& partition) {
  return chaos_.chance(100) ? -1 : log_.current(partition).end;
}

void SimulatedSource::mirror(const Positions& positions) {
  for (const auto& [partition, next] : positions) {
    if (next > database_.furthest(partition))
      throw Violation{"the group's progress follows the commits", to_string(partition, next)};
  }
}

}  // namespace daybook::simulation
