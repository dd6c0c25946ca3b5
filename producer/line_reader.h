// Lines of a file or of standard input, in bounded memory.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace daybook::publishing {

class LineReader {
 public:
  static constexpr std::size_t longest_line = 16u << 20;  // no broker takes more by default

  // `path` "-" is standard input. Throws UsageError when the file can't be opened.
  explicit LineReader(const std::string& path);
  ~LineReader();
  LineReader(const LineReader&) = delete;
  LineReader& operator=(const LineReader&) = delete;

  struct Line {
    std::string_view text;  // without its end (\n or \r\n); good until the next call
    std::uint64_t number = 0;
    bool too_long = false;  // longer than longest_line: `text` is empty
  };
  // False at the end, and when a signal interrupted the reading. Throws StopError for a read error.
  bool next(Line& line);

  const std::string& name() const { return name_; }  // as messages call it

 private:
  bool fill();

  std::string name_;
  int descriptor_ = -1;
  bool at_end_ = false;
  std::uint64_t number_ = 0;
  std::string buffer_;
  std::size_t begin_ = 0;  // of what was not handed out yet
};

}  // namespace daybook::publishing
