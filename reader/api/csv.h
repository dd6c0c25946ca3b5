// Rows as CSV (RFC 4180): a header line, lines that end with CRLF, fields in the order of the table. Pure.
#pragma once

#include <string>
#include <vector>

#include "core/definition.h"

namespace daybook::reader {

// `rows`: JSON objects as the reader has them.
std::string csv_of(const ViewDefinition& view, const std::vector<std::string>& rows);

}  // namespace daybook::reader
