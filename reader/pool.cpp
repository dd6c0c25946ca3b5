#include "reader/pool.h"

#include "core/error.h"

namespace daybook::reader {
namespace {

// A session that was used within this time is not asked whether it still works: its next transaction tells.
constexpr auto trusted_for = std::chrono::seconds(1);

}  // namespace

Pool::Pool(std::string uri, PoolSettings settings) : uri_(std::move(uri)), settings_(settings) {}

void Pool::read(const std::function<void(pqxx::transaction_base&)>& work) { read(settings_.statement_max, work); }

void Pool::read(std::chrono::milliseconds statement_max, const std::function<void(pqxx::transaction_base&)>& work) {
  try {
    attempt(statement_max, work);
  } catch (const pqxx::broken_connection&) {
    try {
      attempt(statement_max, work);
    } catch (...) {
      postgres::rethrow("database: loading");
    }
  } catch (const PoolTimeout&) {
    throw;
  } catch (...) {
    postgres::rethrow("database: loading");
  }
}

void Pool::attempt(std::chrono::milliseconds statement_max, const std::function<void(pqxx::transaction_base&)>& work) {
  SessionPtr session = take();
  try {
    pqxx::read_transaction transaction(*session->connection);
    // For this transaction only: behind PgBouncer the session belongs to others, too.
    transaction.exec("SET LOCAL statement_timeout = " + std::to_string(statement_max.count()));
    work(transaction);
    transaction.commit();
  } catch (...) {
    // Whatever it was, a new session costs less than to find out whether this one is sound.
    const bool broken = !session->connection->is_open();
    lose(std::move(session));
    try {
      throw;
    } catch (const pqxx::broken_connection&) {
      throw;
    } catch (const pqxx::sql_error&) {
      throw;
    } catch (const std::exception& error) {
      if (broken) throw pqxx::broken_connection(error.what());
      throw;
    }
  }
  session->used = Clock::now();
  give_back(std::move(session));
}

Pool::SessionPtr Pool::take() {
  std::unique_lock lock(mutex_);
  const auto deadline = Clock::now() + settings_.wait_max;
  const auto can_go_on = [&] { return closed_ || !idle_.empty() || open_ < settings_.size + settings_.overflow; };
  if (!can_go_on()) {
    ++waits_;
    ++waiting_;
    const bool in_time = came_free_.wait_until(lock, deadline, can_go_on);
    --waiting_;
    if (!in_time) {
      ++timeouts_;
      throw PoolTimeout("no database session came free within " + std::to_string(settings_.wait_max.count() / 1000) +
                        " s: all " + std::to_string(settings_.size + settings_.overflow) + " are in use");
    }
  }
  const auto check_open = [this] {
    if (closed_) throw PoolTimeout("the reader is stopping");
  };
  check_open();
  while (!idle_.empty()) {
    SessionPtr session = std::move(idle_.front());
    idle_.pop_front();
    lock.unlock();
    if (still_works(*session)) return session;
    lose(std::move(session));
    lock.lock();
    check_open();
  }
  ++open_;
  lock.unlock();
  SessionPtr session;
  try {
    session = std::make_unique<Session>(postgres::connect(uri_, "daybook-reader"));
    lock.lock();
    check_open();
    ++opened_;
    return session;
  } catch (...) {
    if (lock.owns_lock()) lock.unlock();
    lose(std::move(session));
    throw;
  }
}

bool Pool::still_works(Session& session) const {
  const auto now = Clock::now();
  if (!session.connection->is_open() || now - session.opened > settings_.age_max) return false;
  if (now - session.used < trusted_for) return true;
  try {
    pqxx::nontransaction transaction(*session.connection);
    transaction.exec("SELECT 1");
    return true;
  } catch (const std::exception&) {
    return false;
  }
}

void Pool::give_back(SessionPtr session) {
  const std::lock_guard lock(mutex_);
  // More than those that stay: closed, unless somebody waits.
  if (closed_ || (open_ > settings_.size && waiting_ == 0)) {
    --open_;
  } else {
    idle_.push_front(std::move(session));
  }
  came_free_.notify_one();
}

// `session` may be null: it could not be opened. Closed at the end, without the lock.
void Pool::lose(SessionPtr /*session*/) {
  const std::lock_guard lock(mutex_);
  --open_;
  came_free_.notify_one();
}

void Pool::close() {
  const std::lock_guard lock(mutex_);
  closed_ = true;
  open_ -= idle_.size();
  idle_.clear();
  came_free_.notify_all();
}

Pool::Figures Pool::figures() const {
  const std::lock_guard lock(mutex_);
  return {open_, open_ - idle_.size(), opened_, waits_, timeouts_};
}

}  // namespace daybook::reader
