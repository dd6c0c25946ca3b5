#include "tests/support/case_file.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "core/definition_reader.h"

namespace daybook::test {
namespace {

using nlohmann::json;

std::string from_hex(const std::string& hex) {
  std::string bytes;
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2)
    bytes.push_back(static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16)));
  return bytes;
}

ViewDefinition view_of(const json& member, const std::filesystem::path& folder) {
  if (member.is_string()) return load_definitions({(folder / member.get<std::string>()).string()}).front();
  auto read = read_definition(member.dump());
  if (auto* view = std::get_if<ViewDefinition>(&read)) return *view;
  std::string mistakes;
  for (const auto& m : std::get<std::vector<DefinitionMistake>>(read))
    mistakes += m.pointer + ": found " + m.found + ", expected " + m.expected + "\n";
  throw std::runtime_error(mistakes);
}

TopicPartition partition_of(const std::string& text) {
  const auto slash = text.rfind('/');
  return {text.substr(0, slash), std::stoi(text.substr(slash + 1))};
}

CaseFile load_case(const std::filesystem::path& path) {
  std::ifstream file(path);
  const json text = json::parse(file);
  CaseFile test;
  test.name = path.stem().string();
  test.about = text.at("about");
  test.view = view_of(text.at("view"), path.parent_path());
  for (const json& event : text.at("events")) {
    const TopicPartition partition{event.value("topic", test.view.topics().front()), event.value("partition", 0)};
    auto& records = test.log[partition];
    LogRecord record;
    if (event.contains("key")) record.key = event["key"].dump();
    if (event.contains("raw_key")) record.key = event["raw_key"].get<std::string>();
    if (event.contains("raw")) record.value = event["raw"].get<std::string>();
    if (event.contains("hex")) record.value = from_hex(event["hex"]);
    if (event.contains("value")) record.value = event["value"].dump();
    if (event.contains("repeat")) {
      // A long run of one text inside: {"repeat": ["prefix", "middle", 10000, "suffix"]}
      const json& parts = event["repeat"];
      std::string value = parts[0];
      for (int i = 0; i < parts[2].get<int>(); ++i) value += parts[1].get<std::string>();
      record.value = value + parts[3].get<std::string>();
    }
    record.timestamp_ms = event.value("time", std::int64_t{1'790'000'000'000});
    for (const json& header : event.value("headers", json::array())) record.headers.emplace_back(header[0], header[1]);
    const std::int64_t next = records.empty() ? 0 : records.rbegin()->first + 1;
    records[next + event.value("gap", 0)] = record;
  }
  for (const auto& [key, values] : text.at("rows").items()) {
    RowKeyText columns;
    std::size_t begin = 0;
    for (std::size_t bar; (bar = key.find('|', begin)) != std::string::npos; begin = bar + 1)
      columns.push_back(key.substr(begin, bar - begin));
    columns.push_back(key.substr(begin));
    for (const json& value : values)
      test.texts[columns].push_back(value.is_null()     ? "NULL"
                                    : value.is_string() ? value.get<std::string>()
                                                        : value.dump());
    const bool whole = std::all_of(values.begin(), values.end(), [](const json& v) { return v.is_number_integer(); });
    if (whole) test.rows[columns] = values.get<std::vector<std::int64_t>>();
  }
  for (const json& letter : text.value("dead_letters", json::array())) {
    const std::string where = letter[0];
    const auto at = where.rfind('@');
    test.dead_letters.push_back(
        {partition_of(where.substr(0, at)), std::stoll(where.substr(at + 1)), letter[1], letter[2]});
  }
  return test;
}

}  // namespace

std::vector<CaseFile> load_cases(const std::string& folder) {
  std::vector<std::filesystem::path> paths;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().extension() == ".json") paths.push_back(entry.path());
  }
  std::sort(paths.begin(), paths.end());
  std::vector<CaseFile> cases;
  for (const auto& path : paths) {
    try {
      cases.push_back(load_case(path));
    } catch (const std::exception& error) {
      throw std::runtime_error(path.string() + ": " + error.what());
    }
  }
  return cases;
}

Log with_every_record_repeated(const Log& log) {
  Log repeated = log;
  for (auto& [partition, records] : repeated) {
    const auto once = records;
    for (const auto& [offset, record] : once) records[records.rbegin()->first + 1] = record;
  }
  return repeated;
}

}  // namespace daybook::test
