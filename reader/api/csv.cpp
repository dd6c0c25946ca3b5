#include "reader/api/csv.h"

#include <nlohmann/json.hpp>

namespace daybook::reader {
namespace {

void append_field(std::string& line, const std::string& text) {
  if (text.find_first_of(",\"\r\n") == std::string::npos) {
    line += text;
    return;
  }
  line += '"';
  for (const char c : text) line += c == '"' ? "\"\"" : std::string(1, c);
  line += '"';
}

}  // namespace

std::string csv_of(const ViewDefinition& view, const std::vector<std::string>& rows) {
  std::vector<std::string> names;
  for (const KeyColumn& column : view.key) names.push_back(column.name);
  for (const ValueColumn& column : view.columns) names.push_back(column.name);
  names.push_back("updated_at");

  std::string csv;
  const auto append_line = [&](const auto& field) {
    for (std::size_t i = 0; i < names.size(); ++i) {
      if (i > 0) csv += ',';
      append_field(csv, field(names[i]));
    }
    csv += "\r\n";
  };
  append_line([](const std::string& name) { return name; });
  for (const std::string& row : rows) {
    const nlohmann::json members = nlohmann::json::parse(row);
    append_line([&](const std::string& name) -> std::string {
      const auto member = members.find(name);
      if (member == members.end() || member->is_null()) return "";
      return member->is_string() ? member->get<std::string>() : member->dump();
    });
  }
  return csv;
}

}  // namespace daybook::reader
