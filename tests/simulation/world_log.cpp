// What happens to the log of a simulated run, and what a person does about a paused view.
#include <algorithm>

#include "tests/simulation/world.h"

namespace daybook::simulation {

TopicPartition World::any_partition() {
  const auto count = static_cast<std::uint32_t>(log_.partitions.size());
  return std::next(log_.partitions.begin(), chaos_.below(count))->first;
}

int World::draw_event() {
  const auto any_of = [this](const EventGroup& group) {
    return group.first + static_cast<int>(chaos_.below(static_cast<std::uint32_t>(group.count)));
  };
  const std::uint32_t choice = chaos_.below(100);
  if (choice < 6) return any_of(events_.invalid);
  if (choice < 12) return any_of(events_.passed_over);
  if (choice < 16 && chaos_.profile.poison) return any_of(events_.poison);
  if (choice < 34 && !sent_.empty()) return sent_[chaos_.below(static_cast<std::uint32_t>(sent_.size()))];
  if (choice < 38 && next_valid_ > first_valid_) {
    // The id of an event of this run again, with other data.
    const int n = first_valid_ + static_cast<int>(chaos_.below(static_cast<std::uint32_t>(next_valid_ - first_valid_)));
    return events_.reused.first + n % events_.reused.count;
  }
  return events_.valid.first + next_valid_++ % events_.valid.count;
}

void World::produce(int count) {
  for (int i = 0; i < count; ++i) {
    const int event = draw_event();
    append(event);
    // A producer that tries again.
    if (events_[event].kind == Event::Kind::poison || chaos_.below(20) == 0) append(event);
  }
  chaos_.note("{} records are in the log", produced_);
}

void World::append(int event) {
  const TopicPartition partition = any_partition();
  if (log_.replaced.count(partition) > 0) return;
  if (events_[event].identity >= 0) sent_.push_back(event);
  const bool gaps = chaos_.profile.gaps;
  log_.partitions.at(partition).append(event, gaps && chaos_.below(8) == 0 ? 1 + static_cast<int>(chaos_.below(3)) : 0,
                                       gaps && chaos_.below(6) == 0 ? 1 : 0);
  ++produced_;
}

void World::flood() {
  const TopicPartition partition = any_partition();
  if (log_.replaced.count(partition) > 0) return;
  chaos_.count("flood of bad events");
  chaos_.note("a flood of bad events on {}", to_string(partition));
  for (int i = 0; i < 14; ++i) log_.partitions.at(partition).append(events_.invalid.first + i, 0, 0);
}

// Deleted and made again (it holds as many records, or more), or truncated (it holds fewer). The group notices.
void World::replace_log() {
  const TopicPartition partition = any_partition();
  if (log_.replaced.count(partition) > 0 || !database_.has_anchor(partition)) return;
  const PartitionLog& log = log_.partitions.at(partition);
  if (log.begin > 0) return;
  chaos_.count("topic made again or truncated");
  was_replaced_ = true;
  PartitionLog other;
  const std::int64_t next = database_.next_of(partition);
  const std::int64_t count = chaos_.flip() ? next + chaos_.below(10) : chaos_.below(static_cast<std::uint32_t>(next));
  for (std::int64_t i = 0; i < count; ++i)
    other.append(events_.foreign.first + static_cast<int>(i) % events_.foreign.count, 0, 0);
  chaos_.note("{} is replaced by another log of {} records", to_string(partition, next), count);
  log_.replaced[partition] = other;
  ++log_.incarnation;
  rebalance(0, true);
}

void World::restore_log() {
  if (log_.replaced.empty()) return;
  chaos_.note("the log is restored");
  log_.replaced.clear();
  ++log_.incarnation;
  rebalance(0, true);
}

void World::remove_old() {
  const TopicPartition partition = any_partition();
  const std::int64_t next = database_.next_of(partition);
  if (next < 0 || log_.replaced.count(partition) > 0) return;
  PartitionLog& log = log_.partitions.at(partition);
  log.begin = std::clamp<std::int64_t>(next + chaos_.below(10) - 6, log.begin, log.end);
  chaos_.count("retention");
  chaos_.note("retention: {} begins at {}, the view stands at {}", to_string(partition), log.begin, next);
}

void World::check_pause_has_cause() {
  if (!database_.is_paused()) return;
  const std::string why = database_.pause_reason();
  const auto says = [&why](const char* what) { return why.find(what) != std::string::npos; };
  const Profile& p = chaos_.profile;
  const bool time_jumps = p.long_waits || p.slow_commits;  // else a short log is not short for long enough
  const bool has_cause = (says("retention") && p.retention) || (says("not the record") && was_replaced_) ||
                         (says("log ends") && (was_replaced_ || (p.short_end > 0 && time_jumps))) ||
                         (says("can't be applied") && p.floods);
  if (!has_cause) throw Violation{"nothing pauses without a cause", why};
}

// A loop that paused goes on only after all workers were told, so that a person could resume the view.
void World::check_pause_is_stored(Worker& worker) {
  if (worker.loop->paused()) {
    worker.paused_for = worker.loop->paused();
    return;
  }
  if (worker.paused_for && !database_.was_paused_for(*worker.paused_for))
    throw Violation{"a pause reaches all workers", fmt::format("worker {} went on by itself", worker.number)};
  worker.paused_for.reset();
}

// A slow commit may stop what is taken in; nothing else is waited for.
void World::check_reads(const Worker& worker) {
  if (worker.loop->reading() && !worker.committer->busy() && !worker.source.is_reading())
    throw Violation{"who waits for no commit reads", fmt::format("worker {} does not", worker.number)};
}

// A person mends what the view was paused for, and resumes it.
void World::decide_about_pause() {
  if (!database_.is_paused()) return;
  check_pause_has_cause();
  chaos_.count("pause");
  restore_log();
  for (auto& [partition, log] : log_.partitions) {
    const std::int64_t next = database_.next_of(partition);
    if (next < 0 || next >= log.begin) continue;
    if (chaos_.flip() && !has_foreign_worker()) {
      chaos_.count("positions moved");
      chaos_.note("a person moves {} to {}", to_string(partition, next), log.begin);
      database_.move_position(partition, log.begin);
    } else {
      chaos_.note("a person restores {} from its first record", to_string(partition));
      log.begin = 0;
    }
  }
  chaos_.note("a person resumes the view");
  database_.resume();
}

}  // namespace daybook::simulation
