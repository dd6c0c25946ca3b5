// The options that several commands share.
#include "cli/command.h"

namespace daybook {

void add_broker_options(CLI::App& command, BrokerOptions& options) {
  command.add_option("--brokers", options.brokers, "Kafka brokers, HOST:PORT[,HOST:PORT...]")
      ->envname("DAYBOOK_BROKERS");
  command.add_option("--kafka", options.properties, "A librdkafka property, NAME=VALUE; may be repeated")
      ->envname("DAYBOOK_KAFKA")
      ->take_all();
}

void add_database_options(CLI::App& command, DatabaseOptions& options) {
  command
      .add_option("--database", options.uri,
                  "PostgreSQL, as a URI or key=value words; without it the PG* variables are used")
      ->envname("DAYBOOK_DATABASE");
}

}  // namespace daybook
