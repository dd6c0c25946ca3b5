#include "producer/user_context_traffic.h"

#include <array>

namespace daybook::simulation {
namespace {

constexpr int zone_count = 24;
constexpr int zones_of_a_region = 4;

constexpr std::array<std::string_view, 6> regions = {"north", "south", "east", "west", "coast", "centre"};
constexpr std::array<std::string_view, 8> first_names = {"ada",  "bola",  "chipo", "dina",
                                                         "esra", "faith", "gita",  "hugo"};
constexpr std::array<std::string_view, 8> last_names = {"abara", "brown",  "chanda", "diaz",
                                                        "evans", "fofana", "gupta",  "hill"};
constexpr std::array<std::string_view, 5> titles = {"agent", "senior agent", "team lead", "planner", "manager"};
constexpr std::array<std::string_view, 4> departments = {"support", "field", "planning", "finance"};
constexpr std::array<std::string_view, 4> languages = {"en", "fr", "sw", "pt"};

std::string email_of(std::uint32_t user) {
  return std::string(first_names[user % 8]) + "." + std::string(last_names[user / 8 % 8]) + "." + std::to_string(user) +
         "@example.com";
}

void begin(TrafficMessage& message, Random& random, std::int64_t now_ms, std::string_view topic, std::string_view app,
           std::string_view type, std::uint32_t user) {
  message.topic = topic;
  message.key = email_of(user);
  begin_event(message.value, random_uuid(random), app, type, now_ms);
}

std::string capitalized(std::string_view name) {
  std::string text(name);
  text[0] = static_cast<char>(text[0] - 'a' + 'A');
  return text;
}

}  // namespace

std::string_view UserContextTraffic::make_event(TrafficMessage& message, Random& random, std::int64_t now_ms) {
  if (zones_known_ < zone_count || random.per_mille(2)) return zone(message, random, now_ms);
  const std::uint32_t user = static_cast<std::uint32_t>(random.below(users_.size()));
  // What nobody told of the user yet, in any order; then whatever changes.
  std::uint64_t part = random.below(4);
  for (int i = 0; i < 4 && (users_[user].known >> part & 1) != 0 && users_[user].known != 15; ++i)
    part = (part + 1) % 4;
  const bool was_known = (users_[user].known >> part & 1) != 0;
  users_[user].known = static_cast<std::uint8_t>(users_[user].known | 1 << part);
  if (was_known && part <= 1 && random.one_in(25)) {
    users_[user].known = static_cast<std::uint8_t>(part == 0 ? 0 : users_[user].known & ~2);
    begin(message, random, now_ms, part == 0 ? "directory.employees" : "directory.assignments",
          part == 0 ? "/directory/people" : "/directory/teams",
          part == 0 ? "directory.employee.left" : "directory.assignment.ended", user);
    Members(message.value).text("email", message.key).text("reason", "left").end();
    end_event(message.value);
    return "email";
  }
  switch (part) {
    case 0:
      return employee(message, random, now_ms, user);
    case 1:
      return assignment(message, random, now_ms, user);
    case 2:
      return slot(message, random, now_ms, user);
    default:
      return region(message, random, now_ms, user);
  }
}

std::string_view UserContextTraffic::employee(TrafficMessage& message, Random& random, std::int64_t now_ms,
                                              std::uint32_t user) {
  begin(message, random, now_ms, "directory.employees", "/directory/people", "directory.employee.changed", user);
  Members data(message.value);
  data.text("email", message.key).number("employee_id", 100'000 + user);
  const std::string name = capitalized(first_names[user % 8]) + " " + capitalized(last_names[user / 8 % 8]);
  data.text("name", name).text("title", titles[random.below(titles.size())]);
  data.text("department", departments[random.below(departments.size())]).boolean("active", !random.one_in(20));
  data.text("phone", "+254700" + std::to_string(100'000 + user % 900'000));
  std::string permissions = "[";
  for (const std::string_view area : {"tickets", "customers", "reports", "planning", "billing", "exports"}) {
    for (const std::string_view right : {"read", "write"}) {
      if (random.one_in(3)) continue;
      permissions += permissions.size() == 1 ? "\"" : ",\"";
      permissions.append(area).append(":").append(right).append("\"");
    }
  }
  data.json("permissions", permissions + "]");
  Members preferences(data.raw("preferences"));
  preferences.text("language", languages[random.below(4)]).text("theme", random.one_in(2) ? "dark" : "light");
  preferences.boolean("digest", random.one_in(2)).number("rows_per_page", random.between(1, 4) * 25).end();
  data.end();
  end_event(message.value);
  return "email";
}

std::string_view UserContextTraffic::assignment(TrafficMessage& message, Random& random, std::int64_t now_ms,
                                                std::uint32_t user) {
  begin(message, random, now_ms, "directory.assignments", "/directory/teams", "directory.assignment.changed", user);
  Members data(message.value);
  data.text("email", message.key).text("team", "team-" + std::to_string(1 + random.below(users_.size() / 12 + 1)));
  data.text("role", random.one_in(8) ? "lead" : "member");
  data.text("manager_email", email_of(static_cast<std::uint32_t>(random.below(users_.size()))));
  data.date("since", now_ms / day_ms - random.between(0, 900)).end();
  end_event(message.value);
  return "email";
}

std::string_view UserContextTraffic::slot(TrafficMessage& message, Random& random, std::int64_t now_ms,
                                          std::uint32_t user) {
  begin(message, random, now_ms, "directory.slots", "/directory/rota", "directory.slot.changed", user);
  const std::int64_t begins = (now_ms / hour_ms + random.between(4, 90)) * hour_ms;
  Members data(message.value);
  data.text("email", message.key).uuid("slot_id", random_uuid(random)).local("begins_at", begins, local_offset_ms);
  data.local("ends_at", begins + random.between(4, 9) * hour_ms, local_offset_ms);
  data.text("desk", "desk-" + std::to_string(1 + random.below(400))).end();
  end_event(message.value);
  return "email";
}

std::string_view UserContextTraffic::region(TrafficMessage& message, Random& random, std::int64_t now_ms,
                                            std::uint32_t user) {
  begin(message, random, now_ms, "directory.regions", "/directory/map", "directory.region.changed", user);
  const std::size_t region = static_cast<std::size_t>(random.below(regions.size()));
  Members data(message.value);
  data.text("email", message.key).text("region", regions[region]);
  std::string zones = "[";
  for (int i = 1; i <= zones_of_a_region; ++i) {
    if (i > 1 && random.one_in(3)) continue;
    if (zones.size() > 1) zones += ',';
    zones += std::to_string(static_cast<int>(region) * zones_of_a_region + i);
  }
  data.json("zone_ids", zones + "]").end();
  end_event(message.value);
  return "email";
}

std::string_view UserContextTraffic::zone(TrafficMessage& message, Random& random, std::int64_t now_ms) {
  const std::uint32_t id =
      zones_known_ < zone_count ? ++zones_known_ : 1 + static_cast<std::uint32_t>(random.below(zone_count));
  message.topic = "directory.zones";
  message.key = std::to_string(id);
  begin_event(message.value, random_uuid(random), "/directory/map", "directory.zone.changed", now_ms);
  Members data(message.value);
  data.number("zone_id", id);
  data.text("name", std::string(regions[(id - 1) / zones_of_a_region]) + " " +
                        std::to_string((id - 1) % zones_of_a_region + 1));
  data.number("population", random.between(20, 900) * 1000).end();
  end_event(message.value);
  return "zone_id";
}

}  // namespace daybook::simulation
