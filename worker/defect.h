// Deliberate defects of the worker, for the test that shows that the simulation finds them (tests/simulation/). In the
// product the constant false: nothing of them is compiled in.
#pragma once

#ifdef DAYBOOK_DEFECTS
#include <string_view>

namespace daybook {
// Whether the defect of this name is switched on. Defined by the test.
bool defect_is_on(std::string_view name);
}  // namespace daybook

#define DAYBOOK_DEFECT(name) (::daybook::defect_is_on(name))
#else
#define DAYBOOK_DEFECT(name) false
#endif
