// The traffic of a network of schools: students and their risk, cases and alerts that form masters look after,
// sessions with students, and who did what.
#pragma once

#include <vector>

#include "producer/plain_system.h"

namespace daybook::simulation {

class SchoolsTraffic final : public PlainSystem {
 public:
  explicit SchoolsTraffic(const TrafficOptions& options) : seed_(options.seed), students_(options.entities) {}

 protected:
  std::string_view make_event(TrafficMessage& message, Random& random, std::int64_t now_ms) override;

 private:
  struct Student {
    std::uint32_t version = 0;  // 0: nobody heard of the student yet
    std::uint32_t classroom = 0;
    std::int16_t risk = 0;  // hundredths
    bool active = true;
  };
  // A case, an alert or a session that is not done with.
  struct Matter {
    Uuid id;
    std::uint32_t student = 0;
    std::uint32_t version = 0;
    std::uint32_t owner = 0;  // the classroom whose form master looks after it
    std::uint8_t status = 0;  // index of the kind's own statuses
    std::uint8_t sort = 0;
    std::int64_t begun_ms = 0;
  };

  std::string_view change_student(TrafficMessage& message, Random& random, std::int64_t now_ms, std::uint32_t student);
  std::string_view change_case(TrafficMessage& message, Random& random, std::int64_t now_ms, std::uint32_t student);
  std::string_view change_alert(TrafficMessage& message, Random& random, std::int64_t now_ms, std::uint32_t student);
  std::string_view change_session(TrafficMessage& message, Random& random, std::int64_t now_ms, std::uint32_t student);
  std::string_view audit(TrafficMessage& message, Random& random, std::int64_t now_ms, std::uint32_t student);
  std::uint32_t classrooms() const;
  std::uint32_t pick_classroom(Random& random) const;
  Uuid student_id(std::uint32_t student) const { return entity_uuid(seed_, 2, student); }
  Uuid classroom_id(std::uint32_t classroom) const { return entity_uuid(seed_, 3, classroom); }
  Uuid form_master_id(std::uint32_t classroom) const { return entity_uuid(seed_, 4, classroom); }

  std::uint64_t seed_;
  std::vector<Student> students_;
  std::vector<Matter> cases_, alerts_, sessions_;
};

}  // namespace daybook::simulation
