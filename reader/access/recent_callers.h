// Who a thread has just let in, by a keyed hash of the whole Authorization header: a busy client's token is looked up
// once a second or so, not at each request (SHA-256 and the look-up took 8 % of an answer's CPU). One for each thread.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "reader/access/known.h"

namespace daybook::reader {

class RecentCallers {
 public:
  RecentCallers();

  // Null when that header was not kept, its time is over, or it was checked against other files than those that hold
  // now (gate: whose; version: which of its files). Valid until the next call.
  const Known* find(std::string_view authorization, std::uint64_t gate, std::uint64_t version, Time now);
  // Puts it where find() has just looked for it.
  void keep(const Known& known, std::uint64_t gate, std::uint64_t version);

 private:
  // 128 bits under a key that nobody outside knows: the token itself is not kept, and nobody can make two that meet.
  struct Hash {
    std::uint64_t high = 0, low = 0;
    bool operator==(const Hash&) const = default;
  };
  struct Entry {
    Hash hash;
    std::uint64_t gate = 0;  // 0: empty
    std::uint64_t version = 0;
    Known known;
  };
  static constexpr std::size_t size = 1024;  // a power of two; a newer one takes an older one's place

  Hash sought_;
  std::vector<Entry> entries_;
};

}  // namespace daybook::reader
