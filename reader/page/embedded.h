// The page's files, as part of the program: "page/index.html" and so on. Generated from this folder at build time.
#pragma once

#include <map>
#include <string>

namespace daybook::reader::page {

const std::map<std::string, std::string>& embedded();

}  // namespace daybook::reader::page
