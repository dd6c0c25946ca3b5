// The JSON of a row, made by PostgreSQL. The change feed and every load use this one expression, so that all who read a
// row have the same bytes. Pure: text in, text out.
#pragma once

#include <string>
#include <vector>

#include "core/definition.h"

namespace daybook::sql {

// An expression of type text over a row of the view's table:
// {"facility_id":"…","date":"2026-01-31","total_stock":12,"updated_at":"2026-01-31T10:00:00.123456Z"}: key columns,
// value columns, updated_at (UTC, 6 digits), no white space. The same whatever the session's DateStyle and TimeZone
// are. `alias`: of the table in the statement.
std::string row_json(const ViewDefinition& view, const std::string& alias);

// An expression of type text: the JSON array of values of the view's key columns, and of further dates behind them.
// `values` and `dates` are SQL expressions; a date may be 'infinity', which becomes null.
std::string key_json(const ViewDefinition& view, const std::vector<std::string>& values,
                     const std::vector<std::string>& dates = {});

}  // namespace daybook::sql
