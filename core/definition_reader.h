// Reads view definitions from JSON and names every mistake at once.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "core/definition.h"

namespace daybook {

// One mistake in a definition: where (JSON Pointer; "" is the whole file), what was found, what was expected.
struct DefinitionMistake {
  std::string pointer;
  std::string found;
  std::string expected;

  bool operator==(const DefinitionMistake&) const = default;
};

// "POINTER: found X, expected Y", always one line; without "POINTER: " for the whole file.
std::string to_string(const DefinitionMistake& mistake);

using DefinitionOrMistakes = std::variant<ViewDefinition, std::vector<DefinitionMistake>>;

// `text` is the whole file. Never throws for wrong input; duplicate member names, unknown members and wrong
// types are all mistakes. The mistakes come in the order of the file, at most 100.
DefinitionOrMistakes read_definition(std::string_view text);

// Puts together again what a generation stores: ViewDefinition::canonical_json, and an object of the members that it
// leaves out (`reader`, `description`; none of them has to be there).
DefinitionOrMistakes read_stored_definition(std::string_view canonical_json, std::string_view served_json);

// Reads the file at `path`; a file that can't be read is a mistake at "".
DefinitionOrMistakes read_definition_file(const std::string& path);

// A demand on a definition that is right in itself: what the place that will keep the view can't do.
using DefinitionCheck = std::function<std::optional<DefinitionMistake>(const ViewDefinition&)>;

// Reads all the files, each to its own answer in the same order. A second file that defines the same view has
// a mistake, too.
std::vector<DefinitionOrMistakes> read_definition_files(const std::vector<std::string>& paths,
                                                        const DefinitionCheck& check = {});

// Reads all the files, or throws UsageError whose text lists every mistake of every file, one a line:
// "FILE: POINTER: found X, expected Y". Two files that define one view are a mistake too.
std::vector<ViewDefinition> load_definitions(const std::vector<std::string>& paths, const DefinitionCheck& check = {});

}  // namespace daybook
