#include "tests/simulation/world.h"

#include <algorithm>

#include "core/error.h"
#include "tests/support/run_loop.h"

namespace daybook::simulation {

using namespace std::chrono_literals;

namespace {

constexpr int actions = 700;
constexpr int rounds_max = 6'000;

}  // namespace

World::Worker::Worker(int number, World& world)
    : number(number),
      source(number, world.events_, world.log_, world.database_, world.chaos_),
      session(number, world.database_, world.chaos_) {
  auto stepped = std::make_unique<SteppedCommitter>(session, world.chaos_, session.is_lent);
  committer = stepped.get();
  loop = std::make_unique<Loop>(world.events_.view(), test::test_key, source, session, world.chaos_.clock,
                                world.chaos_.profile.limits, std::move(stepped), world.chaos_.below(1'000'000));
}

World::World(const Events& events, std::uint32_t seed, std::vector<std::string>* history)
    : events_(events),
      chaos_(seed, history),
      invariants_(events),
      database_(events.view(), chaos_, log_, invariants_),
      places_(static_cast<std::size_t>(chaos_.profile.workers)) {
  // In most runs. Below what an empty batch has, nothing would ever be taken in.
  if (chaos_.below(4) > 0) {
    chaos_.profile.limits.bytes_max = Batch(events.view()).memory_bytes() + 1 + chaos_.below(4'000);
  }
  first_valid_ = next_valid_ = static_cast<int>(chaos_.below(static_cast<std::uint32_t>(events.valid.count)));
  for (int p = 0; p < chaos_.profile.partitions; ++p) log_.partitions[{Events::topic, p}];
}

void World::run() {
  produce(1 + static_cast<int>(chaos_.below(60)));
  for (Place& place : places_) start(place);
  for (int i = 0; i < actions; ++i) act();
  come_to_an_end();
}

// ---- what happens next ----

void World::act() {
  const std::uint32_t choice = chaos_.below(100);
  if (choice < 50) {
    step(any_place());
  } else if (choice < 80) {
    act_on_commit(choice);
  } else if (choice < 86) {
    chaos_.clock.pass(std::chrono::milliseconds(chaos_.below(150)));
    if (chaos_.profile.long_waits && chaos_.below(8) == 0) {
      static constexpr std::chrono::milliseconds waits[] = {2s, 12s, 31s, 61s};
      chaos_.clock.pass(waits[chaos_.below(4)]);
    }
  } else if (choice < 92) {
    act_on_log();
  } else if (choice < 96) {
    act_on_processes();
  } else {
    act_on_services();
  }
  check_pause_has_cause();
}

// A commit reaches the database, or its answer the worker: also those of frozen workers, and of processes that ended.
bool World::act_on_commit(std::uint32_t choice) {
  if (!ghosts_.empty() && choice == 50) {
    chaos_.count("commit of a process that ended");
    chaos_.note("the commit of worker {}, which ended, reaches the database", ghosts_.back()->number);
    ghosts_.back()->committer->execute();
    ghosts_.pop_back();
    return true;
  }
  Place& place = any_place();
  if (!place) return false;
  const bool slow = chaos_.profile.slow_commits && chaos_.below(4) != 0;
  if (slow) return false;
  if (place->committer->can_execute()) {
    place->committer->execute();
  } else if (place->committer->can_answer()) {
    place->committer->answer();
  }
  return true;
}

void World::act_on_processes() {
  const Profile& p = chaos_.profile;
  Place& place = any_place();
  switch (chaos_.below(6)) {
    case 0:
    case 1:
      if (!place) start(place);
      break;
    case 2:
      if (place && p.crashes) {
        if (chaos_.below(4) == 0) {
          leave(place);
        } else {
          crash(place, "crash");
        }
        if (chaos_.flip()) rebalance(4, false);
      }
      break;
    case 3:
      if (place && p.freezes && !place->is_frozen) {
        chaos_.count("worker frozen");
        chaos_.note("worker {} freezes", place->number);
        place->is_frozen = true;
        if (chaos_.flip()) rebalance(4, false);
      }
      break;
    case 4:
      if (place && place->is_frozen) {
        chaos_.note("worker {} wakes up", place->number);
        place->is_frozen = false;
        if (chaos_.flip()) rebalance(6, false);
      }
      break;
    default:
      if (p.storms || chaos_.below(5) == 0) rebalance(8, false);
  }
}

void World::act_on_services() {
  const Profile& p = chaos_.profile;
  switch (chaos_.below(8)) {
    case 0:
      if (p.database_away && !chaos_.database_is_away) {
        chaos_.count("database away");
        chaos_.note("the database is away");
        chaos_.database_is_away = true;
        database_.restart();
      }
      break;
    case 1:
      if (p.broker_away && !chaos_.broker_is_away) {
        chaos_.count("broker away");
        chaos_.note("the broker is away");
        chaos_.broker_is_away = true;
      }
      break;
    case 2:
    case 3:
      // A log in another's place is recognised by what was applied: not by a state that is older.
      if (p.failovers && log_.replaced.empty() && !has_foreign_worker()) {
        chaos_.count("failover to an older state");
        const std::int64_t before = database_.seq();
        database_.fail_over();
        chaos_.note("the database fails over: commit {} after {}", database_.seq(), before);
        invariants_.check(log_, database_);
      }
      break;
    default:
      if (chaos_.database_is_away || chaos_.broker_is_away) chaos_.note("database and broker are there");
      chaos_.database_is_away = chaos_.broker_is_away = false;
  }
}

void World::act_on_log() {
  const Profile& p = chaos_.profile;
  switch (chaos_.below(12)) {
    case 0:
      if (p.floods && chaos_.below(3) == 0) flood();
      break;
    case 1:
      if (p.partitions_added && log_.partitions.size() < 7) {
        chaos_.count("partition added");
        log_.partitions[{Events::topic, static_cast<std::int32_t>(log_.partitions.size())}];
        chaos_.note("a partition is added: {}", log_.partitions.size());
        rebalance(4, false);
      }
      break;
    case 2:
      if (p.replaced) replace_log();
      break;
    case 3:
      if (chaos_.below(3) == 0) restore_log();
      break;
    case 4:
      if (p.retention) remove_old();
      break;
    case 5:
    case 6:
      decide_about_pause();
      break;
    default:
      if (produced_ < static_cast<std::uint64_t>(p.records)) produce(1 + static_cast<int>(chaos_.below(20)));
  }
}

// ---- processes ----

void World::step(Place& place) {
  if (!place || place->is_frozen) return;
  try {
    place->loop->step();
    check_pause_is_stored(*place);
    check_reads(*place);
  } catch (const Crash&) {
    crash(place, "crash inside a call");
  } catch (const StopError& error) {
    const std::string what = error.what();
    chaos_.note("worker {} stops: {}", place->number, what);
    const bool fenced = what.find("fenced") != std::string::npos;
    const bool foreign = place->source.cluster != "cluster" && what.find("another cluster") != std::string::npos;
    if (!fenced && !foreign) throw Violation{"nothing stops without a cause", what};
    crash(place, fenced ? "stopped: fenced too often" : "stopped: other cluster");
  }
}

void World::start(Place& place) {
  place = std::make_unique<Worker>(++processes_, *this);
  chaos_.note("worker {} starts", place->number);
  if (chaos_.profile.wrong_cluster && database_.has_cluster() && chaos_.chance(300)) {
    chaos_.note("worker {} was given the brokers of another cluster", place->number);
    place->source.cluster = "other";
  }
  rebalance(4, false);
}

void World::crash(Place& place, const char* fault) {
  chaos_.count(fault);
  chaos_.note("worker {} ends: {}", place->number, fault);
  if (place->committer->can_execute() && chaos_.flip()) {
    ghosts_.push_back(std::move(place));
  } else {
    place.reset();
  }
}

void World::leave(Place& place) {
  try {
    place->loop->finish(1s);
  } catch (const Crash&) {
  }
  crash(place, "worker leaves");
}

// The group's members divide the partitions, and learn of it one by one. A frozen member may have been expelled: it
// learns that when it wakes up, perhaps after more work as an owner.
void World::rebalance(std::uint32_t polls_max, bool everybody_learns) {
  std::vector<Worker*> members;
  for (Place& place : places_) {
    if (!place) continue;
    if (!place->is_frozen || chaos_.flip()) {
      members.push_back(place.get());
    } else {
      place->source.assign({}, everybody_learns ? 0 : static_cast<int>(chaos_.below(4)));
    }
  }
  chaos_.count("rebalance");
  chaos_.note("rebalance: {} members", members.size());
  if (members.empty()) return;
  std::map<Worker*, std::vector<TopicPartition>> lists;
  const std::uint32_t first = chaos_.below(static_cast<std::uint32_t>(members.size()));
  std::size_t turn = first;
  for (const auto& [partition, records] : log_.partitions) lists[members[turn++ % members.size()]].push_back(partition);
  for (Worker* member : members) {
    member->source.assign(lists[member], polls_max == 0 ? 0 : static_cast<int>(chaos_.below(polls_max)));
  }
}

bool World::has_foreign_worker() const {
  return std::any_of(places_.begin(), places_.end(),
                     [](const Place& place) { return place && place->source.cluster != "cluster"; });
}

// ---- the end ----

void World::come_to_an_end() {
  chaos_.note("no more faults");
  chaos_.quiet = true;
  chaos_.database_is_away = chaos_.broker_is_away = false;
  for (Place& ghost : ghosts_) ghost->committer->execute();
  ghosts_.clear();
  restore_log();
  for (Place& place : places_) {
    if (place) {
      place->is_frozen = false;
      place->source.cluster = "cluster";
    } else {
      start(place);
    }
  }
  rebalance(2, false);
  std::int64_t seq = -1;
  int idle = 0;
  for (int round = 0; round < rounds_max; ++round) {
    for (Place& place : places_) {
      step(place);
      if (!place) start(place);
      if (place->committer->can_execute()) place->committer->execute();
      if (place->committer->can_answer()) place->committer->answer();
    }
    decide_about_pause();
    if (round == 30 && chaos_.profile.stuck > 0) {
      // Nothing else starts reading again now.
      chaos_.note("all fetchers are stuck");
      for (Place& place : places_) place->source.get_stuck();
      produce(10);
    }
    idle = database_.seq() == seq ? idle + 1 : 0;
    seq = database_.seq();
    chaos_.clock.pass(idle > 20 ? 1'000ms : 20ms);
    if (round <= 30 || !everything_is_read()) continue;
    invariants_.check(log_, database_);
    invariants_.check_with_verify(log_, database_);
    check_all_caught_up();
    return;
  }
  std::string where;
  for (const auto& [partition, records] : log_.partitions)
    where += fmt::format(" {} of {}", to_string(partition, database_.next_of(partition)), records.end);
  throw Violation{"everything is read", "the workers stand at" + where};
}

bool World::everything_is_read() const {
  return !database_.is_paused() &&
         std::all_of(log_.partitions.begin(), log_.partitions.end(),
                     [this](const auto& entry) { return database_.next_of(entry.first) == entry.second.end; });
}

void World::check_all_caught_up() {
  // A stuck fetcher with nothing to read is not noticed, and need not be.
  for (Place& place : places_) {
    if (place) place->source.get_free();
  }
  for (int round = 0; round < 300; ++round) {
    bool all = true;
    for (Place& place : places_) {
      step(place);
      if (!place) start(place);
      if (place->committer->can_execute()) place->committer->execute();
      if (place->committer->can_answer()) place->committer->answer();
      all = all && (place->loop->caught_up() || !place->source.has_partitions());
    }
    if (all) return;
    decide_about_pause();  // a flood at the very end
    chaos_.clock.pass(100ms);
  }
  throw Violation{"everything is read", "a worker does not know that it is at the end"};
}

}  // namespace daybook::simulation
