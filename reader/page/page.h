// The page in the browser: `/` and what it loads. Pure.
#pragma once

#include <string_view>

#include "http/exchange.h"

namespace daybook::reader::page {

// The answer for a path of the page ("/", "/page/page.js"); null for any other. Ready-made, the same object each time.
http::BlockPtr find(std::string_view path);

}  // namespace daybook::reader::page
