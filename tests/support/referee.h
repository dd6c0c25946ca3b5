// Gives one record to the worker's decoder and to verify's independent judgement and says where they differ: the
// outcome, the code of a rejection, the rows and amounts. Two pieces of code that share only the definition rarely
// make the same mistake, so this finds mistakes in both without knowing the right answer.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/definition.h"
#include "core/record.h"
#include "verify/recompute.h"
#include "worker/decode/decoder.h"

namespace daybook::test {

struct Message {
  std::size_t topic = 0;  // taken modulo the number of the view's topics
  std::int64_t timestamp_ms = 1'790'000'000'000;
  std::vector<Header> headers;
  std::optional<std::string_view> value = std::nullopt;
  std::optional<std::string_view> key = std::nullopt;
};

class Referee {
 public:
  explicit Referee(const ViewDefinition& view);

  // Empty when they agree.
  std::string disagreement(const Message& message);

  // Of the last message: whether it reached the rows. A test whose events all end as dead letters shows little.
  bool contributed() const { return worker_.outcome == Outcome::contributes; }
  const DecodedEvent& decoded() const { return worker_; }
  const ViewDefinition& view() const { return view_; }

 private:
  ViewDefinition view_;
  std::vector<std::string> topics_;
  Decoder decoder_;
  verify::Recomputation verify_;
  DecodedEvent worker_, again_;
};

}  // namespace daybook::test
