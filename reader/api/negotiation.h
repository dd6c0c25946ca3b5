// What a client takes: formats, gzip, and what it has already (RFC 9110). Pure.
#pragma once

#include <optional>
#include <string_view>

namespace daybook::reader {

enum class Format { json, csv };

// Of JSON and CSV the one that the header prefers, JSON when it is the same to it; nothing: it takes neither.
std::optional<Format> choose_format(std::string_view accept);

// Whether Accept-Encoding has gzip (or *) with a weight above 0.
bool takes_gzip(std::string_view accept_encoding);

// If-None-Match: whether it has the tag, compared weakly, or is "*".
bool has_tag(std::string_view if_none_match, std::string_view etag);

}  // namespace daybook::reader
