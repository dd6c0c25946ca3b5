#include "reader/access/files.h"

#include <sys/stat.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>

#include "core/error.h"

namespace daybook::reader {

namespace {
constexpr std::size_t max_file_bytes = 16 * 1024 * 1024;
}

std::string read_access_file(const std::string& path) {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "rb"), &std::fclose);
  struct stat status {};
  if (!file || fstat(fileno(file.get()), &status) != 0)
    throw UsageError(path + ": a file that can't be read (" + std::strerror(errno) + ")");
  if (S_ISREG(status.st_mode) && (status.st_mode & S_IWOTH) != 0)
    throw UsageError(path +
                     ": everybody may write to this file, which says who may read: take that right away (chmod o-w)");
  std::string text;
  char part[64 * 1024];
  for (std::size_t size = 0; (size = std::fread(part, 1, sizeof part, file.get())) > 0;) {
    text.append(part, size);
    if (text.size() > max_file_bytes) throw UsageError(path + ": larger than 16 MiB");
  }
  if (std::ferror(file.get()) != 0)
    throw UsageError(path + ": a file that can't be read (" + std::strerror(errno) + ")");
  return text;
}

void throw_mistakes(const std::string& path, const Mistakes& mistakes) {
  std::string message = "mistakes in " + path + ":";
  for (const DefinitionMistake& mistake : mistakes) message += "\n" + path + ": " + to_string(mistake);
  throw UsageError(message);
}

}  // namespace daybook::reader
