// A JSON Schema (draft 7), compiled once. What compiles it stays behind this header.
#pragma once

#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace daybook::publishing {

// Why a value is refused: where in it (JSON Pointer; "" is all of it) and why.
struct Refusal {
  std::string pointer;
  std::string reason;
};

class JsonSchema {
 public:
  // Throws std::exception when `document` is no such schema. Its formats are those that the worker reads (date-time,
  // date, uuid); others are remarks. A string of more than 4,096 bytes matches no "pattern".
  explicit JsonSchema(nlohmann::json document);
  ~JsonSchema();

  bool accepts(const nlohmann::json& value) const;
  // Asked after accepts() said no: takes longer. May be empty even so.
  std::vector<Refusal> refusals(const nlohmann::json& value) const;

 private:
  struct Compiled;
  std::unique_ptr<Compiled> compiled_;
};

}  // namespace daybook::publishing
