#include "reader/api/hub.h"

#include <algorithm>

#include "http/limits.h"
#include "reader/api/key.h"

namespace daybook::reader {
namespace {

constexpr std::chrono::milliseconds tick_time{1000};
constexpr unsigned ticks_per_keep_alive = 15;
// For so long at most a client goes on to get changes with a token that is not good any more.
constexpr unsigned ticks_per_check = 5;
// A client has no more than this to take: the server ends streams whose queue is full, and the client would come back
// for the same again.
constexpr std::size_t queued_max = http::ServerLimits().stream_bytes / 2;
// So many rows of what it missed are looked through for a client that comes back.
constexpr std::size_t missed_rows_max = 20'000;
constexpr const char* gone = "{\"reason\":\"gone\"}";

std::shared_ptr<const std::string> shared(std::string text) {
  return std::make_shared<const std::string>(std::move(text));
}

std::string feed_event(bool is_lost) {
  return event_text("feed", "", is_lost ? "{\"feed\":\"lost\"}" : "{\"feed\":\"following\"}");
}

}  // namespace

std::shared_ptr<Hub> Hub::make(Rows& rows) {
  std::shared_ptr<Hub> hub(new Hub(rows));
  rows.on_change([weak = std::weak_ptr<Hub>(hub)](const ChangeSetPtr& set) {
    if (const std::shared_ptr<Hub> own = weak.lock()) own->on_change(set);
  });
  return hub;
}

void Hub::end_streams() {
  const std::lock_guard lock(mutex_);
  takes_streams_ = false;
  for (const auto& [index, state] : states_) {
    state->loop.post([hub = shared_from_this(), own = state] {
      for (const SubscriberPtr& subscriber : own->all) subscriber->stream->end();
      hub->forget_ended(*own);
    });
  }
}

void Hub::stop() {
  end_streams();
  const std::lock_guard lock(mutex_);
  stopped_ = true;
  for (const auto& [index, state] : states_)
    state->loop.post([hub = shared_from_this(), own = state] { hub->look_at_waiters(*own); });
  states_.clear();
}

// Posts while it holds the mutex: stop(), which leaves no states, is then the last word.
void Hub::on_change(const ChangeSetPtr& set) {
  std::optional<FeedPlace> before;
  bool has_streams = false;
  {
    const std::lock_guard lock(mutex_);
    before = std::exchange(place_, place_after(*set));
    for (const auto& [index, state] : states_) has_streams = has_streams || state->has_streams;
  }
  // A stream that begins now finds this commit among those of memory: it is there before listeners are called.
  EventTexts texts{set, {}, {}};
  if (has_streams) texts = event_texts(set, before);
  const std::lock_guard lock(mutex_);
  for (const auto& [index, state] : states_) {
    const bool tell_streams = has_streams && state->has_streams;
    if (!tell_streams && !state->has_waiters) continue;
    state->loop.post([hub = shared_from_this(), own = state, texts, tell_streams] {
      if (tell_streams) hub->deliver(*own, texts);
      hub->look_at_waiters(*own);
    });
  }
}

Hub::LoopStatePtr Hub::state_of(http::Loop& loop) {
  const std::lock_guard lock(mutex_);
  if (stopped_) return nullptr;
  LoopStatePtr& state = states_[loop.index()];
  if (!state) state = std::make_shared<LoopState>(loop);
  return state;
}

void Hub::subscribe(http::Loop& loop, std::shared_ptr<http::Stream> stream, KeyFilter filter,
                    std::string_view last_event_id, std::function<bool()> may_stay) {
  const LoopStatePtr state = state_of(loop);
  if (!state || !takes_streams_) return stream->end();
  auto subscriber = std::make_shared<Subscriber>();
  subscriber->stream = std::move(stream);
  subscriber->takes_all = !filter.sees_nothing && std::all_of(filter.allowed.begin(), filter.allowed.end(),
                                                              [](const auto& values) { return values.empty(); });
  subscriber->filter = std::move(filter);
  subscriber->may_stay = std::move(may_stay);
  subscriber->since = state->ticks;
  state->has_streams = true;  // from now on commits are told, and wait behind this call
  catch_up(*subscriber, last_event_id);
  ++streams_;
  if (state->all.empty() && !subscriber->place.nonce.empty()) state->delivered = to_string(subscriber->place);
  state->all.push_back(subscriber);
  if (subscriber->filter.allowed.empty() || subscriber->filter.allowed[0].empty()) {
    state->others.push_back(subscriber);
  } else {
    for (const std::string& value : subscriber->filter.allowed[0]) state->by_first[value].push_back(subscriber);
  }
  const bool is_lost = rows_.freshness().feed_is_lost;
  if (is_lost) subscriber->stream->write(shared(feed_event(true)));
  if (std::exchange(state->is_ticking, true)) return;
  state->was_lost = is_lost;
  loop.run_after(tick_time, [hub = shared_from_this(), state] { hub->tick(state); });
}

void Hub::catch_up(Subscriber& subscriber, std::string_view last_event_id) {
  const std::string begin = "retry: 1000\n\n";
  if (const std::optional<FeedPlace> last = read_place(last_event_id)) {
    if (const std::optional<std::string> missed = missed_by(subscriber, *last)) {
      subscriber.stream->write(shared(begin + *missed));
      return;
    }
  }
  std::string id;
  {
    const std::lock_guard lock(mutex_);
    if (place_) {
      subscriber.place = *place_;
      id = to_string(*place_);
    } else {
      subscriber.place = {rows_.generation(), rows_.freshness().seq, ""};
    }
  }
  subscriber.stream->write(
      shared(begin + event_text("reset", id, last_event_id.empty() ? "{\"reason\":\"start\"}" : gone)));
}

// The events behind that place, which the subscriber's is moved over; nothing: memory does not have them, or they are
// too many.
std::optional<std::string> Hub::missed_by(Subscriber& subscriber, const FeedPlace& last) const {
  const std::optional<std::vector<ChangeSetPtr>> missed = rows_.changes_since(last.generation, last.seq, last.nonce);
  if (!missed) return std::nullopt;
  std::string text;
  FeedPlace place = last;
  std::size_t rows = 0;
  for (const ChangeSetPtr& set : *missed) {
    rows += set->rows.size();
    if (rows > missed_rows_max) return std::nullopt;
    if (set->reset) text += reset_event(*set);
    for (std::size_t i = 0; !set->reset && i < set->rows.size(); ++i) {
      if (!subscriber.takes_all && !subscriber.filter.passes(rows_.definition(), set->rows[i].key)) continue;
      text += row_event(*set, i, place);
      if (text.size() > queued_max) return std::nullopt;
    }
    place = place_after(*set);
  }
  subscriber.place = place;
  return text;
}

// What there is no room for is left out; end_gaps() says so once there is.
void Hub::give(LoopState& state, const SubscriberPtr& subscriber, const std::shared_ptr<const std::string>& text) {
  if (subscriber->is_behind || text->empty()) return;
  if (subscriber->stream->queued() + text->size() <= queued_max) {
    subscriber->stream->write(text);
    return;
  }
  subscriber->is_behind = true;
  state.behind.push_back(subscriber);
}

void Hub::end_gaps(LoopState& state) {
  if (state.behind.empty()) return;
  const auto text = shared(event_text("reset", state.delivered, gone));
  std::erase_if(state.behind, [&](const SubscriberPtr& subscriber) {
    if (subscriber->stream->queued() > queued_max / 2) return false;
    subscriber->stream->write(text);
    subscriber->is_behind = false;
    return true;
  });
}

void Hub::write_set(LoopState& state, const SubscriberPtr& subscriber, const EventTexts& texts) const {
  if (subscriber->takes_all) return give(state, subscriber, texts.all);
  for (std::size_t i = 0; i < texts.rows.size(); ++i) {
    if (subscriber->filter.passes(rows_.definition(), texts.set->rows[i].key)) give(state, subscriber, texts.rows[i]);
  }
}

void Hub::deliver(LoopState& state, const EventTexts& texts) {
  const ChangeSet& set = *texts.set;
  const FeedPlace after = place_after(set);
  state.delivered = to_string(after);
  if (set.reset) {
    for (const SubscriberPtr& subscriber : state.all) {
      if (subscriber->place == after) continue;
      give(state, subscriber, texts.all);
      subscriber->place = after;  // numbers may begin anew behind it
    }
    return end_gaps(state);
  }
  for (const SubscriberPtr& subscriber : state.others) {
    if (!subscriber->has(set)) write_set(state, subscriber, texts);
  }
  const ViewDefinition& view = rows_.definition();
  for (std::size_t i = 0; i < set.rows.size() && !state.by_first.empty(); ++i) {
    KeyParts parts;
    if (!find_parts(view.key, set.rows[i].key, parts)) continue;
    const auto found = state.by_first.find(std::string(part(set.rows[i].key, parts, 0)));
    if (found == state.by_first.end()) continue;
    for (const SubscriberPtr& subscriber : found->second) {
      if (!subscriber->has(set) && subscriber->filter.passes(view, set.rows[i].key))
        give(state, subscriber, texts.rows[i]);
    }
  }
  end_gaps(state);
}

bool Hub::has_all(const Positions& next) const {
  return std::all_of(next.begin(), next.end(),
                     [&](const auto& position) { return rows_.has_applied(position.first, position.second); });
}

void Hub::await(http::Loop& loop, const Await& await, std::function<void(bool)> done) {
  auto waiter = std::make_shared<Waiter>();
  waiter->next = await.positions;
  if (has_all(waiter->next)) return done(true);
  const LoopStatePtr state = await.wait.count() == 0 ? nullptr : state_of(loop);
  if (!state) return done(false);
  waiter->done = std::move(done);
  state->waiters.push_back(waiter);
  state->has_waiters = true;
  loop.run_after(await.wait, [hub = shared_from_this(), state, waiter] {
    if (!waiter->done) return;
    std::erase(state->waiters, waiter);
    state->has_waiters = !state->waiters.empty();
    std::exchange(waiter->done, nullptr)(hub->has_all(waiter->next));
  });
  look_at_waiters(*state);  // what was applied since it was looked at may not be told any more
}

void Hub::look_at_waiters(LoopState& state) {
  std::vector<std::shared_ptr<Waiter>> ready;
  std::erase_if(state.waiters, [&](const std::shared_ptr<Waiter>& waiter) {
    if (!stopped_ && !has_all(waiter->next)) return false;
    ready.push_back(waiter);
    return true;
  });
  state.has_waiters = !state.waiters.empty();
  for (const std::shared_ptr<Waiter>& waiter : ready) std::exchange(waiter->done, nullptr)(has_all(waiter->next));
}

// Each client is asked for at ticks of its own, so that a thousand of them cost a little at each tick.
void Hub::end_refused(LoopState& state) {
  for (const SubscriberPtr& subscriber : state.all) {
    if (!subscriber->may_stay || (state.ticks - subscriber->since) % ticks_per_check != 0) continue;
    if (!subscriber->may_stay()) subscriber->stream->end();
  }
}

void Hub::tick(const LoopStatePtr& state) {
  end_refused(*state);
  forget_ended(*state);
  end_gaps(*state);
  if (state->all.empty()) {
    state->is_ticking = false;
    return;
  }
  if (const bool is_lost = rows_.freshness().feed_is_lost; is_lost != std::exchange(state->was_lost, is_lost)) {
    const auto text = shared(feed_event(is_lost));
    for (const SubscriberPtr& subscriber : state->all) subscriber->stream->write(text);
  }
  if (++state->ticks % ticks_per_keep_alive == 0) {
    // With the place, so that a stream without events knows where to go on, too.
    const auto text = shared(": keep-alive\n" + event_text("", state->delivered, ""));
    for (const SubscriberPtr& subscriber : state->all) give(*state, subscriber, text);
  }
  {
    const std::lock_guard lock(mutex_);
    if (stopped_) return;
  }
  state->loop.run_after(tick_time, [hub = shared_from_this(), state] { hub->tick(state); });
}

void Hub::forget_ended(LoopState& state) {
  const auto has_ended = [](const SubscriberPtr& subscriber) { return subscriber->stream->has_ended(); };
  const std::size_t ended = std::erase_if(state.all, has_ended);
  if (ended == 0) return;
  streams_ -= ended;
  std::erase_if(state.others, has_ended);
  for (auto entry = state.by_first.begin(); entry != state.by_first.end();) {
    std::erase_if(entry->second, has_ended);
    entry = entry->second.empty() ? state.by_first.erase(entry) : std::next(entry);
  }
  state.has_streams = !state.all.empty();
}

}  // namespace daybook::reader
