// Does what sanitizers are to find, one defect for each: a run in which they find nothing means something only if they
// find these. Built by the sanitizers' presets alone; each test passes when the report is there.
#include <climits>
#include <cstdio>
#include <cstring>
#include <memory>
#include <thread>

namespace {

// Kept from the optimizer, which would see through each of them.
volatile int one = 1;

int use_after_free() {
  auto value = std::make_unique<int>(one);
  const int* const gone = value.get();
  value.reset();
  return *gone;
}

int overflow() { return INT_MAX - 1 + one + one; }

int leak() {
  static_cast<void>(*new int(one));
  return 0;
}

int race() {
  int shared = 0;
  std::thread other([&shared] { shared += one; });
  shared += one;
  other.join();
  return shared;
}

}  // namespace

int main(int count, char** arguments) {
  const char* const defect = count == 2 ? arguments[1] : "";
  int result = 2;
  if (std::strcmp(defect, "use-after-free") == 0) result = use_after_free();
  if (std::strcmp(defect, "overflow") == 0) result = overflow();
  if (std::strcmp(defect, "leak") == 0) result = leak();
  if (std::strcmp(defect, "race") == 0) result = race();
  std::printf("not found: %s (%d)\n", defect, result);
  return 0;
}
