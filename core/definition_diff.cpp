#include "core/definition_diff.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "core/json_pointer.h"

namespace daybook {
namespace {

using nlohmann::json;

constexpr std::size_t shown_bytes = 120;

std::string shown(const std::string& text) {
  if (text.size() <= shown_bytes) return text;
  std::size_t size = shown_bytes;
  while (size > 0 && (text[size] & 0xC0) == 0x80) --size;  // not inside a character
  return text.substr(0, size) + "...";
}

// Members whose default a definition may also write down.
void fill_defaults(json& definition) {
  definition.emplace("updated_at", "timestamptz");
  definition.emplace("deduplication_window_events", ViewDefinition().deduplication_window_events);
  for (json& source : definition["sources"]) {
    source.emplace("envelope", "cloudevents");
    source.emplace("where", json::array());
    if (json& event = source["event"]; event.is_array() && event.size() == 1) event = json(event[0]);
  }
}

class Comparison {
 public:
  std::vector<DefinitionChange> changes;

  void compare(const std::string& pointer, const json* was, const json* is) {
    if (was != nullptr && is != nullptr) {
      if (*was == *is) return;
      if (was->is_object() && is->is_object()) return compare_members(pointer, *was, *is);
      if (was->is_array() && is->is_array() && is_list_of_names(*was) && is_list_of_names(*is))
        return compare_named(pointer, *was, *is);
      if (was->is_array() && is->is_array() && pointer == "/sources") return compare_sources(*was, *is);
    }
    changes.push_back(
        {pointer, was == nullptr ? "" : was->dump(), is == nullptr ? "" : is->dump(), is_in_place(pointer, was, is)});
  }

 private:
  // Rows do not depend on these. A smaller deduplication window forgets sooner what was counted; within a larger one
  // copies may have been counted already.
  static bool is_in_place(const std::string& pointer, const json* was, const json* is) {
    if (pointer == "/description" || pointer == "/reader" || pointer.starts_with("/reader/")) return true;
    return pointer == "/deduplication_window_events" && was != nullptr && is != nullptr && *is < *was;
  }

  static bool is_list_of_names(const json& array) {
    return !array.empty() && std::all_of(array.begin(), array.end(),
                                         [](const json& one) { return one.is_object() && one.contains("name"); });
  }

  void compare_members(const std::string& pointer, const json& was, const json& is) {
    const auto of = [](const json& object, const std::string& name) {
      const auto found = object.find(name);
      return found == object.end() ? nullptr : &*found;
    };
    for (const auto& [name, value] : was.items())
      compare(pointer + "/" + escape_pointer_token(name), &value, of(is, name));
    for (const auto& [name, value] : is.items()) {
      if (!was.contains(name)) compare(pointer + "/" + escape_pointer_token(name), nullptr, &value);
    }
  }

  // Columns: known by their names, and in an order.
  void compare_named(const std::string& pointer, const json& was, const json& is) {
    json kept_was = json::array();
    json kept_is = json::array();
    const auto find = [](const json& array, const json& name) {
      return std::find_if(array.begin(), array.end(), [&](const json& one) { return one["name"] == name; });
    };
    for (std::size_t i = 0; i < was.size(); ++i) {
      const auto now = find(is, was[i]["name"]);
      if (now == is.end()) {
        compare(pointer + "/" + std::to_string(i), &was[i], nullptr);
      } else {
        kept_was.push_back(was[i]["name"]);
        compare(pointer + "/" + std::to_string(now - is.begin()), &was[i], &*now);
      }
    }
    for (std::size_t i = 0; i < is.size(); ++i) {
      if (find(was, is[i]["name"]) == was.end()) {
        compare(pointer + "/" + std::to_string(i), nullptr, &is[i]);
      } else {
        kept_is.push_back(is[i]["name"]);
      }
    }
    if (kept_was != kept_is) changes.push_back({pointer, kept_was.dump(), kept_is.dump(), false});
  }

  // Sources have no names: equal ones belong together, then those of one topic and event.
  void compare_sources(const json& was, const json& is) {
    std::vector<bool> taken(is.size(), false);
    std::vector<bool> met(was.size(), false);
    const auto pair_up = [&](auto&& belong) {
      for (std::size_t i = 0; i < was.size(); ++i) {
        for (std::size_t j = 0; j < is.size() && !met[i]; ++j) {
          if (taken[j] || !belong(was[i], is[j])) continue;
          met[i] = taken[j] = true;
          compare("/sources/" + std::to_string(j), &was[i], &is[j]);
        }
      }
    };
    pair_up([](const json& a, const json& b) { return a == b; });
    const bool all_equal = was.size() == is.size() && std::find(met.begin(), met.end(), false) == met.end();
    if (all_equal) {
      changes.push_back({"/sources", "these sources in another order", "", false});
      changes.back().is = "the same sources in this order";
      return;
    }
    pair_up([](const json& a, const json& b) { return a["topic"] == b["topic"] && a["event"] == b["event"]; });
    for (std::size_t i = 0; i < was.size(); ++i) {
      if (!met[i]) compare("/sources/" + std::to_string(i), &was[i], nullptr);
    }
    for (std::size_t j = 0; j < is.size(); ++j) {
      if (!taken[j]) compare("/sources/" + std::to_string(j), nullptr, &is[j]);
    }
  }
};

}  // namespace

std::string to_string(const DefinitionChange& change) {
  if (change.was.empty()) return change.pointer + ": new: " + shown(change.is);
  if (change.is.empty()) return change.pointer + ": gone: " + shown(change.was);
  return change.pointer + ": is " + shown(change.is) + ", was " + shown(change.was);
}

DefinitionDifference compare_definitions(std::string_view stored_json, std::string_view served_json,
                                         const ViewDefinition& wanted) {
  json was = json::parse(stored_json);
  was.update(json::parse(served_json));
  json is = json::parse(wanted.canonical_json);
  if (!wanted.description.empty()) is["description"] = wanted.description;
  if (!wanted.reader_json.empty()) is["reader"] = json::parse(wanted.reader_json);
  fill_defaults(was);
  fill_defaults(is);
  Comparison comparison;
  comparison.compare("", &was, &is);
  DefinitionDifference difference{std::move(comparison.changes), DefinitionMeaning::same};
  if (!difference.changes.empty() || stored_json != wanted.canonical_json)
    difference.meaning = DefinitionMeaning::in_place;
  for (const DefinitionChange& change : difference.changes) {
    if (!change.in_place) difference.meaning = DefinitionMeaning::needs_replay;
  }
  return difference;
}

std::string refusal(const std::string& view, const DefinitionDifference& difference) {
  std::string text = "view " + view + " is in the database with another definition";
  if (difference.meaning == DefinitionMeaning::in_place) {
    return text +
           ", from which this one differs in nothing that its rows depend on: run `daybook views apply` with "
           "this one, or the worker with the one that is there";
  }
  std::size_t others = 0;
  const DefinitionChange* first = nullptr;
  for (const DefinitionChange& change : difference.changes) {
    if (change.in_place) continue;
    if (first == nullptr) {
      first = &change;
    } else {
      ++others;
    }
  }
  if (first != nullptr) text += ": " + to_string(*first);
  if (others > 0) text += " (and " + std::to_string(others) + " more: `daybook views diff` shows them)";
  return text +
         ". Its rows can't become those of this definition without a replay of the log: give the changed "
         "definition a new view name and run `daybook views apply`, or use the definition that is there";
}

}  // namespace daybook
