// What `publish` and `simulate` share: a producer with bounded patience, topics made ready on first use,
// progress on a terminal, signals, and the account at the end.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "producer/producer.h"

namespace daybook::publishing {

// From its making on, SIGINT and SIGTERM ask the command to finish; a second one ends it at once.
class Interruption {
 public:
  Interruption();
  static bool asked();
};

// "1,234,567 events, 98,765/s" on standard error, rewritten in place; silent when that is no terminal.
class Progress {
 public:
  Progress();
  ~Progress() { clear(); }
  void show(std::uint64_t events);  // cheap enough for every event
  void clear();                     // before another line goes to standard error
  double seconds() const;

 private:
  bool terminal_;
  bool shown_ = false;
  std::chrono::steady_clock::time_point started_;
  std::chrono::steady_clock::time_point due_;
  std::uint64_t calls_ = 0;
};

struct SessionSettings {
  std::string brokers;
  std::vector<std::string> properties;  // NAME=VALUE
  std::chrono::seconds timeout{30};     // for the broker to answer, and for each delivery
  int create_topics = 0;                // partitions of topics that are missing; 0: they must exist
};

class Session {
 public:
  // Connects. Throws UsageError and RetryError.
  explicit Session(const SessionSettings& settings);

  Producer& producer() { return producer_; }

  // The number of the topic's partitions; on first use the topic is checked and, if asked for, created.
  std::int32_t ready(const std::string& topic);

  // A delivery has failed: going on makes no sense.
  bool lost() const { return producer_.report().failed != 0; }

  // Waits for all deliveries. Prints the position after the last event of each partition, or with `json` the
  // summary with the members "published" and "positions" added. Throws RetryError when deliveries failed.
  void finish(bool json, nlohmann::ordered_json summary);

 private:
  SessionSettings settings_;
  Producer producer_;
  std::map<std::string, std::int32_t> partitions_;
};

// "1,234,567"
std::string with_commas(std::uint64_t number);

}  // namespace daybook::publishing
