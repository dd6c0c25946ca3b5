#include "tests/simulation/run.h"

#include <spdlog/sinks/base_sink.h>
#include <spdlog/spdlog.h>

#include "core/definition_reader.h"
#include "tests/simulation/world.h"

namespace daybook::simulation {
namespace {

// The loop's own log lines, among what happens to it.
class HistorySink : public spdlog::sinks::base_sink<spdlog::details::null_mutex> {
 public:
  explicit HistorySink(Chaos& chaos) : chaos_(chaos) {}

 protected:
  void sink_it_(const spdlog::details::log_msg& message) override {
    chaos_.note("    log: {}", std::string_view(message.payload.data(), message.payload.size()));
  }
  void flush_() override {}

 private:
  Chaos& chaos_;
};

void run(World& world, bool keep_history) {
  spdlog::set_default_logger(
      std::make_shared<spdlog::logger>("simulation", std::make_shared<HistorySink>(world.chaos())));
  spdlog::set_level(keep_history ? spdlog::level::info : spdlog::level::off);
  world.run();
}

}  // namespace

Events make_events() {
  return Events(load_definitions({DAYBOOK_SOURCE_DIR "/schemas/bloodbank/views/dashboard_daily_summary.json"}).front());
}

Events make_latest_events() {
  return Events(std::get<ViewDefinition>(read_definition(R"({
    "view": "newest", "kind": "latest", "key": [{"name": "facility_id", "type": "uuid"}],
    "columns": [{"name": "quantity", "type": "bigint"}, {"name": "at", "type": "timestamp"},
                {"name": "sent", "type": "int"}],
    "sources": [
      {"topic": "bloodbank.events", "event": "bloodbank.stock.changed", "key": {"facility_id": "/data/facility_id"},
       "version": "/version", "set": {"quantity": "/data/quantity", "at": "/time"}},
      {"topic": "bloodbank.events", "event": "bloodbank.units.transferred", "version": "/version",
       "key": {"facility_id": "/data/dispatched_to_id"}, "set": {"sent": "/data/quantity"}},
      {"topic": "bloodbank.events", "event": "bloodbank.request.created", "key": {"facility_id": "/data/facility_id"},
       "version": "/version", "delete": true}]})")));
}

std::optional<Violation> run_seed(const Events& events, std::uint32_t seed, Totals& totals,
                                  std::vector<std::string>* history) {
  World world(events, seed, history);
  std::optional<Violation> violation;
  try {
    run(world, history != nullptr);
  } catch (const Violation& found) {
    violation = found;
  } catch (const std::exception& error) {
    violation = Violation{"no unexpected exception", error.what()};
  }
  if (violation) world.chaos().note("VIOLATION {}: {}", violation->invariant, violation->detail);
  spdlog::set_level(spdlog::level::off);
  totals.records += world.records();
  totals.commits += world.commits();
  totals.checks += world.checks();
  for (const auto& [fault, count] : world.chaos().faults) totals.faults[fault] += count;
  return violation;
}

}  // namespace daybook::simulation
