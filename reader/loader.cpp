#include "reader/loader.h"

#include <simdjson.h>

#include <algorithm>

#include "core/error.h"

namespace daybook::reader {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t batch_max = 4096;  // keys in one query
constexpr int batches_max = 2;           // at once: misses wait for each other, and for at most one query before theirs
constexpr int attempts_max = 8;
constexpr std::int64_t never_taken = -1;  // below all floors
constexpr auto warm_max = std::chrono::minutes(1);

// What an exception of a load means for those who wait.
Unavailable unavailable() {
  try {
    throw;
  } catch (const PoolTimeout& error) {
    return {Unavailable::Why::busy, error.what()};
  } catch (const std::exception& error) {
    return {Unavailable::Why::database, error.what()};
  }
}

Unavailable never_new_enough(const std::string& view) {
  return {Unavailable::Why::database, "view " + view +
                                          ": what the database has is older than what was shown already, or changes"
                                          " faster than it can be loaded; try again"};
}

// Adds the time of its life.
class Stopwatch {
 public:
  explicit Stopwatch(std::chrono::nanoseconds& total) : total_(total) {}
  ~Stopwatch() { total_ += Clock::now() - begun_; }
  Stopwatch(const Stopwatch&) = delete;
  Stopwatch& operator=(const Stopwatch&) = delete;

 private:
  std::chrono::nanoseconds& total_;
  const Clock::time_point begun_ = Clock::now();
};

pqxx::result execute(pqxx::transaction_base& transaction, const std::string& sql,
                     const std::vector<std::string>& parameters, std::chrono::nanoseconds& took) {
  const Stopwatch watch(took);
#if PQXX_VERSION_MAJOR < 7
  return transaction.exec_params(sql, pqxx::prepare::make_dynamic_params(parameters));
#else
  pqxx::params all;
  for (const std::string& parameter : parameters) all.append(parameter);
#if DAYBOOK_PQXX_HAS_PREPPED
  return transaction.exec(sql, all);
#else
  return transaction.exec_params(sql, all);
#endif
#endif
}

}  // namespace

Loader::Loader(const ViewDefinition& view, sql::ReaderStatements statements, const AnswerStyle& style, Cache& cache,
               Pages& pages, Frontier& frontier, Databases& databases)
    : view_(view),
      statements_(std::move(statements)),
      style_(style),
      absent_(make_absent(style)),
      cache_(cache),
      pages_(pages),
      frontier_(frontier),
      databases_(databases) {}

// --- Rows.

void Loader::load(std::string key, RowDone done) {
  key_texts(view_, key);  // throws for what is no key
  // PostgreSQL refuses such text, and with it the whole query; and no row can have it.
  const bool has_text = std::any_of(view_.key.begin(), view_.key.end(),
                                    [](const KeyColumn& column) { return column.type == KeyType::text; });
  bool possible = true;
  if (has_text) {
    for (const std::string& text : key_texts(view_, key))
      possible = possible && simdjson::validate_utf8(text.data(), text.size());
  }
  HotRowPtr known = possible ? nullptr : absent_;
  if (possible) {
    const std::lock_guard lock(mutex_);
    const auto [flight, is_new] = row_flights_.try_emplace(key);
    if (!is_new) {
      flight->second.push_back(std::move(done));
      ++joins_;
      return;
    }
    known = cache_.begin_load(key).present;
    if (known) {
      row_flights_.erase(flight);
    } else {
      flight->second.push_back(std::move(done));
      queue_.push_back(std::move(key));
      if (batches_ < batches_max) {
        ++batches_;
        databases_.crew().post([this] { run_batches(); });
      }
      return;
    }
  }
  databases_.crew().post([done = std::move(done), known] { done(known, {}); });
}

void Loader::run_batches() {
  for (;;) {
    std::vector<std::string> keys;
    {
      const std::lock_guard lock(mutex_);
      while (!queue_.empty() && keys.size() < batch_max) {
        keys.push_back(std::move(queue_.front()));
        queue_.pop_front();
      }
      if (keys.empty()) {
        --batches_;
        return;
      }
    }
    load_batch(std::move(keys));
  }
}

void Loader::load_batch(std::vector<std::string> keys) {
  std::chrono::nanoseconds took{0};
  for (int attempt = 0; !keys.empty(); ++attempt) {
    if (attempt == attempts_max) {
      for (const std::string& key : keys) fail(key, never_new_enough(view_.name), took);
      return;
    }
    Answer answer;
    try {
      // A replica that is behind costs one more query; the primary never is.
      answer = query_rows(keys, attempt > 0, took);
    } catch (...) {
      const Unavailable why = unavailable();
      for (const std::string& key : keys) fail(key, why, took);
      return;
    }
    std::vector<std::string> again;
    for (std::size_t i = 0; i < keys.size(); ++i) {
      if (!finish(keys[i], {answer.seq, answer.nonce, answer.rows[i]}, took)) again.push_back(std::move(keys[i]));
    }
    repeats_ += again.size();
    keys = std::move(again);
  }
}

// False: the load goes on.
bool Loader::finish(const std::string& key, const Loaded& loaded, std::chrono::nanoseconds took) {
  std::vector<RowDone> waiters;
  HotRowPtr row;
  {
    // Together: who asks later, and may know of later commits, must not join a load that has ended.
    const std::lock_guard lock(mutex_);
    const auto finished = cache_.finish_load(key, loaded);
    if (!std::holds_alternative<HotRowPtr>(finished)) return false;
    row = std::get<HotRowPtr>(finished);
    waiters = take_waiters(key);
  }
  ++rows_;
  for (std::size_t i = 0; i < waiters.size(); ++i) waiters[i](row, {took, i == 0});
  return true;
}

void Loader::fail(const std::string& key, const Unavailable& why, std::chrono::nanoseconds took) {
  std::vector<RowDone> waiters;
  {
    const std::lock_guard lock(mutex_);
    cache_.abandon_load(key);
    waiters = take_waiters(key);
  }
  ++failures_;
  for (std::size_t i = 0; i < waiters.size(); ++i) waiters[i](why, {took, i == 0});
}

std::vector<Loader::RowDone> Loader::take_waiters(const std::string& key) {
  const auto flight = row_flights_.find(key);
  std::vector<RowDone> waiters = std::move(flight->second);
  row_flights_.erase(flight);
  return waiters;
}

// `seq`, which `work` sets, becomes one that is never taken when nobody can say yet whether a replica is right: one
// that follows a lost past may be ahead of the feed for ever.
void Loader::read(bool on_primary, std::int64_t& seq, const std::function<void(pqxx::transaction_base&)>& work) {
  if (on_primary) {
    databases_.primary().read(work);
  } else if (!databases_.read_anywhere(work) && frontier_.is_ahead(seq)) {
    seq = never_taken;
  }
}

Loader::Answer Loader::query_rows(const std::vector<std::string>& keys, bool on_primary,
                                  std::chrono::nanoseconds& took) {
  std::vector<std::vector<std::string>> columns(view_.key.size());
  for (const std::string& key : keys) {
    std::vector<std::string> texts = key_texts(view_, key);
    for (std::size_t i = 0; i < texts.size(); ++i) columns[i].push_back(std::move(texts[i]));
  }
  std::vector<std::string> parameters;
  for (const auto& column : columns) parameters.push_back(sql::array_text(column));

  Answer answer;
  const auto work = [&](pqxx::transaction_base& transaction) {
    ++queries_;
    answer = Answer{};
    answer.rows.assign(keys.size(), nullptr);
    for (const auto& line : execute(transaction, statements_.rows, parameters, took)) {
      answer.seq = line[1].as<std::int64_t>();
      answer.nonce = line[2].c_str();
      const std::string kind = line[3].c_str();
      HotRowPtr& row = answer.rows.at(line[0].as<std::size_t>() - 1);
      if (kind == "absent") {
        row = absent_;
      } else {
        row = make_row(style_, kind == "row" ? HotRow::Kind::row : HotRow::Kind::carried, line[4].as<std::string>());
      }
    }
    for (const HotRowPtr& row : answer.rows) {
      if (!row) throw StopError("view " + view_.name + ": the database has no head of this generation");
    }
  };
  read(on_primary, answer.seq, work);
  return answer;
}

// --- Lists.

void Loader::list(ListQuery query, ListDone done) {
  // The order is made total by the rest of the primary key.
  for (const KeyColumn& column : view_.key) {
    if (std::find(query.order.begin(), query.order.end(), column.name) == query.order.end())
      query.order.push_back(column.name);
  }
  const std::string text = text_of(query);
  ListPagePtr known;
  {
    const std::lock_guard lock(mutex_);
    const std::int64_t floor = frontier_.now().floor;
    const auto [flight, is_new] = list_flights_.try_emplace(text);
    if (!is_new) {
      flight->second.waiters.push_back({std::move(done), floor, false});
      ++joins_;
      return;
    }
    known = pages_.begin_load(text, entities_of(view_, query));
    if (known) {
      list_flights_.erase(flight);
    } else {
      flight->second = {std::move(query), {}};
      flight->second.waiters.push_back({std::move(done), floor, true});
      databases_.crew().post([this, text, asked = Clock::now()] { run_list(text, asked); });
      return;
    }
  }
  databases_.crew().post([done = std::move(done), known] { done(*known, {}); });
}

void Loader::run_list(const std::string& text, Clock::time_point asked) {
  ListQuery query;
  {
    const std::lock_guard lock(mutex_);
    query = list_flights_.at(text).query;
  }
  if (Clock::now() - asked > databases_.primary().settings().wait_max) {
    fail_list(text, {Unavailable::Why::busy, "view " + view_.name + ": too many lists are being made; try again"}, {});
    return;
  }
  std::chrono::nanoseconds took{0};
  for (int attempt = 0; attempt < attempts_max; ++attempt) {
    const Clock::time_point begun = Clock::now();
    ListAnswer list;
    try {
      list = query_list(query, attempt > 0, took);
    } catch (...) {
      fail_list(text, unavailable(), took);
      return;
    }
    if (finish_list(text, list, begun, took)) return;
  }
  fail_list(text, never_new_enough(view_.name), took);
}

// False: the load goes on.
bool Loader::finish_list(const std::string& text, const ListAnswer& list, Clock::time_point begun,
                         std::chrono::nanoseconds took) {
  std::vector<ListWaiter> answered, left;
  Pages::Taken taken;
  {
    const std::lock_guard lock(mutex_);
    taken = pages_.finish_load(text, list.seq, list.nonce, list.page);
    if (taken == Pages::Taken::not_allowed) {
      ++repeats_;
      return false;
    }
    const auto flight = list_flights_.find(text);
    for (ListWaiter& waiter : flight->second.waiters) {
      // Overtaken: right for those who asked before the change; the others wait for another one.
      const bool good = taken == Pages::Taken::kept || waiter.floor <= list.seq;
      (good ? answered : left).push_back(std::move(waiter));
    }
    if (left.empty()) {
      if (taken == Pages::Taken::overtaken) pages_.abandon_load(text);
      list_flights_.erase(flight);
    } else {
      flight->second.waiters = left;
    }
  }
  ListPage answer = *list.page;
  if (taken == Pages::Taken::overtaken)
    answer.behind = std::chrono::ceil<std::chrono::milliseconds>(Clock::now() - begun);
  for (const ListWaiter& waiter : answered) waiter.done(answer, {took, waiter.began});
  return left.empty();
}

void Loader::fail_list(const std::string& text, const Unavailable& why, std::chrono::nanoseconds took) {
  std::vector<ListWaiter> waiters;
  {
    const std::lock_guard lock(mutex_);
    pages_.abandon_load(text);
    const auto flight = list_flights_.find(text);
    waiters = std::move(flight->second.waiters);
    list_flights_.erase(flight);
  }
  ++failures_;
  for (const ListWaiter& waiter : waiters) waiter.done(why, {took, waiter.began});
}

// The condition of a row to come behind query.after.
std::string Loader::behind(const ListQuery& query, const Parameter& parameter) const {
  bool has_nulls = false;
  std::vector<bool> nullable;
  for (const std::string& name : query.order) {
    const auto column =
        std::find_if(view_.columns.begin(), view_.columns.end(), [&](const ValueColumn& c) { return c.name == name; });
    nullable.push_back(column != view_.columns.end() && view_.can_be_null(*column));
    has_nulls = has_nulls || nullable.back();
  }
  const auto value = [&](std::size_t i) {
    return parameter(query.after[i].value_or(""), statements_.type_of(query.order[i]));
  };
  const std::string compare = query.descending ? " < " : " > ";
  if (!has_nulls) {
    std::string columns, values;
    for (std::size_t i = 0; i < query.order.size(); ++i) {
      columns += (i == 0 ? "" : ", ") + statements_.column(query.order[i]);
      values += (i == 0 ? "" : ", ") + value(i);
    }
    return "(" + columns + ")" + compare + "(" + values + ")";
  }
  // PostgreSQL compares no rows with NULLs in them. NULL lies beyond all values, as in its indexes. From the last
  // column to the first: behind in this one, or alike in it and behind in the rest.
  std::string condition;
  for (std::size_t i = query.order.size(); i-- > 0;) {
    const std::string column = statements_.column(query.order[i]);
    std::string beyond, alike;
    if (!query.after[i]) {
      beyond = query.descending ? column + " IS NOT NULL" : "false";
      alike = column + " IS NULL";
    } else {
      const std::string place = value(i);
      beyond = column + compare + place;
      if (nullable[i] && !query.descending) beyond = "(" + beyond + " OR " + column + " IS NULL)";
      alike = column + " = " + place;
    }
    condition = condition.empty() ? beyond : "(" + beyond + " OR (" + alike + " AND " + condition + "))";
    // What an index can begin at.
    if (i == 0 && query.after[i] && (query.descending || !nullable[i]))
      condition = column + (query.descending ? " <= " : " >= ") + value(i) + " AND " + condition;
  }
  return condition;
}

Loader::ListAnswer Loader::query_list(const ListQuery& query, bool on_primary, std::chrono::nanoseconds& took) {
  std::vector<std::string> parameters;
  std::string conditions;
  const auto parameter = [&](const std::string& value, const std::string& type) {
    parameters.push_back(value);
    return "$" + std::to_string(parameters.size()) + "::" + type;
  };
  const auto add = [&](const std::string& condition) { conditions += (conditions.empty() ? "" : " AND ") + condition; };
  for (const Filter& filter : query.filters) {
    const std::string type = statements_.type_of(filter.column);
    const std::string column = statements_.column(filter.column);
    switch (filter.test) {
      case Filter::Test::equal:
        // One value is asked for as such: the rest of its index is then in the list's order, and a page of a long list
        // is read without sorting all of it. PostgreSQL does not see that of an array with one element.
        if (filter.operands.size() == 1) {
          add(column + " = " + parameter(filter.operands.front(), type));
        } else {
          add(column + " = ANY (" + parameter(sql::array_text(filter.operands), type + "[]") + ")");
        }
        break;
      case Filter::Test::at_least:
        add(column + " >= " + parameter(filter.operands.at(0), type));
        break;
      case Filter::Test::greater:
        add(column + " > " + parameter(filter.operands.at(0), type));
        break;
      case Filter::Test::at_most:
        add(column + " <= " + parameter(filter.operands.at(0), type));
        break;
      case Filter::Test::less:
        add(column + " < " + parameter(filter.operands.at(0), type));
        break;
    }
  }
  if (!query.after.empty()) {
    if (query.after.size() != query.order.size())
      throw StopError("view " + view_.name + ": a list goes on after " + std::to_string(query.after.size()) +
                      " values, expected " + std::to_string(query.order.size()));
    add(behind(query, parameter));
  }
  // One more than asked for tells whether there is another page.
  const std::string sql = statements_.list(query.order, query.descending, conditions, query.limit + 1);

  ListAnswer list;
  auto page = std::make_shared<ListPage>();
  list.page = page;
  const auto work = [&](pqxx::transaction_base& transaction) {
    ++list_queries_;
    *page = ListPage{};
    Place place;  // of the last row of the page
    for (const auto& line : execute(transaction, sql, parameters, took)) {
      list.seq = line[0].as<std::int64_t>();
      list.nonce = line[1].c_str();
      if (line[2].is_null()) break;  // no rows
      if (page->rows.size() == query.limit) {
        page->after = std::move(place);
        break;
      }
      page->rows.push_back(line[2].as<std::string>());
      place.clear();
      for (std::size_t i = 0; i < query.order.size(); ++i) {
        const auto field = line[static_cast<int>(3 + i)];
        place.push_back(field.is_null() ? std::nullopt : std::optional(field.as<std::string>()));
      }
    }
  };
  read(on_primary, list.seq, work);
  return list;
}

// --- Warm-up.

std::size_t Loader::warm(std::size_t rows) {
  if (warming_.test_and_set()) return 0;
  std::size_t taken = 0;
  cache_.begin_bulk();
  const auto end = [this] {
    cache_.end_bulk();
    warming_.clear();
  };
  try {
    databases_.primary().read(warm_max, [&](pqxx::transaction_base& transaction) {
      for (const auto& line : transaction.exec(statements_.warm(rows))) {
        std::string json = line[2].as<std::string>();
        const std::string key = key_of_row(view_, json);
        HotRowPtr row = make_row(style_, HotRow::Kind::row, std::move(json));
        if (cache_.offer(key, {line[0].as<std::int64_t>(), line[1].c_str(), std::move(row)})) ++taken;
      }
    });
  } catch (...) {
    end();
    throw;
  }
  end();
  return taken;
}

Loader::Figures Loader::figures() const { return {rows_, queries_, joins_, repeats_, failures_, list_queries_}; }

}  // namespace daybook::reader
