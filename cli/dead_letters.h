// What the files of `daybook dead-letters` share.
#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "cli/command.h"
#include "sql/dead_letters.h"

namespace daybook {

constexpr std::size_t no_limit = std::numeric_limits<std::int64_t>::max();

struct DeadLettersOptions {
  std::string view;
  BrokerOptions broker;
  DatabaseOptions database;
  sql::DeadLetterFilter filter;
  std::string state = "new";
  std::string offsets, since, until;
  std::size_t limit = no_limit;
  bool json = false;
  bool raw = false;
  bool yes = false;
  std::string reason;
  std::vector<std::string> corrections;
};

// What a command is about to change: what is there now, not what comes meanwhile.
struct Selection {
  sql::DeadLetterFilter filter;
  std::int64_t count = 0;
  std::string codes, topics;
};
Selection select(pqxx::connection& connection, int generation, const DeadLettersOptions& options);

// Asks on a terminal unless --yes was given. `what` completes "Going to ...".
bool is_confirmed(const DeadLettersOptions& options, const std::string& what);

// The end of a command that found nothing to do; `verb` is the member of its JSON.
int say_nothing_matches(const DeadLettersOptions& options, const char* verb);

int redrive(const DeadLettersOptions& options);

}  // namespace daybook
