#include "reader/api/negotiation.h"

#include <algorithm>
#include <cctype>

namespace daybook::reader {
namespace {

std::string_view trimmed(std::string_view text) {
  const auto is_space = [](char c) { return c == ' ' || c == '\t'; };
  while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_space(text.back())) text.remove_suffix(1);
  return text;
}

bool equal_words(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](char x, char y) {
    return std::tolower(static_cast<unsigned char>(x)) == std::tolower(static_cast<unsigned char>(y));
  });
}

std::string_view cut(std::string_view& list, char separator) {
  const std::size_t end = std::min(list.find(separator), list.size());
  const std::string_view first = list.substr(0, end);
  list.remove_prefix(std::min(end + 1, list.size()));
  return trimmed(first);
}

// "0.5" in thousandths; nothing for what is no weight.
std::optional<int> read_weight(std::string_view text) {
  if (text.empty() || (text[0] != '0' && text[0] != '1') || text.size() > 5) return std::nullopt;
  if (text.size() > 1 && text[1] != '.') return std::nullopt;
  int weight = (text[0] - '0') * 1000;
  int unit = 100;
  for (const char c : text.substr(std::min<std::size_t>(2, text.size()))) {
    if (c < '0' || c > '9') return std::nullopt;
    weight += (c - '0') * unit;
    unit /= 10;
  }
  return weight > 1000 ? std::nullopt : std::optional(weight);
}

// One element of Accept or Accept-Encoding: its word without parameters, its weight in thousandths. An element with a
// weight that can't be read counts as one of weight 0.
struct Weighted {
  std::string_view word;
  int weight = 1000;
};
Weighted next_element(std::string_view& list) {
  std::string_view element = cut(list, ',');
  Weighted found{cut(element, ';')};
  while (!element.empty()) {
    const std::string_view parameter = cut(element, ';');
    if (parameter.size() >= 2 && (parameter[0] == 'q' || parameter[0] == 'Q') && parameter[1] == '=')
      found.weight = read_weight(parameter.substr(2)).value_or(0);
  }
  return found;
}

// The weight that Accept gives to a type: that of the most specific element which matches.
int weight_of(std::string_view accept, std::string_view type) {
  const std::string_view family = type.substr(0, type.find('/') + 1);
  int best = 0;
  int best_rank = 0;
  while (!accept.empty()) {
    const Weighted element = next_element(accept);
    int rank = 0;
    if (equal_words(element.word, type)) {
      rank = 3;
    } else if (element.word.size() == family.size() + 1 && element.word.back() == '*' &&
               equal_words(element.word.substr(0, family.size()), family)) {
      rank = 2;
    } else if (element.word == "*/*") {
      rank = 1;
    }
    if (rank == 0 || rank < best_rank) continue;
    best = rank == best_rank ? std::max(best, element.weight) : element.weight;
    best_rank = rank;
  }
  return best;
}

}  // namespace

std::optional<Format> choose_format(std::string_view accept) {
  accept = trimmed(accept);
  if (accept.empty() || accept == "*/*") return Format::json;
  const int json = weight_of(accept, "application/json");
  const int csv = weight_of(accept, "text/csv");
  if (json == 0 && csv == 0) return std::nullopt;
  return json >= csv ? Format::json : Format::csv;
}

bool takes_gzip(std::string_view accept_encoding) {
  std::optional<int> gzip;
  std::optional<int> any;
  while (!accept_encoding.empty()) {
    const Weighted element = next_element(accept_encoding);
    if (equal_words(element.word, "gzip") || equal_words(element.word, "x-gzip")) gzip = element.weight;
    if (element.word == "*") any = element.weight;
  }
  return gzip.value_or(any.value_or(0)) > 0;
}

bool has_tag(std::string_view if_none_match, std::string_view etag) {
  if (etag.empty()) return false;
  if (trimmed(if_none_match) == "*") return true;
  const auto opaque = [](std::string_view tag) { return tag.starts_with("W/") ? tag.substr(2) : tag; };
  std::string_view rest = if_none_match;
  for (;;) {
    // A tag may hold commas: it ends at its second quote.
    const std::size_t open = rest.find('"');
    if (open == std::string_view::npos) return false;
    const std::size_t close = rest.find('"', open + 1);
    if (close == std::string_view::npos) return false;
    if (rest.substr(open, close + 1 - open) == opaque(etag)) return true;
    rest.remove_prefix(close + 1);
  }
}

}  // namespace daybook::reader
