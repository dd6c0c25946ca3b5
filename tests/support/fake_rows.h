// Rows in a map, and a loop and a connection without a network: what the reader's API is tested on. The loop's tasks
// and its clock move only when a test says so.
#pragma once

#include <algorithm>
#include <deque>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "core/definition_reader.h"
#include "http/exchange.h"
#include "reader/rows.h"

namespace daybook::test {

class FakeLoop final : public http::Loop {
 public:
  explicit FakeLoop(unsigned index = 0) : index_(index) {}
  unsigned index() const override { return index_; }
  void post(std::function<void()> task) override { tasks_.push_back(std::move(task)); }
  void run_after(std::chrono::milliseconds delay, std::function<void()> task) override {
    timers_.emplace(now_ + delay, std::move(task));
  }

  void run() {
    while (!tasks_.empty()) {
      const std::function<void()> task = std::move(tasks_.front());
      tasks_.pop_front();
      task();
    }
  }
  void pass(std::chrono::milliseconds time) {
    const std::chrono::milliseconds end = now_ + time;
    for (run(); !timers_.empty() && timers_.begin()->first <= end; run()) {
      now_ = timers_.begin()->first;
      const std::function<void()> task = std::move(timers_.begin()->second);
      timers_.erase(timers_.begin());
      task();
    }
    now_ = end;
  }
  bool has_tasks() const { return !tasks_.empty(); }

 private:
  const unsigned index_;
  std::deque<std::function<void()>> tasks_;
  std::multimap<std::chrono::milliseconds, std::function<void()>> timers_;
  std::chrono::milliseconds now_{0};
};

class FakeStream final : public http::Stream {
 public:
  bool write(std::shared_ptr<const std::string> bytes) override {
    if (ended_) return false;
    text += *bytes;
    unread += bytes->size();
    pieces.push_back(std::move(bytes));
    return true;
  }
  std::size_t queued() const override { return unread; }
  bool has_ended() const override { return ended_; }
  void end() override { ended_ = true; }

  std::string text;
  std::vector<std::shared_ptr<const std::string>> pieces;
  std::size_t unread = 0;  // until a test says that the client took it

 private:
  bool ended_ = false;
};

// The answer to one request.
class FakeConnection final : public http::Exchange::Connection {
 public:
  explicit FakeConnection(http::Loop& loop) : loop_(loop) {}
  void answer(std::uint64_t, http::BlockPtr block, std::string headers) override {
    ++answers;
    this->block = std::move(block);
    this->headers = std::move(headers);
  }
  std::shared_ptr<http::Stream> stream(std::uint64_t, std::string head) override {
    stream_head = std::move(head);
    opened = std::make_shared<FakeStream>();
    return opened;
  }
  void abandon(std::uint64_t) override { abandoned = true; }
  http::Loop& loop() override { return loop_; }

  int answers = 0;
  bool abandoned = false;
  http::BlockPtr block;
  std::string headers;
  std::string stream_head;
  std::shared_ptr<FakeStream> opened;

 private:
  http::Loop& loop_;
};

class FakeRequest final : public http::Incoming {
 public:
  explicit FakeRequest(std::string target, std::map<std::string, std::string> headers = {},
                       http::Method own = http::Method::get)
      : text_(std::move(target)), headers_(std::move(headers)) {
    method = own;
    this->target = text_;
    const std::size_t mark = std::min(text_.find('?'), text_.size());
    path = std::string_view(text_).substr(0, mark);
    query = std::string_view(text_).substr(std::min(mark + 1, text_.size()));
    peer = "127.0.0.1";
  }
  FakeRequest(const FakeRequest&) = delete;
  std::string_view header(std::string_view name) const override {
    const auto found = headers_.find(std::string(name));
    return found == headers_.end() ? std::string_view() : found->second;
  }

 private:
  const std::string text_;
  const std::map<std::string, std::string> headers_;
};

// One view. Rows that `cold` names have to be loaded first; what is loaded or listed is told when the test says so.
class FakeRows final : public reader::Rows {
 public:
  explicit FakeRows(ViewDefinition view) : view_(std::move(view)) {}

  const ViewDefinition& definition() const override { return view_; }
  int generation() const override { return 3; }
  reader::HotRowPtr find_hot(std::string_view key) override {
    const auto found = rows.find(std::string(key));
    return found == rows.end() || cold.contains(found->first) ? nullptr : found->second;
  }
  void load(std::string key, std::function<void(reader::Result<reader::HotRowPtr>, reader::Cost)> done) override {
    ++loads;
    pending.push_back([this, key, done = std::move(done)] {
      if (unavailable) return done(*unavailable, cost);
      const auto found = rows.find(key);
      done(found == rows.end() ? std::make_shared<reader::HotRow>() : found->second, cost);
    });
  }
  void list(reader::ListQuery query,
            std::function<void(reader::Result<reader::ListPage>, reader::Cost)> done) override {
    asked.push_back(std::move(query));
    pending.push_back([this, done = std::move(done)] {
      if (unavailable) return done(*unavailable, cost);
      done(page, cost);
    });
  }
  // What the database's threads would do.
  void answer_pending() {
    for (const auto& task : std::exchange(pending, {})) task();
  }

  reader::Freshness freshness() const override { return fresh; }
  bool has_applied(const TopicPartition& partition, std::int64_t next_offset) const override {
    const auto found = applied.find(partition);
    return found != applied.end() && found->second >= next_offset;
  }
  bool knows(const TopicPartition& partition) const override { return applied.contains(partition); }
  void on_change(std::function<void(const reader::ChangeSetPtr&)> listener) override { listeners.push_back(listener); }
  std::optional<std::vector<reader::ChangeSetPtr>> changes_since(int generation, std::int64_t seq,
                                                                 std::string_view nonce) const override {
    for (std::size_t i = 0; i < history.size(); ++i) {
      if (history[i]->generation == generation && history[i]->seq == seq && history[i]->nonce == nonce)
        return std::vector(history.begin() + static_cast<std::ptrdiff_t>(i) + 1, history.end());
    }
    return std::nullopt;
  }
  void commit(reader::ChangeSet set) {
    set.generation = set.generation == 0 ? generation() : set.generation;
    history.push_back(std::make_shared<reader::ChangeSet>(std::move(set)));
    for (const auto& listener : listeners) listener(history.back());
  }

  std::map<std::string, reader::HotRowPtr> rows;
  std::set<std::string> cold;
  int loads = 0;
  std::vector<std::function<void()>> pending;
  std::optional<reader::Unavailable> unavailable;
  std::vector<reader::ListQuery> asked;
  reader::ListPage page;
  reader::Cost cost{std::chrono::milliseconds(40), true};
  reader::Freshness fresh;
  Positions applied;
  std::vector<reader::ChangeSetPtr> history;
  std::vector<std::function<void(const reader::ChangeSetPtr&)>> listeners;

 private:
  const ViewDefinition view_;
};

}  // namespace daybook::test
