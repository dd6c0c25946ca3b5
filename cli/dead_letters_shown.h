// Dead letters as `daybook dead-letters` prints them.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "sql/dead_letters.h"

namespace daybook::shown {

// "member 10, range 2"
std::string by_code(const std::vector<sql::DeadLetterCount>& counts);
std::int64_t total(const std::vector<sql::DeadLetterCount>& counts);

// "1 new dead letter", "2 dead letters"; `state` may be "all".
std::string counted(std::int64_t count, const std::string& state = "all");

// A line for each.
std::string list(const std::vector<sql::StoredDeadLetter>& letters);

// All of one, its value included: as text where it is text, else in base64.
std::string whole(const sql::StoredDeadLetter& letter);

nlohmann::ordered_json as_json(const sql::StoredDeadLetter& letter, sql::WithValues values);

// One object on one line.
void print(const nlohmann::ordered_json& report);

}  // namespace daybook::shown
