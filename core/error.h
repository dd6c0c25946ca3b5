// Errors, typed by what one does about them.
//
//   RetryError   the world may heal by itself (broker or database away): wait, then try again.
//   StopError    a person has to act (missing migration, another fleet): say so and stop.
//   PauseError   a StopError about one view's log (it was cut, or is not the one that was read): the view pauses
//                for all its workers until a person resumes it; other views go on.
//   UsageError   a StopError about what a person wrote (options, definitions, configuration): refused before
//                anything starts, all mistakes at once.
//
// The last kind, an event that can't be applied, is ordinary and therefore a value: `Rejection`. It ends
// as a dead letter and never as an exception.
#pragma once

#include <stdexcept>
#include <string>

namespace daybook {

class RetryError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

class StopError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

class PauseError : public StopError {
 public:
  using StopError::StopError;
};

class UsageError : public StopError {
 public:
  using StopError::StopError;
};

// The exit code of a process that such an error ends (cli/command.h names them).
inline int exit_code_of(const std::exception& error) {
  if (dynamic_cast<const RetryError*>(&error) != nullptr) return 3;
  if (dynamic_cast<const UsageError*>(&error) != nullptr) return 2;
  return 4;
}

// Why one event can't be applied. `code` is from a short, closed list (metrics and filters use it);
// `detail` names the member, what was found and what was expected.
struct Rejection {
  std::string code;
  std::string detail;
};

}  // namespace daybook
