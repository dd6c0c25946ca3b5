#include "producer/validation_traffic.h"

#include <algorithm>

namespace daybook::simulation {
namespace {

constexpr std::string_view products[] = {"checkout", "signup",  "billing", "search",
                                         "claims",   "profile", "orders",  "messages"};
constexpr std::string_view platforms[] = {"web", "ios", "android", "api"};
constexpr std::string_view events[] = {"page_viewed",  "form_submitted", "item_added",   "payment_started",
                                       "payment_done", "search_run",     "item_removed", "session_ended"};
constexpr std::string_view fields[] = {"user_id", "amount", "currency", "page", "country", "session_id"};
constexpr std::string_view checks[] = {"required", "type", "range", "pattern"};
constexpr std::string_view teams[] = {"growth", "payments", "platform", "mobile"};
constexpr std::size_t rules_of_an_app = 12;

std::string app_id(std::uint32_t app) {
  return std::string(products[app % 8]) + "-" + std::string(platforms[app / 8 % 4]) + "-" +
         std::to_string(app / 32 + 1);
}

// An app sends five to eight of the events.
std::string_view pick_event(Random& random, std::uint32_t app) { return events[(app + random.below(5 + app % 4)) % 8]; }

}  // namespace

std::string_view ValidationTraffic::make_event(TrafficMessage& message, Random& random, std::int64_t now_ms) {
  // Apps differ in size: most of the traffic is of those with a low number.
  std::uint32_t app = static_cast<std::uint32_t>(random.below(apps_.size()));
  if (!random.one_in(4)) app = std::min(app, static_cast<std::uint32_t>(random.below(apps_.size())));
  if (apps_[app].version == 0 || random.per_mille(4)) return change_app(message, random, now_ms, app);
  if (apps_[app].rules.empty() || random.per_mille(8)) return change_rule(message, random, now_ms, app);
  return entry(message, random, now_ms, app);
}

std::string_view ValidationTraffic::entry(TrafficMessage& message, Random& random, std::int64_t now_ms,
                                          std::uint32_t app) {
  message.topic = "validation.entries";
  message.key = app_id(app);
  std::string& out = message.value;
  begin_event(out, random_uuid(random), "/validation/gateway", "validation.entry.logged", now_ms);
  const std::string_view name = pick_event(random, app);
  const bool failed = random.per_mille(20 + app % 7 * 10);
  // Microseconds: half of them around the event's own middle, a tail of some per cent up to twenty times that.
  std::int64_t duration = static_cast<std::int64_t>(400 + name.size() * 150 + random.below(1'500));
  if (random.one_in(10)) duration *= random.between(2, 6);
  if (random.one_in(100)) duration *= random.between(5, 20);
  Members data(out);
  data.text("app_id", message.key).text("event_name", name);
  // Some entries are of nobody who signed in.
  if (random.one_in(10)) {
    data.null("user_id");
  } else {
    data.text("user_id", "u" + std::to_string(random.below(2'000) + app % 50 * 1'000));
  }
  data.text("result", failed ? "failed" : "passed").decimal("duration_ms", duration, 3);
  if (failed) {
    const std::string_view field = fields[random.below(6)];
    data.uuid("rule_id", rule_id(app, random.below(apps_[app].rules.size())));
    data.text("message", std::string(field) + ": " + std::string(checks[random.below(4)]) + " does not hold");
  } else {
    data.null("rule_id").null("message");
  }
  data.end();
  end_event(out);
  return "app_id";
}

std::string_view ValidationTraffic::change_app(TrafficMessage& message, Random& random, std::int64_t now_ms,
                                               std::uint32_t app) {
  const bool removed = apps_[app].version != 0 && random.one_in(8);
  message.topic = "validation.apps";
  message.key = app_id(app);
  std::string& out = message.value;
  begin_event(out, random_uuid(random), "/validation/console",
              removed ? "validation.app.removed" : "validation.app.changed", now_ms);
  Members data(out);
  data.text("app_id", message.key).number("version", ++apps_[app].version);
  if (!removed) {
    data.text("name", std::string(products[app % 8]) + " (" + std::string(platforms[app / 8 % 4]) + ")");
    data.text("team", teams[random.below(4)]).boolean("enabled", !random.one_in(10));
    data.decimal("sampling", random.between(1, 1000), 3);
    Members settings(data.raw("settings"));
    settings.boolean("strict", random.one_in(3)).number("max_body_bytes", random.between(1, 64) * 1024);
    settings.text("alert_channel", "#" + std::string(teams[random.below(4)])).end();
  }
  data.end();
  end_event(out);
  return "version";
}

std::string_view ValidationTraffic::change_rule(TrafficMessage& message, Random& random, std::int64_t now_ms,
                                                std::uint32_t app) {
  std::vector<std::uint32_t>& rules = apps_[app].rules;
  std::size_t rule = static_cast<std::size_t>(random.below(rules_of_an_app));
  if (rule >= rules.size()) {  // a new one
    rule = rules.size();
    rules.push_back(0);
  }
  const bool deleted = rules[rule] != 0 && random.one_in(8);
  message.topic = "validation.rules";
  append_uuid(message.key, rule_id(app, rule));
  std::string& out = message.value;
  begin_event(out, random_uuid(random), "/validation/console",
              deleted ? "validation.rule.deleted" : "validation.rule.changed", now_ms);
  Members data(out);
  data.text("rule_id", message.key).number("version", ++rules[rule]);
  if (!deleted) {
    const std::string_view check = checks[random.below(4)];
    data.text("app_id", app_id(app)).text("event_name", pick_event(random, app)).text("field", fields[rule % 6]);
    data.text("check", check)
        .text("severity", random.one_in(3) ? "warning" : "error")
        .boolean("active", !random.one_in(8));
    Members parameters(data.raw("parameters"));
    if (check == "range") parameters.number("minimum", 0).number("maximum", random.between(10, 10'000));
    if (check == "pattern") parameters.text("pattern", "^[a-z0-9-]+$");
    if (check == "type") parameters.text("type", random.one_in(2) ? "string" : "integer");
    parameters.end();
  }
  data.end();
  end_event(out);
  return "version";
}

}  // namespace daybook::simulation
