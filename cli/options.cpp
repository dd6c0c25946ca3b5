// The options that several commands share.
#include <fstream>
#include <sstream>

#include "cli/command.h"

namespace daybook {
namespace {

// A secret's file: all of it, but for the line's end that editors leave.
std::string content_of(const std::string& option, const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream content;
  if (file) content << file.rdbuf();
  if (!file) throw CLI::ValidationError(option, path + " can't be read");
  std::string text = content.str();
  if (!text.empty() && text.back() == '\n') text.pop_back();
  if (!text.empty() && text.back() == '\r') text.pop_back();
  if (text.empty()) throw CLI::ValidationError(option, path + " is empty");
  if (text.find('\0') != std::string::npos) throw CLI::ValidationError(option, path + " has a NUL character");
  return text;
}

}  // namespace

void add_broker_options(CLI::App& command, BrokerOptions& options) {
  command.add_option("--brokers", options.brokers, "Kafka brokers, HOST:PORT[,HOST:PORT...]")
      ->envname("DAYBOOK_BROKERS");
  command.add_option("--kafka", options.properties, "A librdkafka property, NAME=VALUE; may be repeated")
      ->envname("DAYBOOK_KAFKA")
      ->take_all()
      ->allow_extra_args(false);  // or it would take the words behind it, too
  // After --kafka, which replaces the list: CLI11 calls in the order in which options were added.
  command
      .add_option_function<std::vector<std::string>>(
          "--kafka-file",
          [&options](const std::vector<std::string>& words) {
            for (const std::string& word : words) {
              const std::size_t equals = word.find('=');
              if (equals == std::string::npos || equals == 0)
                throw CLI::ValidationError("--kafka-file", word + ": expected NAME=FILE");
              const std::string name = word.substr(0, equals);
              options.properties.push_back(name + "=" + content_of("--kafka-file " + name, word.substr(equals + 1)));
            }
          },
          "A librdkafka property whose value is in a file, NAME=FILE, such as sasl.password; may be repeated")
      ->envname("DAYBOOK_KAFKA_FILE")
      ->take_all()
      ->allow_extra_args(false);  // or it would take the words behind it, too
}

void add_database_options(CLI::App& command, DatabaseOptions& options) {
  CLI::Option* uri = command
                         .add_option("--database", options.uri,
                                     "PostgreSQL, as a URI or key=value words; without it the PG* variables are used")
                         ->envname("DAYBOOK_DATABASE");
  command
      .add_option_function<std::string>(
          "--database-file", [&options](const std::string& path) { options.uri = content_of("--database-file", path); },
          "A file that holds what --database would say, with its password")
      ->envname("DAYBOOK_DATABASE_FILE")
      ->excludes(uri);
}

}  // namespace daybook
