// Registers `daybook views diff`.
#pragma once

#include <CLI/CLI.hpp>

namespace daybook {

void add_views_diff(CLI::App& views, int& code);

}  // namespace daybook
