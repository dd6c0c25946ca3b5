// Users of a reader: each asks for a row at its own pace, on its own connection, in an open loop: a request is due at a
// fixed time whether or not the one before was answered, and its latency counts from that time, so that a stall of the
// server is not hidden by a client that waits for it. One JSON object at the end.
//
//   load_client PORT PATHS-FILE --users N --rate R --seconds S [--ramp USERS-A-SECOND]
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <deque>
#include <fstream>
#include <nlohmann/json.hpp>
#include <queue>
#include <random>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;
using Time = Clock::time_point;

struct Options {
  std::uint16_t port = 0;
  std::string paths;
  int users = 100;
  double rate = 1000;
  double seconds = 10;
  double ramp = 0;  // 0: all at once
};

struct User {
  int socket = -1;
  std::deque<Time> due;  // of requests that are not answered; the first one is under way
  bool under_way = false;
  std::string received;
};

struct Figures {
  std::uint64_t answered = 0, errors = 0, unanswered = 0;
  std::vector<std::uint32_t> microseconds;
};

Options read_options(int count, char** arguments) {
  Options options;
  if (count < 3)
    throw std::runtime_error("usage: load_client PORT PATHS-FILE [--users N] [--rate R] [--seconds S] [--ramp U]");
  options.port = static_cast<std::uint16_t>(std::stoi(arguments[1]));
  options.paths = arguments[2];
  for (int i = 3; i + 1 < count; i += 2) {
    const std::string_view name = arguments[i];
    const double value = std::stod(arguments[i + 1]);
    if (name == "--users") {
      options.users = static_cast<int>(value);
    } else if (name == "--rate") {
      options.rate = value;
    } else if (name == "--seconds") {
      options.seconds = value;
    } else if (name == "--ramp") {
      options.ramp = value;
    } else {
      throw std::runtime_error("unknown option " + std::string(name));
    }
  }
  return options;
}

int connect_to(std::uint16_t port) {
  const int made = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const int one = 1;
  setsockopt(made, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  if (made < 0 || connect(made, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
    if (made >= 0) close(made);
    return -1;
  }
  return made;
}

// The size of the first answer in `text` when it is there whole; 0: more has to come. Its status goes to `status`.
std::size_t answer_size(std::string_view text, int& status) {
  const std::size_t end = text.find("\r\n\r\n");
  if (end == std::string_view::npos || text.size() < 12) return 0;
  std::from_chars(text.data() + 9, text.data() + 12, status);
  std::size_t body = 0;
  const std::size_t length = text.substr(0, end).find("Content-Length: ");
  if (length != std::string_view::npos) std::from_chars(text.data() + length + 16, text.data() + end, body);
  return text.size() >= end + 4 + body ? end + 4 + body : 0;
}

class Load {
 public:
  explicit Load(const Options& options) : options_(options), epoll_(epoll_create1(EPOLL_CLOEXEC)) {
    std::ifstream file(options.paths);
    for (std::string line; std::getline(file, line);) {
      requests_.push_back("GET " + line + " HTTP/1.1\r\nHost: localhost\r\n\r\n");
    }
    if (requests_.empty()) throw std::runtime_error(options.paths + ": no paths");
  }

  Figures run() {
    const Time begin = Clock::now();
    const Time end =
        begin + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(options_.seconds));
    const Time give_up = end + std::chrono::seconds(5);
    users_.resize(static_cast<std::size_t>(options_.users));
    const auto interval =
        std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(options_.users / options_.rate));
    std::uniform_real_distribution<double> phase(0, 1);
    for (std::size_t i = 0; i < users_.size(); ++i) {
      const auto joins =
          std::chrono::duration<double>(options_.ramp > 0 ? static_cast<double>(i) / options_.ramp : 0) +
          std::chrono::duration<double>(phase(random_) * std::chrono::duration<double>(interval).count());
      next_.emplace(begin + std::chrono::duration_cast<Clock::duration>(joins), i);
    }
    while (Clock::now() < give_up && (!next_.empty() || waiting_ > 0)) {
      while (!next_.empty() && next_.top().first <= Clock::now()) {
        const auto [due, user] = next_.top();
        next_.pop();
        if (due >= end) continue;
        next_.emplace(due + interval, user);
        ++waiting_;
        users_[user].due.push_back(due);
        if (!users_[user].under_way) ask(user);
      }
      receive();
    }
    figures_.unanswered = waiting_;
    return std::move(figures_);
  }

 private:
  void ask(std::size_t number) {
    User& user = users_[number];
    if (user.socket < 0) {
      user.socket = connect_to(options_.port);
      if (user.socket < 0) return fail(number);
      epoll_event event{};
      event.events = EPOLLIN;
      event.data.u64 = number;
      epoll_ctl(epoll_, EPOLL_CTL_ADD, user.socket, &event);
    }
    const std::string& request = requests_[random_() % requests_.size()];
    // A request fits into an empty socket buffer.
    if (send(user.socket, request.data(), request.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(request.size()))
      return fail(number);
    user.under_way = true;
  }

  void fail(std::size_t number) {
    User& user = users_[number];
    if (user.socket >= 0) close(user.socket);
    user.socket = -1;
    user.received.clear();
    user.under_way = false;
    if (user.due.empty()) return;  // an idle connection that the server closed
    ++figures_.errors;
    --waiting_;
    user.due.pop_front();
  }

  void receive() {
    timespec wait{0, 1'000'000};
    if (!next_.empty()) {
      const auto until = std::chrono::duration_cast<std::chrono::nanoseconds>(next_.top().first - Clock::now()).count();
      wait.tv_nsec = std::clamp<long>(until, 0, 1'000'000);
    }
    epoll_event events[256];
    const int count = epoll_pwait2(epoll_, events, 256, &wait, nullptr);
    for (int i = 0; i < count; ++i) take(events[i].data.u64);
  }

  void take(std::size_t number) {
    User& user = users_[number];
    char bytes[16 * 1024];
    const ssize_t size = recv(user.socket, bytes, sizeof bytes, 0);
    if (size <= 0) return fail(number);
    user.received.append(bytes, static_cast<std::size_t>(size));
    int status = 0;
    const std::size_t answer = answer_size(user.received, status);
    if (answer == 0 || user.due.empty()) return;
    user.received.erase(0, answer);
    ++(status == 200 ? figures_.answered : figures_.errors);
    const auto took = std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - user.due.front()).count();
    figures_.microseconds.push_back(static_cast<std::uint32_t>(std::max<long>(took, 0)));
    user.due.pop_front();
    --waiting_;
    user.under_way = false;
    if (!user.due.empty()) ask(number);
  }

  const Options options_;
  const int epoll_;
  std::vector<std::string> requests_;
  std::vector<User> users_;
  using Next = std::pair<Time, std::size_t>;
  std::priority_queue<Next, std::vector<Next>, std::greater<>> next_;
  std::size_t waiting_ = 0;
  std::mt19937_64 random_{1};
  Figures figures_;
};

}  // namespace

int main(int count, char** arguments) try {
  const Options options = read_options(count, arguments);
  rlimit files{};
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
  const Time begin = Clock::now();
  Figures figures = Load(options).run();
  const double seconds = std::chrono::duration<double>(Clock::now() - begin).count();
  auto& times = figures.microseconds;
  std::sort(times.begin(), times.end());
  const auto at = [&times](double share) {
    if (times.empty()) return 0.0;
    return times[std::min(times.size() - 1, static_cast<std::size_t>(share * static_cast<double>(times.size())))] /
           1000.0;
  };
  double sum = 0;
  for (const std::uint32_t time : times) sum += time;
  const double asked = static_cast<double>(figures.answered + figures.errors + figures.unanswered);
  std::puts(nlohmann::ordered_json(
                {{"users", options.users},
                 {"target_per_s", options.rate},
                 {"answered", figures.answered},
                 {"per_s", static_cast<double>(figures.answered) / std::min(seconds, options.seconds)},
                 {"average_ms", times.empty() ? 0 : sum / static_cast<double>(times.size()) / 1000},
                 {"p50_ms", at(0.5)},
                 {"p95_ms", at(0.95)},
                 {"p99_ms", at(0.99)},
                 {"max_ms", times.empty() ? 0 : times.back() / 1000.0},
                 {"error_share", asked > 0 ? static_cast<double>(figures.errors + figures.unanswered) / asked : 1}})
                .dump()
                .c_str());
  return 0;
} catch (const std::exception& error) {
  std::fprintf(stderr, "load_client: %s\n", error.what());
  return 2;
}
