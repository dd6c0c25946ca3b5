// libFuzzer target: any bytes as a view definition (tests/support/definition_probe.h says what must hold).
#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include "tests/support/definition_probe.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string found = daybook::test::probe_definition({reinterpret_cast<const char*>(data), size});
  if (!found.empty()) {
    std::fprintf(stderr, "%s\n", found.c_str());
    std::abort();
  }
  return 0;
}
