#include "reader/api/openapi.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "core/decimal.h"

namespace daybook::reader {
namespace {

using Json = nlohmann::ordered_json;

Json reference(const std::string& to) { return {{"$ref", "#/components/" + to}}; }

Json schema_of(KeyType type) {
  switch (type) {
    case KeyType::uuid:
      return {{"type", "string"}, {"format", "uuid"}};
    case KeyType::text:
      return {{"type", "string"}, {"maxLength", 1000}};
    case KeyType::integer:
      return {{"type", "integer"}, {"format", "int64"}};
    case KeyType::date:
      return {{"type", "string"}, {"format", "date"}};
    case KeyType::timestamp:
    case KeyType::hour:
    case KeyType::minute:
      return {{"type", "string"}, {"format", "date-time"}};
  }
  return {};
}

std::string description_of(const ViewDefinition& view, const ValueColumn& column) {
  switch (column.aggregate) {
    case Aggregate::sum:
    case Aggregate::count:
      return "A sum over the row's events.";
    case Aggregate::balance:
      return "A level: what was added up to the row's date.";
    case Aggregate::min:
      return "The smallest value of the row's events.";
    case Aggregate::max:
      return "The greatest value of the row's events.";
    case Aggregate::avg:
      return "The mean of the values of the row's events.";
    case Aggregate::last:
      return "The value of the row's newest event.";
    case Aggregate::ratio:
      return view.columns[column.of.at(0)].name + " divided by " + view.columns[column.of.at(1)].name +
             "; null when that is 0.";
    case Aggregate::quantile: {
      std::string share = decimal_text(column.quantile_millionths, 6);
      share.erase(share.find_last_not_of('0') + 1);
      return "The quantile " + share + " of the values of the row's events, within 1 %.";
    }
    case Aggregate::distinct:
      return "About how many different values the row's events had.";
  }
  return "";
}

Json schema_of(const ValueColumn& column) {
  switch (column.type) {
    case ColumnType::int4:
      return {{"type", "integer"}, {"format", "int32"}};
    case ColumnType::int8:
      return {{"type", "integer"}, {"format", "int64"}};
    case ColumnType::decimal:
      return {{"type", "number"}};
    case ColumnType::text:
      return {{"type", "string"}};
    case ColumnType::boolean:
      return {{"type", "boolean"}};
    case ColumnType::timestamp:
      return {{"type", "string"}, {"format", "date-time"}};
    case ColumnType::date:
      return {{"type", "string"}, {"format", "date"}};
    case ColumnType::uuid:
      return {{"type", "string"}, {"format", "uuid"}};
    case ColumnType::json:
      return Json::object();
  }
  return {};
}

Json row_schema(const ViewDefinition& view) {
  Json properties = Json::object();
  for (const KeyColumn& column : view.key) properties[column.name] = schema_of(column.type);
  for (const ValueColumn& column : view.columns) {
    properties[column.name] = schema_of(column);
    Json& schema = properties[column.name];
    if (view.can_be_null(column) && schema.contains("type")) schema["type"] = Json::array({schema["type"], "null"});
    if (!view.has_states()) schema["description"] = description_of(view, column);
  }
  properties["updated_at"] = {{"type", {"string", "null"}}, {"format", "date-time"}};
  Json required = Json::array();
  for (const auto& [name, schema] : properties.items()) {
    if (name != "updated_at") required.push_back(name);
  }
  return {{"type", "object"},
          {"description", view.description},
          {"properties", properties},
          {"required", required},
          {"additionalProperties", false}};
}

Json parameter(const std::string& name, const char* place, Json schema, const std::string& description) {
  Json all = {{"name", name}, {"in", place}};
  if (std::string_view(place) == "path") all["required"] = true;
  if (!description.empty()) all["description"] = description;
  all["schema"] = std::move(schema);
  return all;
}

Json path_parameter(const KeyColumn& column) { return parameter(column.name, "path", schema_of(column.type), ""); }

Json any_of(const Json& schema) { return {{"type", "array"}, {"items", schema}, {"maxItems", 100}}; }

// Equality and bounds of one column.
void add_filters(Json& parameters, const std::string& name, const Json& schema) {
  Json equal = parameter(name, "query", any_of(schema), "Rows with this value; with several, any of them.");
  equal["style"] = "form";
  equal["explode"] = true;
  parameters.push_back(equal);
  for (const auto& [suffix, words] :
       {std::pair{".from", "this value or more"}, std::pair{".above", "more than this value"},
        std::pair{".to", "this value or less"}, std::pair{".below", "less than this value"}}) {
    parameters.push_back(parameter(name + suffix, "query", schema, std::string("Rows with ") + words + "."));
  }
}

Json answers(std::initializer_list<const char*> problems, Json ok) {
  Json all = {{"200", std::move(ok)}};
  for (const char* problem : problems) all[problem] = reference("responses/" + std::string(problem));
  return all;
}

Json with_headers(Json answer, bool is_list) {
  answer["headers"] = {{"ETag", reference("headers/ETag")},
                       {"Cache-Control", reference("headers/Cache-Control")},
                       {"Daybook-Age", reference("headers/Daybook-Age")},
                       {"Daybook-Feed", reference("headers/Daybook-Feed")}};
  if (is_list) answer["headers"]["Link"] = reference("headers/Link");
  return answer;
}

Json await_parameters() {
  return Json::array(
      {reference("parameters/after"), reference("parameters/wait"), reference("parameters/if-none-match")});
}

Json csv() { return {{"schema", {{"type", "string"}}}}; }

Json operation(const std::string& id, const std::string& summary, const ViewDefinition& view, Json parameters,
               Json responses) {
  return {{"operationId", id},
          {"summary", summary},
          {"tags", Json::array({view.name})},
          {"parameters", std::move(parameters)},
          {"responses", std::move(responses)}};
}

Json row_operation(const ViewDefinition& view, const std::string& id) {
  Json parameters = await_parameters();
  for (const KeyColumn& column : view.key) parameters.push_back(path_parameter(column));
  const Json ok = {
      {"description", "The row."},
      {"content", {{"application/json", {{"schema", reference("schemas/" + view.name)}}}, {"text/csv", csv()}}}};
  return operation(id, "One row", view, parameters,
                   answers({"304", "400", "401", "403", "404", "406", "429", "503", "504"}, with_headers(ok, false)));
}

Json list_operation(const ViewDefinition& view, const std::string& id, const std::vector<std::string>& in_path) {
  const auto is_in_path = [&](const std::string& name) {
    return std::find(in_path.begin(), in_path.end(), name) != in_path.end();
  };
  Json parameters = await_parameters();
  for (const KeyColumn& column : view.key) {
    if (is_in_path(column.name)) {
      parameters.push_back(path_parameter(column));
    } else {
      add_filters(parameters, column.name, schema_of(column.type));
    }
  }
  for (const ValueColumn& column : view.columns) {
    const std::vector<std::string>& filters = view.reader.filters;
    if (std::find(filters.begin(), filters.end(), column.name) != filters.end())
      add_filters(parameters, column.name, schema_of(column));
  }
  parameters.push_back(
      parameter("limit", "query",
                {{"type", "integer"}, {"minimum", 1}, {"maximum", view.reader.limit}, {"default", view.reader.limit}},
                "Rows of a page, at most."));
  parameters.push_back(
      parameter("cursor", "query", {{"type", "string"}}, "Where the page begins: from the page before."));
  const Json page = {{"type", "object"},
                     {"properties",
                      {{"rows", {{"type", "array"}, {"items", reference("schemas/" + view.name)}}},
                       {"next", {{"type", {"string", "null"}}, {"description", "The cursor of the next page."}}}}},
                     {"required", {"rows", "next"}},
                     {"additionalProperties", false}};
  const Json ok = {{"description", "A page of rows."},
                   {"content", {{"application/json", {{"schema", page}}}, {"text/csv", csv()}}}};
  return operation(id, "Rows, filtered and in pages", view, parameters,
                   answers({"304", "400", "401", "403", "404", "406", "429", "503", "504"}, with_headers(ok, true)));
}

Json changes_operation(const ViewDefinition& view) {
  Json parameters = Json::array();
  for (const KeyColumn& column : view.key) {
    parameters.push_back(parameter(column.name, "query", any_of(schema_of(column.type)),
                                   "Only rows with this value; with several, any of them."));
  }
  parameters.push_back(parameter("Last-Event-ID", "header", {{"type", "string"}}, "Goes on behind this event."));
  const Json ok = {{"description",
                    "Events without end: row (data is the row), gone (data is the key of a row that is not there any "
                    "more), reset (ask again), feed (lost or following)."},
                   {"content", {{"text/event-stream", {{"schema", {{"type", "string"}}}}}}}};
  return operation("changes_of_" + view.name, "Rows as they change", view, parameters,
                   answers({"400", "401", "403", "404", "429", "503"}, ok));
}

Json problem_response(const char* description) {
  return {{"description", description},
          {"content", {{"application/problem+json", {{"schema", reference("schemas/_problem")}}}}}};
}

Json components(const std::vector<const ViewDefinition*>& views) {
  // A view's name begins with a letter: ours can't be one.
  Json schemas = {
      {"_problem",
       {{"type", "object"},
        {"properties",
         {{"type", {{"type", "string"}}},
          {"title", {{"type", "string"}}},
          {"status", {{"type", "integer"}}},
          {"detail", {{"type", "string"}}}}},
        {"required", {"type", "title", "status", "detail"}}}},
      {"_views",
       {{"type", "object"},
        {"properties", {{"views", {{"type", "array"}, {"items", reference("schemas/_view")}}}}},
        {"required", {"views"}}}},
      {"_view",
       {{"type", "object"},
        {"properties",
         {{"name", {{"type", "string"}}},
          {"kind", {{"type", "string"}}},
          {"description", {{"type", "string"}}},
          {"key", {{"type", "array"}, {"items", {{"type", "object"}}}}},
          {"columns", {{"type", "array"}, {"items", {{"type", "object"}}}}},
          {"filters", {{"type", "array"}, {"items", {{"type", "string"}}}}},
          {"order", {{"type", "object"}}},
          {"limit",
           {{"type", "integer"},
            {"minimum", 1},
            {"description", "Rows of a page, at most, and unless limit= says less."}}},
          {"links", {{"type", "object"}}},
          {"freshness", {{"type", "object"}}}}},
        {"required", {"name", "kind", "key", "columns", "filters", "order", "limit", "links", "freshness"}}}}};
  for (const ViewDefinition* view : views) schemas[view->name] = row_schema(*view);
  const Json text = {{"type", "string"}};
  return {
      {"schemas", schemas},
      {"parameters",
       {{"after",
         parameter("after", "query", any_of(text),
                   "TOPIC/PARTITION@OFFSET: the answer knows all events below it. Publishing an event returns it.")},
        {"wait", parameter("wait", "query", {{"type", "integer"}, {"minimum", 0}, {"maximum", 10000}, {"default", 500}},
                           "How many milliseconds to wait for after=.")},
        {"if-none-match", parameter("If-None-Match", "header", text, "The ETag that the client has.")}}},
      {"headers",
       {{"ETag", {{"schema", text}, {"description", "Of the body: the same in all readers."}}},
        {"Cache-Control", {{"schema", text}}},
        {"Daybook-Age",
         {{"schema", {{"type", "integer"}}},
          {"description", "Milliseconds: all that was committed longer ago is in the answer."}}},
        {"Daybook-Feed",
         {{"schema", {{"type", "string"}, {"enum", {"lost"}}}}, {"description", "There while changes do not arrive."}}},
        {"Link", {{"schema", text}, {"description", "The next page, as rel=\"next\"."}}}}},
      {"responses",
       {{"304", {{"description", "The client has it already."}}},
        {"400", problem_response("The request is wrong; detail says what was expected.")},
        {"401", problem_response("No token, or none that is good.")},
        {"403", problem_response("There is such a view, and the token may not read it. Only for those who may know.")},
        {"404", problem_response("There is no such thing, or the token may not see it.")},
        {"406", problem_response("Neither JSON nor CSV is accepted.")},
        {"429", problem_response("Too many requests.")},
        {"503",
         problem_response("The database can't be asked, what is known is too old, or there are too many streams.")},
        {"504", problem_response("What after= names was not applied in time.")}}},
      {"securitySchemes", {{"token", {{"type", "http"}, {"scheme", "bearer"}}}}}};
}

}  // namespace

std::string openapi_of(const std::vector<const ViewDefinition*>& views, const std::string& version) {
  Json paths = {
      {"/v1/views",
       {{"get",
         {{"operationId", "views"},
          {"summary", "The views, their keys and how fresh they are"},
          {"responses", answers({"401", "429"},
                                {{"description", "The views that one may read."},
                                 {"content", {{"application/json", {{"schema", reference("schemas/_views")}}}}}})}}}}}};
  for (const ViewDefinition* view : views) {
    const std::string path = "/v1/views/" + view->name;
    std::string row_path = path;
    for (const KeyColumn& column : view->key) row_path += "/{" + column.name + "}";
    paths[path] = {{"get", list_operation(*view, "rows_of_" + view->name, {})}};
    paths[path + "/changes"] = {{"get", changes_operation(*view)}};
    paths[row_path] = {{"get", row_operation(*view, "row_of_" + view->name)}};
    std::size_t number = 0;
    for (const std::string& route : view->reader.routes) {
      std::vector<std::string> named;
      for (const KeyColumn& column : view->key) {
        if (route.find("{" + column.name + "}") != std::string::npos) named.push_back(column.name);
      }
      const std::string id = view->name + "_route_" + std::to_string(++number);
      paths[route] = {
          {"get", named.size() == view->key.size() ? row_operation(*view, id) : list_operation(*view, id, named)}};
    }
  }
  const Json document = {
      {"openapi", "3.1.0"},
      {"info",
       {{"title", "Daybook reader"},
        {"version", version},
        {"description", "Rows of views that are kept up to date from events. HEAD works wherever GET does."}}},
      {"security", Json::array({Json{{"token", Json::array()}}, Json::object()})},
      {"paths", paths},
      {"components", components(views)}};
  return document.dump(2) + "\n";
}

}  // namespace daybook::reader
