#include "reader/access/recent_callers.h"

#include <sodium/crypto_shorthash.h>
#include <sodium/randombytes.h>

#include <array>
#include <cstring>

namespace daybook::reader {
namespace {

using Key = std::array<unsigned char, crypto_shorthash_siphashx24_KEYBYTES>;

const Key& process_key() {
  static const Key key = [] {
    Key random;
    randombytes_buf(random.data(), random.size());
    return random;
  }();
  return key;
}

}  // namespace

RecentCallers::RecentCallers() : entries_(size) {}

const Known* RecentCallers::find(std::string_view authorization, std::uint64_t gate, std::uint64_t version, Time now) {
  static_assert(crypto_shorthash_siphashx24_BYTES == sizeof(Hash));
  unsigned char bytes[sizeof(Hash)];
  crypto_shorthash_siphashx24(bytes, reinterpret_cast<const unsigned char*>(authorization.data()), authorization.size(),
                              process_key().data());
  std::memcpy(&sought_, bytes, sizeof sought_);
  const Entry& entry = entries_[sought_.low % size];
  if (entry.gate != gate || entry.version != version || entry.hash != sought_) return nullptr;
  const std::int64_t seconds = unix_seconds(now);
  return seconds >= entry.known.from && seconds < entry.known.until ? &entry.known : nullptr;
}

void RecentCallers::keep(const Known& known, std::uint64_t gate, std::uint64_t version) {
  entries_[sought_.low % size] = {sought_, gate, version, known};
}

}  // namespace daybook::reader
