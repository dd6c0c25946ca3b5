// The files of sql/, as they were when the program was built.
#pragma once

#include <map>
#include <string>

namespace daybook::sql {

// By folder and name ("migrations/001_bookkeeping.sql"), in that order.
const std::map<std::string, std::string>& embedded();

}  // namespace daybook::sql
