// COPY … TO STDOUT, as PostgreSQL sends it: libpqxx knows the text format only.
#pragma once

#include <functional>
#include <string>
#include <string_view>

namespace daybook::postgres {

// Runs the statement in a session of its own and hands over what comes, a line or more at a time. Throws as connect()
// and rethrow() do; what `each` throws passes through.
void copy_out(const std::string& uri, const std::string& statement, const std::function<void(std::string_view)>& each);

}  // namespace daybook::postgres
