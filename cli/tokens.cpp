// `daybook tokens`: makes API tokens for the reader, and checks the file that says which there are.
#include <fcntl.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "cli/command.h"
#include "core/error.h"
#include "core/json_tree.h"
#include "reader/access/encoding.h"
#include "reader/access/files.h"

namespace daybook {
namespace {

using nlohmann::ordered_json;

constexpr std::size_t random_bytes = 32;

struct NewOptions {
  std::string name;
  std::vector<std::string> scopes;
  std::vector<std::string> claims;
  std::string expires;
  std::string file;
};

[[noreturn]] void fail(const std::string& what, const std::string& path) {
  throw StopError(what + " " + path + ": " + std::strerror(errno));
}

std::string new_token() {
  std::string bytes(random_bytes, '\0');
  std::size_t filled = 0;
  while (filled < bytes.size()) {
    const ssize_t got = getrandom(bytes.data() + filled, bytes.size() - filled, 0);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) throw StopError(std::string("no random bytes from the system: ") + std::strerror(errno));
    filled += static_cast<std::size_t>(got);
  }
  return std::string(reader::token_prefix) + reader::encode_base64url(bytes);
}

// The entry for the file, with every mistake in the options at once.
ordered_json entry_of(const NewOptions& options, const std::string& token) {
  std::string mistakes;
  const auto mistake = [&mistakes](const std::string& option, const std::string& found, std::string_view expected) {
    mistakes += (mistakes.empty() ? "" : "\n") + option + ": found " + quoted_ascii(found) + ", expected " +
                std::string(expected);
  };
  if (!reader::is_token_name(options.name)) mistake("--name", options.name, reader::token_name_expected);
  for (const std::string& scope : options.scopes) {
    if (!reader::is_scope(scope)) mistake("--scope", scope, reader::scope_expected);
  }
  ordered_json claims = ordered_json::object();
  for (const std::string& claim : options.claims) {
    const std::size_t equals = claim.find('=');
    if (equals == 0 || equals == std::string::npos) {
      mistake("--claim", claim, "NAME=VALUE, such as facility_id=8c1f...");
      continue;
    }
    ordered_json& values = claims[claim.substr(0, equals)];
    if (values.is_null()) values = ordered_json::array();
    values.push_back(claim.substr(equals + 1));
  }
  if (!options.expires.empty() && !reader::parse_expiry(options.expires))
    mistake("--expires", options.expires, reader::expiry_expected);
  if (!mistakes.empty()) throw UsageError(mistakes);

  ordered_json entry = {
      {"name", options.name}, {"sha256", reader::to_hex(reader::sha256(token))}, {"scopes", options.scopes}};
  if (!claims.empty()) entry["claims"] = std::move(claims);
  if (!options.expires.empty()) entry["expires"] = options.expires;
  return entry;
}

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }

 private:
  int fd_;
};

// Adds to the file, or makes it. A reader that looks meanwhile sees the old file or the new one, nothing between; two
// that add at once wait for each other.
void add_to_file(const std::string& path, const ordered_json& entry) {
  std::error_code error;
  // Through a symbolic link the file it names is replaced, not the link. Absolute first: what is not there yet stays
  // relative.
  std::filesystem::path real = std::filesystem::weakly_canonical(std::filesystem::absolute(path), error);
  if (error) real = std::filesystem::absolute(path);
  const std::string file = real.string();
  const std::string folder = real.parent_path().string();
  const Descriptor directory(open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (directory.get() < 0) fail("can't open the folder", folder);
  if (flock(directory.get(), LOCK_EX) != 0) fail("can't lock the folder", folder);

  struct stat before {};
  const bool exists = stat(file.c_str(), &before) == 0;
  if (!exists && errno != ENOENT) fail("can't look at", file);
  ordered_json document = {{"tokens", ordered_json::array()}};
  if (exists) {
    const std::string text = reader::read_access_file(file);
    reader::or_usage_error(file, reader::read_tokens(text));
    document = ordered_json::parse(text);
  }
  document["tokens"].push_back(entry);
  const std::string text = document.dump(2) + "\n";
  reader::or_usage_error(file, reader::read_tokens(text));  // a name that is there already, above all

  std::string temporary = file + ".XXXXXX";
  const Descriptor out(mkostemp(temporary.data(), O_CLOEXEC));  // nobody else may read it
  if (out.get() < 0) fail("can't make a file beside", file);
  // After the rename there is nothing of this name any more.
  const std::unique_ptr<std::string, void (*)(std::string*)> cleanup(&temporary,
                                                                     [](std::string* name) { unlink(name->c_str()); });
  if (exists &&
      (fchown(out.get(), before.st_uid, before.st_gid) != 0 || fchmod(out.get(), before.st_mode & 07777) != 0))
    fail("can't give the new file the owner and mode of", file);
  for (std::size_t at = 0; at < text.size();) {
    const ssize_t written = write(out.get(), text.data() + at, text.size() - at);
    if (written < 0 && errno != EINTR) fail("can't write", temporary);
    if (written > 0) at += static_cast<std::size_t>(written);
  }
  if (fsync(out.get()) != 0) fail("can't write", temporary);
  if (rename(temporary.c_str(), file.c_str()) != 0) fail("can't replace", file);
  if (fsync(directory.get()) != 0) fail("can't write the folder", folder);
}

int make(const NewOptions& options) {
  const std::string token = new_token();
  const ordered_json entry = entry_of(options, token);
  if (!options.file.empty()) {
    add_to_file(options.file, entry);
    std::fprintf(stderr, "Added to %s. The token, which is shown this once only:\n", options.file.c_str());
    std::printf("%s\n", token.c_str());
  } else {
    std::fprintf(stderr, "The token, which is shown this once only, and its entry for \"tokens\" in the file:\n");
    std::printf("%s\n%s\n", token.c_str(), entry.dump().c_str());
  }
  return exit_code::ok;
}

int check(const std::string& path) {
  const auto read = reader::read_tokens(reader::read_access_file(path));
  if (const auto* mistakes = std::get_if<reader::Mistakes>(&read)) {
    for (const DefinitionMistake& mistake : *mistakes)
      std::printf("%s: %s\n", path.c_str(), to_string(mistake).c_str());
    return exit_code::found;
  }
  const std::int64_t now = reader::unix_seconds(std::chrono::system_clock::now());
  std::size_t expired = 0, disabled = 0;
  const auto& tokens = std::get<std::vector<reader::TokenEntry>>(read);
  for (const reader::TokenEntry& token : tokens) {
    if (token.disabled) {
      ++disabled;
    } else if (token.expires && *token.expires <= now) {
      ++expired;
    }
  }
  std::printf("%s: ok: %zu token%s, %zu expired, %zu disabled\n", path.c_str(), tokens.size(),
              tokens.size() == 1 ? "" : "s", expired, disabled);
  return exit_code::ok;
}

}  // namespace

void add_tokens_command(CLI::App& app, int& code) {
  CLI::App* tokens =
      app.add_subcommand("tokens", "Make API tokens for the reader, check the file that holds their hashes");
  tokens->require_subcommand(1);
  tokens->footer(
      "Example:\n  daybook tokens new --name wall-display --scope views:read --scope rows:all --file tokens.json");

  auto options = std::make_shared<NewOptions>();
  CLI::App* make_new = tokens->add_subcommand("new", "Make a token, print it once, and print or add its entry");
  make_new->add_option("--name", options->name, "Who it is for; unique in the file, shown in logs")->required();
  make_new->add_option("--scope", options->scopes, "views:read, views:read:VIEW, rows:all or admin; may be repeated")
      ->required();
  make_new->add_option("--claim", options->claims,
                       "NAME=VALUE: limits rows where a view says so; may be repeated, also with the same name");
  make_new->add_option("--expires", options->expires, "A date-time such as 2027-01-31T18:00:00Z, or a date");
  make_new->add_option("--file", options->file, "Add the entry to this file (made when it is not there)");
  make_new->footer(
      "Standard output has the token, and without --file the entry on a second line.\n"
      "Example:\n  daybook tokens new --name ward-3 --scope views:read:dashboard_daily_summary \\\n"
      "    --claim facility_id=6e0f7f5e-5d0a-4c58-9d7c-0c9d5e1b2a34 --expires 2027-12-31 --file tokens.json");
  make_new->callback([options, &code] { code = make(*options); });

  auto file = std::make_shared<std::string>();
  CLI::App* check_file = tokens->add_subcommand("check", "Name every mistake in a file of tokens");
  check_file->add_option("FILE", *file, "The file of tokens")->required();
  check_file->footer("Example:\n  daybook tokens check tokens.json\nExit code 1 when there are mistakes.");
  check_file->callback([file, &code] { code = check(*file); });
}

}  // namespace daybook
