#include "reader/api/csv.h"

#include <simdjson.h>

#include <map>

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

// The fields of a row as they are in its JSON: a decimal with all its digits. NULL is an empty field.
std::map<std::string, std::string, std::less<>> fields_of(const std::string& row) {
  static thread_local simdjson::ondemand::parser parser;
  std::map<std::string, std::string, std::less<>> fields;
  const simdjson::padded_string padded(row);
  simdjson::ondemand::document document = parser.iterate(padded);
  for (auto field : document.get_object()) {
    const std::string_view name = field.unescaped_key();
    std::string& text = fields[std::string(name)];
    simdjson::ondemand::value value = field.value();
    const simdjson::ondemand::json_type type = value.type();
    if (type == simdjson::ondemand::json_type::string) {
      text = std::string_view(value.get_string());
    } else if (type == simdjson::ondemand::json_type::object) {
      simdjson::ondemand::object object = value.get_object();
      text = std::string_view(object.raw_json());
    } else if (type == simdjson::ondemand::json_type::array) {
      simdjson::ondemand::array array = value.get_array();
      text = std::string_view(array.raw_json());
    } else if (type != simdjson::ondemand::json_type::null) {
      text = value.raw_json_token();
      text.erase(text.find_last_not_of(" \t\r\n") + 1);
    }
  }
  return fields;
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
    const auto fields = fields_of(row);
    append_line([&](const std::string& name) {
      const auto field = fields.find(name);
      return field == fields.end() ? std::string() : field->second;
    });
  }
  return csv;
}

}  // namespace daybook::reader
