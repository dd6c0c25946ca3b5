// Who waits for changes of one view: streams of events, and requests that wait for positions. The feed's thread tells
// each loop that has such, once a commit; all else happens on the loops' own threads.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "reader/api/events.h"
#include "reader/api/query.h"

namespace daybook::reader {

class Hub : public std::enable_shared_from_this<Hub> {
 public:
  // `rows` outlives the hub's use: until stop().
  static std::shared_ptr<Hub> make(Rows& rows);

  // On the loop's thread. Writes what happened behind `last_event_id`, or a reset, then each change that passes.
  // `may_stay` is asked now and then, there; the stream ends when it says no. Empty: as long as the client wants.
  void subscribe(http::Loop& loop, std::shared_ptr<http::Stream> stream, KeyFilter filter,
                 std::string_view last_event_id, std::function<bool()> may_stay = {});
  // On the loop's thread: calls `done` there, with whether all is applied, once it is, the time is over, or this stops.
  void await(http::Loop& loop, const Await& await, std::function<void(bool)> done);

  // Streams end, and none begins any more; who waits for positions goes on waiting.
  void end_streams();
  // Tells each loop to answer those who wait; from then on nothing is posted to one. To be called before the loops go.
  void stop();
  bool has_stopped() const { return stopped_; }

  std::size_t streams() const { return streams_; }

 private:
  struct Subscriber {
    bool has(const ChangeSet& set) const { return place.generation == set.generation && place.seq >= set.seq; }

    std::shared_ptr<http::Stream> stream;
    KeyFilter filter;
    std::function<bool()> may_stay;
    unsigned since = 0;      // of the loop's ticks
    FeedPlace place;         // what was written when it came
    bool takes_all = false;  // no filter
    bool is_behind = false;  // commits were left out for want of room; it gets a reset before anything else
  };
  using SubscriberPtr = std::shared_ptr<Subscriber>;
  struct Waiter {
    Positions next;  // what has to be applied
    std::function<void(bool)> done;
  };
  struct LoopState {
    explicit LoopState(http::Loop& own) : loop(own) {}
    http::Loop& loop;
    std::atomic<bool> has_streams{false};
    std::atomic<bool> has_waiters{false};
    // The loop's thread only:
    std::unordered_map<std::string, std::vector<SubscriberPtr>> by_first;  // those who want some values of column 1
    std::vector<SubscriberPtr> others;
    std::vector<SubscriberPtr> all;
    std::vector<SubscriberPtr> behind;
    std::vector<std::shared_ptr<Waiter>> waiters;
    std::string delivered;  // the id of the last commit that was written
    bool is_ticking = false;
    bool was_lost = false;
    unsigned ticks = 0;
  };
  using LoopStatePtr = std::shared_ptr<LoopState>;

  explicit Hub(Rows& rows) : rows_(rows) {}
  void on_change(const ChangeSetPtr& set);
  LoopStatePtr state_of(http::Loop& loop);
  void catch_up(Subscriber& subscriber, std::string_view last_event_id);
  std::optional<std::string> missed_by(Subscriber& subscriber, const FeedPlace& last) const;
  static void give(LoopState& state, const SubscriberPtr& subscriber, const std::shared_ptr<const std::string>& text);
  static void end_gaps(LoopState& state);
  void write_set(LoopState& state, const SubscriberPtr& subscriber, const EventTexts& texts) const;
  void deliver(LoopState& state, const EventTexts& texts);
  void look_at_waiters(LoopState& state);
  bool has_all(const Positions& next) const;
  void tick(const LoopStatePtr& state);
  static void end_refused(LoopState& state);
  void forget_ended(LoopState& state);

  Rows& rows_;
  std::atomic<std::size_t> streams_{0};
  std::atomic<bool> takes_streams_{true};
  std::atomic<bool> stopped_{false};  // written under the mutex
  std::mutex mutex_;                  // of what follows
  std::map<unsigned, LoopStatePtr> states_;
  std::optional<FeedPlace> place_;  // after the last commit that was told
};

}  // namespace daybook::reader
