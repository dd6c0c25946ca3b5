#include "reader/api/hub.h"

#include <algorithm>

#include "reader/api/key.h"

namespace daybook::reader {
namespace {

constexpr std::chrono::milliseconds tick_time{1000};
constexpr unsigned ticks_per_keep_alive = 15;

std::shared_ptr<const std::string> shared(std::string text) {
  return std::make_shared<const std::string>(std::move(text));
}

}  // namespace

std::shared_ptr<Hub> Hub::make(Rows& rows) {
  std::shared_ptr<Hub> hub(new Hub(rows));
  rows.on_change([weak = std::weak_ptr<Hub>(hub)](const ChangeSetPtr& set) {
    if (const std::shared_ptr<Hub> own = weak.lock()) own->on_change(set);
  });
  return hub;
}

void Hub::stop() {
  const std::lock_guard lock(mutex_);
  stopped_ = true;
  states_.clear();
}

// Posts while it holds the mutex: stop() is then the last word.
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
  if (stopped_) return;
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
                    std::string_view last_event_id) {
  const LoopStatePtr state = state_of(loop);
  if (!state) return stream->end();
  auto subscriber = std::make_shared<Subscriber>();
  subscriber->stream = std::move(stream);
  subscriber->takes_all = !filter.sees_nothing && std::all_of(filter.allowed.begin(), filter.allowed.end(),
                                                              [](const auto& values) { return values.empty(); });
  subscriber->filter = std::move(filter);
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
  if (std::exchange(state->is_ticking, true)) return;
  state->was_lost = rows_.freshness().feed_is_lost;
  loop.run_after(tick_time, [hub = shared_from_this(), state] { hub->tick(state); });
}

void Hub::catch_up(Subscriber& subscriber, std::string_view last_event_id) {
  std::string text = "retry: 1000\n\n";
  const std::optional<FeedPlace> last = read_place(last_event_id);
  std::optional<std::vector<ChangeSetPtr>> missed;
  if (last) missed = rows_.changes_since(last->generation, last->seq, last->nonce);
  if (missed) {
    subscriber.stream->write(shared(std::move(text)));
    subscriber.place = {last->generation, last->seq, last->nonce, 0};
    std::size_t from = last->index;
    for (const ChangeSetPtr& set : *missed) {
      write_set(subscriber, event_texts(set, subscriber.place), std::exchange(from, 0));
      subscriber.place = place_after(*set);
    }
    return;
  }
  std::string id;
  {
    const std::lock_guard lock(mutex_);
    if (place_) {
      subscriber.place = *place_;
      id = to_string(*place_);
    } else {
      subscriber.place = {rows_.generation(), rows_.freshness().seq, "", 0};
    }
  }
  text += event_text("reset", id, last_event_id.empty() ? "{\"reason\":\"start\"}" : "{\"reason\":\"gone\"}");
  subscriber.stream->write(shared(std::move(text)));
}

void Hub::write_set(Subscriber& subscriber, const EventTexts& texts, std::size_t from) const {
  if (texts.set->reset || (subscriber.takes_all && from == 0)) {
    if (!texts.all->empty()) subscriber.stream->write(texts.all);
    return;
  }
  for (std::size_t i = from; i < texts.rows.size(); ++i) {
    if (subscriber.filter.passes(rows_.definition(), texts.set->rows[i].key)) subscriber.stream->write(texts.rows[i]);
  }
}

void Hub::deliver(LoopState& state, const EventTexts& texts) {
  const ChangeSet& set = *texts.set;
  const FeedPlace after = place_after(set);
  state.delivered = to_string(after);
  if (set.reset) {
    for (const SubscriberPtr& subscriber : state.all) {
      if (subscriber->place == after) continue;
      subscriber->stream->write(texts.all);
      subscriber->place = after;  // numbers may begin anew behind it
    }
    return;
  }
  const auto has_it = [&](const Subscriber& subscriber) {
    return subscriber.place.generation == set.generation && subscriber.place.seq >= set.seq;
  };
  for (const SubscriberPtr& subscriber : state.others) {
    if (!has_it(*subscriber)) write_set(*subscriber, texts, 0);
  }
  if (state.by_first.empty()) return;
  const ViewDefinition& view = rows_.definition();
  for (std::size_t i = 0; i < set.rows.size(); ++i) {
    KeyParts parts;
    if (!find_parts(view.key, set.rows[i].key, parts)) continue;
    const auto found = state.by_first.find(std::string(part(set.rows[i].key, parts, 0)));
    if (found == state.by_first.end()) continue;
    for (const SubscriberPtr& subscriber : found->second) {
      if (!has_it(*subscriber) && subscriber->filter.passes(view, set.rows[i].key))
        subscriber->stream->write(texts.rows[i]);
    }
  }
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
  loop.run_after(await.wait, [state, waiter] {
    if (!waiter->done) return;
    std::erase(state->waiters, waiter);
    state->has_waiters = !state->waiters.empty();
    std::exchange(waiter->done, nullptr)(false);
  });
  look_at_waiters(*state);  // what was applied since it was looked at may not be told any more
}

void Hub::look_at_waiters(LoopState& state) {
  std::vector<std::shared_ptr<Waiter>> ready;
  std::erase_if(state.waiters, [&](const std::shared_ptr<Waiter>& waiter) {
    if (!has_all(waiter->next)) return false;
    ready.push_back(waiter);
    return true;
  });
  state.has_waiters = !state.waiters.empty();
  for (const std::shared_ptr<Waiter>& waiter : ready) std::exchange(waiter->done, nullptr)(true);
}

void Hub::tick(const LoopStatePtr& state) {
  forget_ended(*state);
  if (state->all.empty()) {
    state->is_ticking = false;
    return;
  }
  if (const bool is_lost = rows_.freshness().feed_is_lost; is_lost != std::exchange(state->was_lost, is_lost)) {
    const auto text = shared(event_text("feed", "", is_lost ? "{\"feed\":\"lost\"}" : "{\"feed\":\"following\"}"));
    for (const SubscriberPtr& subscriber : state->all) subscriber->stream->write(text);
  }
  if (++state->ticks % ticks_per_keep_alive == 0) {
    // With the place, so that a stream without events knows where to go on, too.
    const auto text = shared(": keep-alive\n" + event_text("", state->delivered, ""));
    for (const SubscriberPtr& subscriber : state->all) subscriber->stream->write(text);
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
