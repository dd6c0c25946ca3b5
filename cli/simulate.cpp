// `daybook simulate`: demo traffic of one of the systems under schemas/, to Kafka or to a file.
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <memory>
#include <optional>
#include <thread>

#include "cli/command.h"
#include "core/civil_time.h"
#include "core/error.h"
#include "producer/session.h"
#include "producer/traffic.h"

namespace daybook {
namespace {

using SteadyClock = std::chrono::steady_clock;

// Where a file's traffic begins when nothing says so: the clock must not get in.
constexpr const char* start_of_files = "2026-01-01";
constexpr int most_days = 3660;

struct SimulateOptions {
  std::string system;
  double rate = 1000;
  std::uint64_t events = 0;
  std::uint64_t seed = 1;
  std::uint64_t entities = 0;  // 0: as many as the system has by default
  int days = 28;
  double duplicates = 0;
  double late = 0;
  double poison = 0;
  std::string start;
  std::string topic;
  std::string topic_prefix;
  std::string out;
  bool random_days = false;
  BrokerOptions broker;
  int create_topics = 0;
  int timeout_seconds = 30;
  bool json = false;
};

std::int64_t clock_ms() {
  return std::chrono::floor<std::chrono::milliseconds>(std::chrono::system_clock::now()).time_since_epoch().count();
}

// "bloodbank, schools"
std::string known_systems() {
  std::string known;
  for (const simulation::SystemKind& kind : simulation::system_kinds())
    known += (known.empty() ? "" : ", ") + std::string(kind.name);
  return known;
}

simulation::TrafficOptions check(const SimulateOptions& options, const simulation::SystemKind* kind) {
  std::string mistakes;
  const auto require = [&mistakes](bool holds, const std::string& text) {
    if (!holds) mistakes += (mistakes.empty() ? "" : "; ") + text;
  };
  const auto share = [&require](const char* name, double value, double most) {
    char text[120];
    std::snprintf(text, sizeof text, "%s: found %g, expected a share from 0 to %g", name, value, most);
    require(value >= 0 && value <= most, text);
  };
  require(kind != nullptr, "found system " + options.system + ", expected one of " + known_systems());
  require(options.rate >= 0 && options.rate <= 1e9, "--rate: expected events per second, 0 for as fast as possible");
  if (kind != nullptr) {
    require(options.entities <= kind->most_entities,
            "--entities: expected 1 to " + std::to_string(kind->most_entities) + " " + std::string(kind->entities));
    require(!options.random_days || kind->random_days, "--random-days is for bloodbank: leave it out");
  }
  require(options.days >= 1 && options.days <= most_days, "--days: expected 1 to " + std::to_string(most_days));
  share("--duplicates", options.duplicates, 0.5);
  share("--late", options.late, 0.25);
  share("--poison", options.poison, 1);
  require(options.late == 0 || options.days >= 2, "--late needs --days 2 or more");
  require(options.late == 0 || !options.random_days, "--late says nothing with --random-days: leave one out");
  require(options.out.empty() || options.create_topics == 0, "--create-topics says nothing with --out: leave one out");
  require(options.out != "-" || !options.json, "--json would mix with the events of --out -: leave one out");
  require(options.topic.empty() || options.topic_prefix.empty(),
          "--topic-prefix says nothing with --topic: leave one out");
  const std::optional<CivilDay> start =
      parse_date(options.start.empty() && !options.out.empty() ? start_of_files : options.start);
  require(options.start.empty() || start, "--start: found " + options.start + ", expected a date such as 2026-01-31");
  if (!mistakes.empty()) throw UsageError(mistakes);

  simulation::TrafficOptions traffic;
  traffic.seed = options.seed;
  traffic.events = options.events;
  traffic.entities = options.entities == 0 ? kind->default_entities : static_cast<std::uint32_t>(options.entities);
  traffic.duplicates = options.duplicates;
  traffic.late = options.late;
  traffic.poison = options.poison;
  traffic.random_days = options.random_days;
  if (start) {
    traffic.begin_ms = *start * simulation::day_ms - simulation::local_offset_ms;
    traffic.end_ms = traffic.begin_ms + options.days * simulation::day_ms;
  } else {  // up to now, so that no event is from the future
    traffic.end_ms = clock_ms();
    const std::int64_t local = traffic.end_ms + simulation::local_offset_ms;
    traffic.begin_ms =
        local - local % simulation::day_ms - (options.days - 1) * simulation::day_ms - simulation::local_offset_ms;
    traffic.clock_ms = clock_ms;
  }
  return traffic;
}

// Lets `rate` events a second pass; meanwhile deliveries are served. False: asked to end.
class Pace {
 public:
  Pace(double rate, publishing::Session* session) : rate_(rate), session_(session), started_(SteadyClock::now()) {}

  bool wait_for(std::uint64_t event) {
    if (rate_ <= 0) return !publishing::Interruption::asked();
    while (!publishing::Interruption::asked()) {
      const std::chrono::duration<double> due(static_cast<double>(event) / rate_);
      const auto left = due - (SteadyClock::now() - started_);
      if (left <= std::chrono::duration<double>::zero()) return true;
      const auto nap = std::min(std::chrono::ceil<std::chrono::milliseconds>(left), std::chrono::milliseconds(100));
      if (session_ != nullptr) session_->producer().poll(std::chrono::milliseconds(0));
      std::this_thread::sleep_for(nap);
    }
    return false;
  }

 private:
  double rate_;
  publishing::Session* session_;
  SteadyClock::time_point started_;
};

nlohmann::ordered_json summary_of(const simulation::Traffic& traffic) {
  return {{"copies", traffic.copies()}, {"late", traffic.late()}, {"poison", traffic.poisoned()}};
}

// Where messages go that the system has for this topic.
std::string topic_of(const SimulateOptions& options, std::string_view own) {
  return options.topic.empty() ? options.topic_prefix + std::string(own) : options.topic;
}

void to_kafka(const SimulateOptions& options, const simulation::SystemKind& kind, simulation::Traffic& traffic) {
  publishing::Session session({options.broker.brokers, options.broker.properties,
                               std::chrono::seconds(options.timeout_seconds), options.create_topics});
  // All of them at once: views read several, whether there are events yet or not.
  for (const std::string_view own : kind.topics) session.ready(topic_of(options, own));
  publishing::Progress progress;
  Pace pace(options.rate, &session);
  simulation::TrafficMessage message;
  std::string_view own_topic;  // of the last message, as its system names it
  std::string topic;           // where that goes
  std::int32_t partitions = 0;
  std::uint64_t sent = 0;
  while (!session.lost() && pace.wait_for(sent) && traffic.next(message)) {
    if (message.topic != own_topic) {
      own_topic = message.topic;
      topic = topic_of(options, own_topic);
      partitions = session.ready(topic);
    }
    const std::string_view key = message.key;
    std::int32_t partition = Producer::any_partition;
    if (message.elsewhere != 0 && partitions > 1) {
      const std::int32_t away =
          1 + static_cast<std::int32_t>(message.elsewhere % static_cast<std::uint32_t>(partitions - 1));
      partition = (session.producer().partition_of_key(topic, key, partitions) + away) % partitions;
    }
    session.producer().publish_event(topic, key, message.value, partition);
    progress.show(++sent);
  }
  progress.clear();
  session.finish(options.json, summary_of(traffic));
}

void to_file(const SimulateOptions& options, simulation::Traffic& traffic) {
  const bool standard = options.out == "-";
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> owned(
      standard ? nullptr : std::fopen(options.out.c_str(), "wb"), std::fclose);
  std::FILE* file = standard ? stdout : owned.get();
  const auto fail = [&options] {
    throw StopError("--out " + options.out + ": can't be written: " + std::strerror(errno));
  };
  if (file == nullptr) fail();
  std::setvbuf(file, nullptr, _IOFBF, 1u << 18);
  publishing::Progress progress;
  Pace pace(options.rate, nullptr);
  simulation::TrafficMessage message;
  std::uint64_t written = 0;
  while (pace.wait_for(written) && traffic.next(message)) {
    message.value += '\n';
    if (std::fwrite(message.value.data(), 1, message.value.size(), file) != message.value.size()) fail();
    progress.show(++written);
  }
  progress.clear();
  if (std::fflush(file) != 0) fail();
  if (options.json) {
    nlohmann::ordered_json whole{{"written", written}};
    whole.update(summary_of(traffic));
    std::printf("%s\n", whole.dump().c_str());
  }
}

}  // namespace

void add_simulate_command(CLI::App& app, int& code) {
  CLI::App& command = *app.add_subcommand("simulate", "Send demo traffic of a system: " + known_systems());
  const auto options = std::make_shared<SimulateOptions>();
  command.add_option("system", options->system, known_systems())->required()->option_text("SYSTEM");
  command.add_option("--rate", options->rate, "Events per second; 0: as fast as possible")->capture_default_str();
  command.add_option("--events", options->events, "How many; 0: until stopped")->capture_default_str();
  command.add_option("--seed", options->seed, "The same seed gives the same entities, ids and events")
      ->capture_default_str();
  command
      .add_option("--entities,--facilities", options->entities,
                  "How many facilities, apps, students, users or employees; else as many as the system has by default")
      ->check(CLI::Range(1, 10'000'000))
      ->option_text("N");
  command.add_option("--days", options->days, "The length of the simulated period")->capture_default_str();
  command.add_option("--start", options->start, "First day of the period; else it ends now (with --out: 2026-01-01)")
      ->option_text("DATE");
  command
      .add_option("--duplicates", options->duplicates,
                  "Share sent again later with the same id, a third to another partition")
      ->option_text("SHARE");
  command
      .add_option("--late", options->late,
                  "Share that is sent after its time: by days (bloodbank), or behind other events")
      ->option_text("SHARE");
  command.add_option("--poison", options->poison, "Share that is broken, in twelve ways in turn")->option_text("SHARE");
  command.add_flag("--random-days", options->random_days,
                   "bloodbank: each event of a random facility and day of the period");
  command.add_option("--out", options->out, "Write lines of JSON to this file instead of Kafka; - is standard output")
      ->option_text("FILE");
  command.add_option("--topic", options->topic, "All to this topic, whatever the system has")->option_text("NAME");
  command.add_option("--topic-prefix", options->topic_prefix, "Put before the names of the system's topics")
      ->option_text("TEXT");
  command.add_option("--create-topics", options->create_topics, "Create missing topics with that many partitions")
      ->check(CLI::Range(1, 10'000))
      ->option_text("PARTITIONS");
  command.add_option("--timeout", options->timeout_seconds, "How long to wait for the broker, in seconds")
      ->check(CLI::Range(1, 86'400))
      ->capture_default_str()
      ->option_text("SECONDS");
  command.add_flag("--json", options->json, "Print the result as one JSON object");
  add_broker_options(command, options->broker);
  command.footer(
      "Prints the position after the last event of each partition, TOPIC/PARTITION@NEXT_OFFSET a line.\n"
      "The same seed again sends the same ids, which a worker drops as duplicates.\n\n"
      "Example: daybook simulate bloodbank --rate 2000 --create-topics 4 --brokers localhost:9092");
  command.callback([options, &code] {
    const publishing::Interruption interruption;
    const simulation::SystemKind* kind = simulation::find_system(options->system);
    const simulation::TrafficOptions checked = check(*options, kind);
    simulation::Traffic traffic(*kind, checked);
    options->out.empty() ? to_kafka(*options, *kind, traffic) : to_file(*options, traffic);
    code = exit_code::ok;
  });
}

}  // namespace daybook
