// The description of the API in OpenAPI 3.1, made from the definitions. Pure.
#pragma once

#include <string>
#include <vector>

#include "core/definition.h"

namespace daybook::reader {

std::string openapi_of(const std::vector<const ViewDefinition*>& views, const std::string& version);

}  // namespace daybook::reader
