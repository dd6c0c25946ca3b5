// What must hold whatever bytes are read as a view definition; used by the fuzzer and by the test of bad bytes.
#pragma once

#include <string>
#include <string_view>

namespace daybook::test {

// Reads `text` as a definition. Empty, or what is wrong with the answer: mistakes that are not one line of text each;
// a definition whose canonical form reads otherwise; or events, made up from its own pointers and types, about which
// worker and verify disagree.
std::string probe_definition(std::string_view text);

}  // namespace daybook::test
