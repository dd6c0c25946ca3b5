// What each command of `daybook` shares: how it registers, its exit codes, the options for broker and database.
//
// Every option can be set in a file (--config, a section for each command), by an environment variable, and
// by a flag; a later one of these wins.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

namespace daybook {

namespace exit_code {
inline constexpr int ok = 0;
inline constexpr int found = 1;        // differences (verify), refused lines (publish), mistakes (views check)
inline constexpr int usage = 2;        // a wrong option, definition or configuration: nothing was started
inline constexpr int unreachable = 3;  // broker or database could not be reached in time
inline constexpr int stopped = 4;      // a person has to act; the message says what to do
inline constexpr int log_cut = 5;      // verify: the log no longer starts where the view did
}  // namespace exit_code

struct BrokerOptions {
  std::string brokers;                  // host:port,host:port
  std::vector<std::string> properties;  // NAME=VALUE, handed to librdkafka as they are; those of --kafka-file too
};
void add_broker_options(CLI::App& command, BrokerOptions& options);

struct DatabaseOptions {
  std::string uri;  // postgresql://… or key=value, also from --database-file; empty: PGHOST and the other PG* variables
};
void add_database_options(CLI::App& command, DatabaseOptions& options);

// Each room registers its commands on `app`; the chosen one leaves its exit code in `code`. A command may
// throw RetryError (exit 3) and StopError (exit 4); main prints them as one line.
void add_views_command(CLI::App& app, int& code);
void add_migrate_command(CLI::App& app, int& code);
void add_worker_command(CLI::App& app, int& code);
void add_positions_command(CLI::App& app, int& code);
void add_dead_letters_command(CLI::App& app, int& code);
void add_publish_command(CLI::App& app, int& code);
void add_simulate_command(CLI::App& app, int& code);
void add_verify_command(CLI::App& app, int& code);
void add_archive_command(CLI::App& app, int& code);
void add_tokens_command(CLI::App& app, int& code);
void add_reader_command(CLI::App& app, int& code);

}  // namespace daybook
