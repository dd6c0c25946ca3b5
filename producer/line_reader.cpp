// Reads by large blocks; a line that is longer than the bound is passed over without being kept.
#include "producer/line_reader.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "core/error.h"

namespace daybook::publishing {

constexpr std::size_t block = 1u << 18;

LineReader::LineReader(const std::string& path) : name_(path == "-" ? "stdin" : path) {
  descriptor_ = path == "-" ? STDIN_FILENO : open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor_ < 0) throw UsageError(path + ": can't be opened: " + std::strerror(errno));
}

LineReader::~LineReader() {
  if (descriptor_ > STDIN_FILENO) close(descriptor_);
}

bool LineReader::fill() {
  if (at_end_) return false;
  if (begin_ > 0) {
    buffer_.erase(0, begin_);
    begin_ = 0;
  }
  const std::size_t had = buffer_.size();
  buffer_.resize(had + block);
  const ssize_t got = read(descriptor_, buffer_.data() + had, block);
  const int error = errno;
  buffer_.resize(had + (got > 0 ? static_cast<std::size_t>(got) : 0));
  if (got > 0) return true;
  at_end_ = true;
  if (got < 0 && error == EINTR) buffer_.clear();  // a half line is not a line
  if (got < 0 && error != EINTR) throw StopError(name_ + ": can't be read: " + std::strerror(error));
  return false;
}

bool LineReader::next(Line& line) {
  line = {};
  std::size_t searched = 0;  // bytes from begin_ on that hold no line end
  while (true) {
    const std::size_t end = buffer_.find('\n', begin_ + searched);
    const bool complete = end != std::string::npos;
    const std::size_t length = (complete ? end : buffer_.size()) - begin_;
    if (length > longest_line) {
      line.too_long = true;
      if (!complete) {
        begin_ = buffer_.size();
        searched = 0;
      }
    }
    if (!complete) {
      searched = buffer_.size() - begin_;
      if (fill()) continue;
      if (buffer_.size() == begin_ && !line.too_long) return false;
    }
    line.number = ++number_;
    if (!line.too_long) {
      line.text = std::string_view(buffer_).substr(begin_, length);
      if (!line.text.empty() && line.text.back() == '\r') line.text.remove_suffix(1);
    }
    begin_ = complete ? end + 1 : buffer_.size();
    return true;
  }
}

}  // namespace daybook::publishing
