#include "producer/schools_traffic.h"

#include <algorithm>
#include <array>

namespace daybook::simulation {
namespace {

constexpr std::uint32_t students_of_a_classroom = 25;
constexpr std::uint32_t classrooms_of_a_school = 40;

constexpr std::array<std::string_view, 4> case_statuses = {"open", "in_progress", "escalated", "closed"};
constexpr std::array<std::string_view, 3> alert_statuses = {"new", "acknowledged", "resolved"};
constexpr std::array<std::string_view, 3> session_statuses = {"planned", "held", "cancelled"};
constexpr std::array<std::string_view, 5> categories = {"attendance", "behaviour", "wellbeing", "learning",
                                                        "safeguarding"};
constexpr std::array<std::string_view, 4> alert_kinds = {"absent", "late_repeatedly", "grades_dropped",
                                                         "reported_by_peer"};
constexpr std::array<std::string_view, 6> actions = {"viewed", "viewed", "viewed", "updated", "exported", "commented"};
constexpr std::array<std::string_view, 12> first_names = {"Amina", "Brian",  "Chen", "Daniela", "Elif",  "Femi",
                                                          "Grace", "Hassan", "Ines", "Joseph",  "Kiran", "Lucia"};
constexpr std::array<std::string_view, 12> last_names = {"Achieng", "Baker",  "Costa", "Dubois", "Eriksen", "Farah",
                                                         "Garcia",  "Hughes", "Ito",   "Juma",   "Kamau",   "Lopez"};

std::string name_of(std::uint32_t student) {
  return std::string(first_names[student % 12]) + " " + std::string(last_names[student / 12 % 12]);
}

std::string_view level_of(int risk) { return risk >= 70 ? "high" : risk >= 35 ? "medium" : "low"; }

std::uint32_t pick(Random& random, std::size_t count) { return static_cast<std::uint32_t>(random.below(count)); }

template <typename Matter>
void drop(std::vector<Matter>& matters, std::size_t at) {
  matters[at] = matters.back();
  matters.pop_back();
}

}  // namespace

std::uint32_t SchoolsTraffic::classrooms() const {
  return static_cast<std::uint32_t>((students_.size() + students_of_a_classroom - 1) / students_of_a_classroom);
}

std::uint32_t SchoolsTraffic::pick_classroom(Random& random) const { return pick(random, classrooms()); }

std::string_view SchoolsTraffic::make_event(TrafficMessage& message, Random& random, std::int64_t now_ms) {
  const std::uint32_t student = pick(random, students_.size());
  if (students_[student].version == 0) return change_student(message, random, now_ms, student);
  const std::uint64_t drawn = random.below(1000);
  if (drawn < 60) return change_student(message, random, now_ms, student);
  if (drawn < 240) return change_case(message, random, now_ms, student);
  if (drawn < 400) return change_alert(message, random, now_ms, student);
  if (drawn < 450) return change_session(message, random, now_ms, student);
  return audit(message, random, now_ms, student);
}

std::string_view SchoolsTraffic::change_student(TrafficMessage& message, Random& random, std::int64_t now_ms,
                                                std::uint32_t number) {
  Student& student = students_[number];
  const bool is_new = student.version == 0;
  if (is_new) {
    student.classroom = number / students_of_a_classroom;
    student.risk = static_cast<std::int16_t>(random.below(100) * random.below(100) / 100);
  } else if (random.one_in(4)) {
    student.classroom = pick_classroom(random);
  } else if (random.one_in(8)) {
    student.active = !student.active;
  } else {
    student.risk = static_cast<std::int16_t>(std::clamp(student.risk + random.between(-25, 25), 0, 100));
  }
  const bool removed = !is_new && random.one_in(50);
  message.topic = "schools.students";
  append_uuid(message.key, student_id(number));
  begin_event(message.value, random_uuid(random), "/schools/register",
              removed ? "schools.student.removed" : "schools.student.changed", now_ms);
  Members data(message.value);
  data.text("student_id", message.key).number("version", ++student.version);
  if (!removed) {
    data.number("school_id", student.classroom / classrooms_of_a_school + 1);
    data.uuid("classroom_id", classroom_id(student.classroom)).text("name", name_of(number));
    data.boolean("active", student.active).text("risk_level", level_of(student.risk));
    data.decimal("risk_score", student.risk, 2).date("born_on", 14'600 + number % 2'000);
  }
  data.end();
  end_event(message.value);
  return "version";
}

std::string_view SchoolsTraffic::change_case(TrafficMessage& message, Random& random, std::int64_t now_ms,
                                             std::uint32_t student) {
  const bool is_new = cases_.size() < 20 || random.one_in(4);
  if (is_new) {
    cases_.push_back({random_uuid(random), student, 0, students_[student].classroom, 0, 0, now_ms});
    cases_.back().sort = static_cast<std::uint8_t>(random.below(categories.size()));
  }
  const std::size_t at = is_new ? cases_.size() - 1 : pick(random, cases_.size());
  Matter& matter = cases_[at];
  const Matter before = matter;
  const bool deleted = !is_new && random.one_in(40);
  if (!is_new && !deleted) {
    if (random.one_in(5)) {
      matter.owner = pick_classroom(random);
    } else {
      matter.status = static_cast<std::uint8_t>(matter.status == 0 ? 1 : random.one_in(4) ? 2 : 3);
    }
  }
  ++matter.version;
  message.topic = "schools.cases";
  append_uuid(message.key, matter.id);
  begin_event(message.value, random_uuid(random), "/schools/cases",
              deleted ? "schools.case.deleted" : "schools.case.changed", now_ms);
  Members data(message.value);
  data.text("case_id", message.key).number("version", matter.version);
  if (is_new) {
    data.null("before");
  } else {
    Members told(data.raw("before"));
    told.uuid("assignee_id", form_master_id(before.owner)).text("status", case_statuses[before.status]).end();
  }
  if (!deleted) {
    const Student& known = students_[matter.student];
    data.text("category", categories[matter.sort]).text("status", case_statuses[matter.status]);
    data.uuid("assignee_id", form_master_id(matter.owner)).utc("opened_at", matter.begun_ms);
    Members told(data.raw("student"));
    told.uuid("student_id", student_id(matter.student)).text("name", name_of(matter.student));
    told.uuid("classroom_id", classroom_id(known.classroom)).text("risk_level", level_of(known.risk));
    told.decimal("risk_score", known.risk, 2).end();
  }
  data.end();
  end_event(message.value);
  if (deleted || matter.status == 3) drop(cases_, at);
  return "source";
}

std::string_view SchoolsTraffic::change_alert(TrafficMessage& message, Random& random, std::int64_t now_ms,
                                              std::uint32_t student) {
  const bool is_new = alerts_.size() < 20 || random.one_in(3);
  if (is_new) {
    alerts_.push_back({random_uuid(random), student, 0, students_[student].classroom, 0, 0, now_ms});
    alerts_.back().sort = static_cast<std::uint8_t>(random.below(alert_kinds.size()));
  }
  const std::size_t at = is_new ? alerts_.size() - 1 : pick(random, alerts_.size());
  Matter& matter = alerts_[at];
  const Matter before = matter;
  if (!is_new) matter.status = static_cast<std::uint8_t>(matter.status == 0 && !random.one_in(3) ? 1 : 2);
  ++matter.version;
  message.topic = "schools.alerts";
  append_uuid(message.key, matter.id);
  begin_event(message.value, random_uuid(random), "/schools/alerts", "schools.alert.changed", now_ms);
  Members data(message.value);
  data.text("alert_id", message.key).number("version", matter.version);
  if (is_new) {
    data.null("before");
  } else {
    Members told(data.raw("before"));
    told.uuid("assignee_id", form_master_id(before.owner)).text("status", alert_statuses[before.status]).end();
  }
  data.text("kind", alert_kinds[matter.sort]).number("severity", 1 + matter.sort % 3);
  data.text("status", alert_statuses[matter.status]).uuid("assignee_id", form_master_id(matter.owner));
  data.uuid("student_id", student_id(matter.student)).utc("raised_at", matter.begun_ms).end();
  end_event(message.value);
  if (matter.status == 2) drop(alerts_, at);
  return "source";
}

std::string_view SchoolsTraffic::change_session(TrafficMessage& message, Random& random, std::int64_t now_ms,
                                                std::uint32_t student) {
  const bool is_new = sessions_.size() < 20 || random.one_in(2);
  if (is_new)
    sessions_.push_back({random_uuid(random), student, 0, students_[student].classroom, 0, 0, now_ms + day_ms});
  const std::size_t at = is_new ? sessions_.size() - 1 : pick(random, sessions_.size());
  Matter& matter = sessions_[at];
  if (!is_new) matter.status = static_cast<std::uint8_t>(random.one_in(6) ? 2 : 1);
  ++matter.version;
  message.topic = "schools.sessions";
  append_uuid(message.key, matter.id);
  begin_event(message.value, random_uuid(random), "/schools/sessions", "schools.session.changed", now_ms);
  Members data(message.value);
  data.text("session_id", message.key).number("version", matter.version);
  data.text("status", session_statuses[matter.status]).utc("planned_at", matter.begun_ms);
  data.uuid("student_id", student_id(matter.student)).uuid("form_master_id", form_master_id(matter.owner));
  if (matter.status == 1) {
    data.number("minutes", random.between(3, 12) * 5);
  } else {
    data.null("minutes");
  }
  data.end();
  end_event(message.value);
  if (matter.status != 0) drop(sessions_, at);
  return "version";
}

std::string_view SchoolsTraffic::audit(TrafficMessage& message, Random& random, std::int64_t now_ms,
                                       std::uint32_t student) {
  message.topic = "schools.audit";
  append_uuid(message.key, form_master_id(pick_classroom(random)));
  begin_event(message.value, random_uuid(random), "/schools/gateway", "schools.audit.recorded", now_ms);
  Members data(message.value);
  data.text("user_id", message.key).text("action", actions[random.below(actions.size())]);
  if (!cases_.empty() && random.one_in(2)) {
    data.text("entity_type", "case").uuid("entity_id", cases_[pick(random, cases_.size())].id);
  } else {
    data.text("entity_type", "student").uuid("entity_id", student_id(student));
  }
  data.text("address", "10." + std::to_string(random.below(50)) + ".0." + std::to_string(1 + random.below(250)));
  Members details(data.raw("details"));
  details.text("page", random.one_in(3) ? "case list" : "profile").number("took_ms", random.between(3, 400)).end();
  data.end();
  end_event(message.value);
  return "user_id";
}

}  // namespace daybook::simulation
