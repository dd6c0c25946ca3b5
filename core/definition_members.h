// The members of a view definition, and what each is expected to be. schemas/view.schema.json says the same to
// editors and docs/views.md to people; a test holds the schema to these.
#pragma once

#include <string_view>

#include "core/definition_shape.h"

namespace daybook {

inline constexpr std::size_t max_definition_bytes = 256 * 1024;
inline constexpr std::size_t max_key_columns = 16;
inline constexpr std::size_t max_columns = 64;
inline constexpr std::size_t max_event_types = 100;
inline constexpr std::size_t max_header_name = 200;

inline constexpr std::string_view name_expected = "a name: a-z, 0-9 and _, a letter first, at most 55 characters";
inline constexpr std::string_view pointer_expected = "a JSON Pointer below the event, such as \"/data/quantity\"";
inline constexpr std::string_view scalar_expected = "a string, a number, true or false";
inline constexpr std::string_view list_expected = "an array of strings, numbers, true and false, not empty";

inline constexpr DefinitionShape::Member root_members[] = {
    {"$schema", false, "a string"},
    {"view", true, name_expected},
    {"kind", true, "\"summary\", \"latest\" or \"log\""},
    {"description", false, "a string"},
    {"key", true, "an array of 1 to 16 key columns"},
    {"columns", true, "an array of 1 to 64 columns"},
    {"updated_at", false, "\"timestamptz\" or \"timestamp\""},
    {"sources", true, "an array of sources, not empty"},
    {"partition", false, "\"day\" or \"month\""},
    {"keep_days", false, "an integer from 1 to 36500"},
    {"max_future_seconds", false, "an integer from 0 to 1000000000000"},
    {"deduplication_window_events", false, "an integer from 1000 to 1000000000"},
    {"reader", false, "an object: how the reader serves the view"},
};
inline constexpr DefinitionShape::Member key_members[] = {
    {"name", true, name_expected},
    {"type", true, "\"uuid\", \"text\", \"int\", \"date\", \"hour\", \"minute\" or \"timestamp\""},
    {"time_zone", false, "the name of an IANA time zone, such as \"Africa/Nairobi\""},
};
inline constexpr DefinitionShape::Member column_members[] = {
    {"name", true, name_expected},
    {"type", true, "\"int\", \"bigint\", \"decimal\", \"timestamp\" or \"text\""},
    {"scale", false, "an integer from 1 to 9: digits behind the point"},
    {"value", true,
     "\"sum\", \"count\", \"balance\", \"min\", \"max\", \"avg\", \"last\", \"ratio\", \"quantile\" or \"distinct\""},
    {"of", false, "an array of names of columns: two for a ratio, one for a quantile"},
    {"quantile", false, "a number between 0 and 1 with at most 6 digits, such as 0.95"},
};
inline constexpr DefinitionShape::Member source_members[] = {
    {"topic", true, "a Kafka topic: a-z, A-Z, 0-9, '.', '_' and '-', at most 249 characters, not . or .."},
    {"envelope", false, "\"cloudevents\", \"debezium\", or an object: where plain JSON says what event it is"},
    {"event", true, "the type of an event, not empty, or an array of 1 to 100 such types"},
    {"where", false, "an array of conditions"},
    {"key", true, "an object with a JSON Pointer for each key column"},
    {"add", false, "an object with an amount for each column to change, not empty"},
    {"subtract", false, "an object with an amount for each column to change, not empty"},
    {"take", false, "an object with a JSON Pointer for each column that takes a value, not empty"},
};
// Of `latest` and `log` views.
inline constexpr DefinitionShape::Member state_column_members[] = {
    {"name", true, name_expected},
    {"type", true,
     "\"text\", \"int\", \"bigint\", \"decimal\", \"boolean\", \"timestamp\", \"date\", \"uuid\" or \"json\""},
    {"scale", false, "an integer from 1 to 9: the digits behind a decimal's point"},
    {"required", false, "true or false"},
};
inline constexpr DefinitionShape::Member latest_source_members[] = {
    source_members[0],
    source_members[1],
    source_members[2],
    source_members[3],
    source_members[4],
    {"version", true, "a JSON Pointer to an integer or a date-time, such as \"/time\""},
    {"set", false, "an object with a JSON Pointer for each column to set, not empty"},
    {"delete", false, "true, or an array of names of columns, not empty"},
};
inline constexpr DefinitionShape::Member log_source_members[] = {
    source_members[0], source_members[1],
    source_members[2], source_members[3],
    source_members[4], {"set", true, "an object with a JSON Pointer for each column to set, not empty"},
};
inline constexpr DefinitionShape::Member envelope_members[] = {
    {"id", false, "a JSON Pointer such as \"/id\", or {\"header\": \"name\"}"},
    {"type", true, "a JSON Pointer such as \"/type\", {\"header\": \"name\"}, or {\"is\": \"a text\"}"},
    {"time", false, "a JSON Pointer such as \"/time\", or an object: a \"member\" or \"header\", and its \"unit\""},
    {"source", false, "a JSON Pointer such as \"/source\", {\"header\": \"name\"}, or {\"is\": \"a text\"}"},
};
inline constexpr DefinitionShape::Member constant_members[] = {
    {"is", true, "a text, not empty"},
};
inline constexpr DefinitionShape::Member place_members[] = {
    {"member", false, pointer_expected},
    {"header", false, "the name of a header, not empty, at most 200 characters"},
    {"envelope", false, "\"time\""},
    {"unit", false, "\"s\", \"ms\", \"us\", \"ns\" or \"days\""},
};
inline constexpr std::string_view place_expected =
    "a JSON Pointer, or an object with exactly one of \"member\", \"header\" and \"envelope\"";
inline constexpr DefinitionShape::Member condition_members[] = {
    {"member", true, pointer_expected}, {"equals", false, scalar_expected}, {"not_equals", false, scalar_expected},
    {"in", false, list_expected},       {"not_in", false, list_expected},   {"null", false, "true or false"},
};
inline constexpr DefinitionShape::Member reader_members[] = {
    {"cache_control", false, "a Cache-Control value, such as \"no-cache\" or \"private, max-age=5\""},
    {"filters", false, "an array of names of columns, not empty"},
    {"order", false, "an object: {\"by\": [columns], \"descending\": true or false}"},
    {"limit", false, "an integer from 1 to 1000"},
    {"routes", false, "an array of paths, not empty"},
    {"rows_by_claim", false, "an object with the name of a claim for each key column that limits, not empty"},
};
inline constexpr DefinitionShape::Member order_members[] = {
    {"by", true, "an array of names of columns, not empty"},
    {"descending", false, "true or false"},
};
inline constexpr std::string_view route_expected =
    "a path such as \"/dashboard/{facility_id}/{date}\": of each segment A-Z, a-z, 0-9, '.', '_', '~' and '-', or a "
    "key column in braces; at most 200 characters";
inline constexpr std::string_view claim_expected = "the name of a claim, not empty, at most 200 characters";

}  // namespace daybook
