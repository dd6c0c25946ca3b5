// libFuzzer target: any bytes as a record (tests/support/message_text.h), through the worker's decoder and verify's
// judgement, against a view with every type of key and every test, and against the views that are shipped.
// An input fails when it crashes, leaks, hangs, or when the two disagree.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <list>

#include "core/definition_reader.h"
#include "tests/support/message_text.h"
#include "tests/support/referee.h"

using namespace daybook;
using namespace daybook::test;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static std::list<Referee> referees = [] {
    std::list<Referee> list;
    for (const ViewDefinition& view :
         load_definitions({DAYBOOK_SOURCE_DIR "/tests/fuzz/every_kind.json",
                           DAYBOOK_SOURCE_DIR "/schemas/bloodbank/views/dashboard_daily_summary.json"}))
      list.emplace_back(view);
    return list;
  }();
  const Message message = read_message({reinterpret_cast<const char*>(data), size});
  for (Referee& referee : referees) {
    if (const std::string found = referee.disagreement(message); !found.empty()) {
      std::fprintf(stderr, "%s\n", found.c_str());
      std::abort();
    }
  }
  return 0;
}
