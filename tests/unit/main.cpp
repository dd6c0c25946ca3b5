// The unit tests' main: without the worker's log lines between doctest's.
#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>
#include <spdlog/spdlog.h>

int main(int argc, char** argv) {
  spdlog::set_level(spdlog::level::off);
  return doctest::Context(argc, argv).run();
}
