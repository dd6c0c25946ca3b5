// View definitions in files: reading several, and naming the file of each mistake.
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>

#include "core/definition_members.h"
#include "core/definition_reader.h"
#include "core/error.h"

namespace daybook {
namespace {

DefinitionOrMistakes unreadable(int error) {
  return std::vector<DefinitionMistake>{
      {"", "a file that can't be read (" + std::string(std::strerror(error)) + ")", "a view definition in JSON"}};
}

}  // namespace

std::string to_string(const DefinitionMistake& mistake) {
  std::string line;
  const std::string place = mistake.pointer.empty() ? "" : mistake.pointer + ": ";
  for (const char c : place + "found " + mistake.found + ", expected " + mistake.expected) {
    if (const auto byte = static_cast<unsigned char>(c); byte < 0x20 || byte == 0x7f) {
      char escaped[8];
      std::snprintf(escaped, sizeof escaped, "\\u%04x", byte);
      line += escaped;
    } else {
      line += c;
    }
  }
  return line;
}

DefinitionOrMistakes read_definition_file(const std::string& path) {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "rb"), &std::fclose);
  if (!file) return unreadable(errno);
  std::string text(max_definition_bytes + 1, '\0');
  text.resize(std::fread(text.data(), 1, text.size(), file.get()));
  if (std::ferror(file.get()) != 0) return unreadable(errno);
  return read_definition(text);
}

std::vector<DefinitionOrMistakes> read_definition_files(const std::vector<std::string>& paths,
                                                        const DefinitionCheck& check) {
  std::vector<DefinitionOrMistakes> all;
  std::vector<std::pair<std::string, std::string>> defined;  // view, file
  for (const std::string& path : paths) {
    DefinitionOrMistakes& read = all.emplace_back(read_definition_file(path));
    if (!std::holds_alternative<ViewDefinition>(read)) continue;
    const std::string name = std::get<ViewDefinition>(read).name;
    for (const auto& [other_name, other_path] : defined) {
      if (other_name != name) continue;
      read = std::vector<DefinitionMistake>{{"/view", "\"" + name + "\", which " + other_path + " defines, too",
                                             "a name that no other of these files has"}};
      break;
    }
    if (!std::holds_alternative<ViewDefinition>(read)) continue;
    defined.emplace_back(name, path);
    if (!check) continue;
    if (std::optional<DefinitionMistake> mistake = check(std::get<ViewDefinition>(read))) {
      read = std::vector<DefinitionMistake>{std::move(*mistake)};
    }
  }
  return all;
}

std::vector<ViewDefinition> load_definitions(const std::vector<std::string>& paths, const DefinitionCheck& check) {
  std::vector<DefinitionOrMistakes> all = read_definition_files(paths, check);
  std::vector<ViewDefinition> views;
  std::string message;
  for (std::size_t i = 0; i < all.size(); ++i) {
    if (auto* view = std::get_if<ViewDefinition>(&all[i])) {
      views.push_back(std::move(*view));
      continue;
    }
    for (const DefinitionMistake& mistake : std::get<std::vector<DefinitionMistake>>(all[i])) {
      message += "\n" + paths[i] + ": " + to_string(mistake);
    }
  }
  if (!message.empty()) throw UsageError("mistakes in view definitions:" + message);
  return views;
}

}  // namespace daybook
