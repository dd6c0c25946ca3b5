// The commit function's number of parameters: what is sent, what is declared, and PostgreSQL's limit.
#include "sql/render.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <string>

#include "core/error.h"
#include "worker/commit/commit_parameters.h"

using namespace daybook;

namespace {

ViewDefinition view_with(std::size_t keys, std::size_t columns, std::size_t balances) {
  ViewDefinition view;
  view.name = "wide";
  for (std::size_t i = 0; i < keys; ++i) view.key.push_back({"k" + std::to_string(i), KeyType::integer, ""});
  view.key.back() = {"day", KeyType::date, "UTC"};
  for (std::size_t i = 0; i < columns; ++i) {
    view.columns.push_back(
        {"c" + std::to_string(i), i < balances ? Aggregate::balance : Aggregate::sum, ColumnType::int8});
  }
  return view;
}

}  // namespace

TEST_CASE("what the worker sends is what the commit function takes") {
  for (const ViewDefinition& view :
       {view_with(1, 1, 0), view_with(2, 3, 1), view_with(3, 7, 7), view_with(16, 64, 0)}) {
    const std::size_t sent = commit_parameters(view, Batch(view), {}, 0).size();
    CHECK(sql::commit_parameter_count(view) == sent);
    const std::string call = sql::render_commit_call(view, 1);
    CHECK(static_cast<std::size_t>(std::count(call.begin(), call.end(), '$')) == sent);
    const std::string function = sql::render_commit(view, 1, "public.t");
    const std::string head = function.substr(0, function.find("RETURNS TABLE"));
    std::size_t declared = 0;
    for (std::size_t at = head.find("p_"); at != std::string::npos; at = head.find("p_", at + 1)) ++declared;
    CHECK(declared == sent);
  }
}

TEST_CASE("the indexes that the reader's lists need") {
  ViewDefinition view = view_with(3, 2, 0);  // k0, k1, day
  const auto columns = [&] {
    std::vector<std::string> all;
    for (const sql::ReaderIndex& index : sql::render_reader_indexes(view, 7, "public.t")) {
      CHECK(index.name.starts_with("daybook_reader_7_"));
      CHECK(index.statement.find("CREATE INDEX \"" + index.name + "\" ON public.t (") != std::string::npos);
      const std::size_t open = index.statement.rfind('(');
      all.push_back(index.statement.substr(open + 1, index.statement.find(')', open) - open - 1));
    }
    return all;
  };
  using List = std::vector<std::string>;
  view.reader.order = {"day"};
  view.reader.filters = {"k1"};
  CHECK(columns().empty());  // no member `reader`: served by the key alone
  view.reader_json = "{}";
  CHECK(columns() == List{R"("day", "k0", "k1")", R"("k1", "day", "k0")"});
  view.reader.filters = {"day", "k0", "c1"};  // the first is the order's
  CHECK(columns() == List{R"("day", "k0", "k1")", R"("k0", "day", "k1")", R"("c1", "day", "k0", "k1")"});
  view.reader.order = {};
  view.reader.filters = {"k0"};
  CHECK(columns().empty());  // the primary key
  const std::string name = sql::render_reader_indexes(
                               [&] {
                                 view.reader.filters = {"k1"};
                                 return view;
                               }(),
                               7, "t")[0]
                               .name;
  CHECK(sql::render_reader_indexes(view, 7, "t")[0].name == name);
  view.reader.filters = {"c0"};
  CHECK(sql::render_reader_indexes(view, 7, "t")[0].name != name);
}

TEST_CASE("a view beyond PostgreSQL's limit of parameters is a mistake, exactly from there on") {
  std::size_t columns = 1;
  while (!sql::beyond_parameters(view_with(2, columns, columns))) ++columns;
  CHECK(sql::commit_parameter_count(view_with(2, columns - 1, columns - 1)) <= 100);
  CHECK(sql::commit_parameter_count(view_with(2, columns, columns)) > 100);

  const DefinitionMistake mistake = sql::beyond_parameters(view_with(2, 40, 40)).value();
  CHECK(mistake.pointer == "/columns");
  const std::string parameters = std::to_string(sql::commit_parameter_count(view_with(2, 40, 40)));
  CHECK(mistake.found ==
        "40 columns, 40 of them balances, beside 2 key columns: " + parameters + " parameters for the commit function");
  CHECK(mistake.expected.starts_with("at most 100, PostgreSQL's limit"));
}

TEST_CASE("a check of the place that keeps views is asked for each definition of several files") {
  const std::string folder = DAYBOOK_SOURCE_DIR "/tests/cases/definitions/good/";
  const auto refuse_stock = [](const ViewDefinition& view) -> std::optional<DefinitionMistake> {
    if (view.name != "stock") return std::nullopt;
    return DefinitionMistake{"/columns", "stock", "less"};
  };
  const std::vector<DefinitionOrMistakes> read =
      read_definition_files({folder + "utc.json", folder + "smallest.json"}, refuse_stock);
  CHECK(std::get<std::vector<DefinitionMistake>>(read[0]) ==
        std::vector<DefinitionMistake>{{"/columns", "stock", "less"}});
  CHECK(std::holds_alternative<ViewDefinition>(read[1]));
  CHECK_THROWS_AS(load_definitions({folder + "utc.json"}, refuse_stock), UsageError);
}
