// What the API says of itself: the views, and OpenAPI, which answers are held against.
#include "producer/json_schema.h"
#include "tests/reader/api_site.h"

using namespace daybook;
using namespace daybook::reader;
using namespace daybook::test;

TEST_CASE("the list of views") {
  Site site;
  site.open.fresh = {12ms, false, 77, ""};
  const Json views = Json::parse(site.get("/v1/views")->block->body)["views"];
  REQUIRE(views.size() == 2);
  CHECK(views[0]["name"] == "open");
  CHECK(views[0]["kind"] == "summary");
  CHECK(views[0]["key"] ==
        Json::parse(R"([{"name":"site","type":"uuid"},{"name":"day","type":"date","time_zone":"UTC"}])"));
  CHECK(views[0]["columns"] == Json::parse(R"([{"name":"level","type":"int","value":"balance"}])"));
  CHECK(views[0]["limit"] == 20);
  CHECK(views[1]["limit"] == 100);
  CHECK(views[0]["links"]["row"] == "/v1/views/open/{site}/{day}");
  CHECK(views[0]["freshness"] == Json::parse(R"({"age_ms":12,"feed":"following","generation":3,"seq":77})"));
}

// Draft 7 of JSON Schema, of which 3.1's own is a superset in what we use: what a document of OpenAPI 3.1 must have.
TEST_CASE("the description of the API, and answers held against it") {
  Site site;
  const auto answer = site.get("/openapi.json");
  const Json document = Json::parse(answer->block->body);
  const Json rules = Json::parse(R"({
    "type": "object", "required": ["openapi", "info", "paths", "components"],
    "properties": {
      "openapi": {"const": "3.1.0"},
      "info": {"type": "object", "required": ["title", "version"]},
      "paths": {"type": "object", "additionalProperties": false, "patternProperties": {"^/": {
        "type": "object", "required": ["get"], "additionalProperties": false, "properties": {"get": {
          "type": "object", "required": ["operationId", "responses"],
          "properties": {
            "parameters": {"type": "array", "items": {"oneOf": [
              {"required": ["$ref"]},
              {"required": ["name", "in", "schema"], "properties": {"in": {"enum": ["path", "query", "header"]}}, "if": {"properties": {"in": {"const": "path"}}},
               "then": {"required": ["required"], "properties": {"required": {"const": true}}}}]}},
            "responses": {"type": "object", "minProperties": 2, "additionalProperties": false, "patternProperties": {"^[1-5][0-9][0-9]$": {
              "oneOf": [{"required": ["$ref"]}, {"required": ["description"]}]}}}}}}}}},
      "components": {"type": "object", "additionalProperties": false,
        "properties": {"schemas": {}, "parameters": {}, "headers": {}, "responses": {}, "securitySchemes": {}}}}})");
  const publishing::JsonSchema schema{rules};
  for (const publishing::Refusal& refusal : schema.refusals(document)) MESSAGE(refusal.pointer, ": ", refusal.reason);
  CHECK(schema.accepts(document));

  std::set<std::string> ids;
  for (const auto& [path, item] : document["paths"].items()) {
    CHECK(ids.insert(item["get"]["operationId"]).second);
    std::set<std::string> in_path;
    for (const Json& parameter : item["get"].value("parameters", Json::array()))
      if (parameter.value("in", "") == "path") in_path.insert(parameter["name"]);
    for (const std::string& name : in_path) CHECK(path.find("{" + name + "}") != std::string::npos);
    CHECK(static_cast<std::size_t>(std::count(path.begin(), path.end(), '{')) == in_path.size());
  }
  for (const char* path : {"/v1/views", "/v1/views/open", "/v1/views/open/changes", "/v1/views/open/{site}/{day}",
                           "/open", "/open/{site}/{day}"})
    CHECK_MESSAGE(document["paths"].contains(path), path);
  const Json flat = document.flatten();
  for (const auto& [pointer, value] : flat.items()) {
    if (!pointer.ends_with("/$ref")) continue;
    CHECK_MESSAGE(document.contains(Json::json_pointer(value.get<std::string>().substr(1))), value.get<std::string>());
  }

  // Each answer has a status that is described, and the body that the description says.
  const auto conforms = [&](const std::string& path, const std::string& target) {
    const auto got = site.get(target);
    const std::string status = std::to_string(got->block->status);
    Json response = document["paths"][path]["get"]["responses"];
    REQUIRE_MESSAGE(response.contains(status), target, " ", status);
    response = response[status];
    if (response.contains("$ref"))
      response = document[Json::json_pointer(response["$ref"].get<std::string>().substr(1))];
    std::string type = header(*got, "Content-Type");
    REQUIRE_MESSAGE(response["content"].contains(type), target, " ", type);
    Json body_schema = response["content"][type]["schema"];
    body_schema["components"] = document["components"];
    if (body_schema.contains("$ref"))
      body_schema = {{"allOf", {{{"$ref", body_schema["$ref"]}}}}, {"components", document["components"]}};
    const publishing::JsonSchema expected{body_schema};
    CHECK_MESSAGE(expected.accepts(Json::parse(got->block->body)), target, got->block->body);
  };
  site.open.page = {{json_of(here, "2026-01-01", 5)}, {"2026-01-01", here}};
  const std::string row = "/v1/views/open/{site}/{day}";
  conforms(row, "/v1/views/open/" + here + "/2026-01-01");
  conforms("/open/{site}/{day}", "/open/" + here + "/2026-01-01");
  conforms(row, "/v1/views/open/" + here + "/2020-01-01");
  conforms(row, "/v1/views/open/x/2020-01-01");
  conforms(row, "/v1/views/open/" + here + "/2026-01-01?after=t/0@99&wait=0");
  conforms("/v1/views/open", "/v1/views/open?limit=1");
  conforms("/open", "/open");
  conforms("/v1/views/open", "/v1/views/open?limit=0");
  conforms("/v1/views", "/v1/views");
  for (int i = 0; i < 16; ++i) site.begin("/v1/views/open/changes");
  conforms("/v1/views/open/changes", "/v1/views/open/changes");
  site.open.unavailable = Unavailable{};
  conforms("/v1/views/open", "/v1/views/open");
}
