// Names that a view definition may give: of a table, a column, a topic, a time zone.
#pragma once

#include <string_view>

namespace daybook {

// a-z, 0-9 and _, starting with a letter, at most 55 characters: short enough that names derived from it
// stay below PostgreSQL's 63.
bool is_plain_name(std::string_view name);

// A key word that PostgreSQL 15 reserves, so that people would have to quote it in each query.
bool is_reserved_word(std::string_view name);

// A column that every PostgreSQL table has already (ctid, xmin, ...).
bool is_system_column(std::string_view name);

// What Kafka takes as a topic.
bool is_topic_name(std::string_view name);

// A name as the IANA time-zone database has them; whether it has this one is DayZone::exists's to say, which opens it
// as a file, so nothing gets through here that could be another path. Without right/ (its days have leap seconds) and
// localtime (differs between machines).
bool is_zone_name(std::string_view name);

}  // namespace daybook
