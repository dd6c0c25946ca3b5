// Daybook's group roles (daybook_migrate, daybook_write, daybook_read) and what each may do; docs/security.md.
#pragma once

#include <string>
#include <vector>

#include "postgres/connection.h"

namespace daybook::sql {

// Makes the roles that are missing and grants what they lack, for the bookkeeping and for each live view. Returns the
// statements that this user may not run (managed databases often allow no CREATE ROLE); they leave no trace.
std::vector<std::string> grant_roles(pqxx::dbtransaction& transaction);

}  // namespace daybook::sql
