// The texts of /livez, /readyz, /healthz and /metrics from a given status.
#include "ops/endpoint.h"

#include <doctest/doctest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

using namespace daybook;
using namespace std::chrono_literals;
using nlohmann::json;

namespace {

ops::Worker worker_with_two_views() {
  ops::Worker worker;
  worker.version = "1.2.3";
  worker.now = std::chrono::steady_clock::time_point(1000s);
  worker.process = {1.5, 4096, 8192, 1.7e9, 12, 1024};
  ViewStatus stock;
  stock.view = "stock";
  stock.state = ViewStatus::State::reading;
  stock.reason = "";
  stock.stepped_at = worker.now - 50ms;
  stock.committed_at = worker.now - 2500ms;
  stock.partitions = {{{"events", 0}, 100, 140}, {{"events", 1}, 7, std::nullopt}};
  stock.counters.applied_events = 5'000'000'001;
  stock.counters.duplicates = 3;
  stock.counters.dead_letters_by_code["member"] = 2;
  stock.commits.seconds.observe(0.002);
  stock.commits.seconds.observe(0.004);
  stock.commits.seconds.observe(60);
  stock.database_connected = true;
  stock.fingerprints = 10;
  stock.window_events = 20'000'000;
  stock.window_age = 90min;
  ViewStatus other;
  other.view = "a \"b\"\\";
  other.state = ViewStatus::State::paused;
  other.reason = "600 of the last 1000 events\ncan't be applied \"now\"";
  other.stepped_at = worker.now;
  worker.views = {stock, other};
  return worker;
}

// The value of one sample, by its name and labels as written.
std::string sample(const std::string& text, const std::string& name) {
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (line.rfind(name + " ", 0) == 0) return line.substr(name.size() + 1);
  }
  return "<none>";
}

}  // namespace

TEST_CASE("ready when every view reads or stands by") {
  ops::Worker worker = worker_with_two_views();
  worker.views.pop_back();
  CHECK(ops::readyz(worker).status == 200);
  worker.views[0].state = ViewStatus::State::standby;
  CHECK(ops::readyz(worker).status == 200);
  for (const auto state : {ViewStatus::State::starting, ViewStatus::State::waiting, ViewStatus::State::paused}) {
    worker.views[0].state = state;
    CHECK(ops::readyz(worker).status == 503);
  }
}

TEST_CASE("not ready names each view that does not read, and why") {
  ops::Worker worker = worker_with_two_views();
  worker.views.push_back(worker.views[1]);
  worker.views[2].view = "third";
  worker.views[2].state = ViewStatus::State::waiting;
  worker.views[2].reason = "database: connection refused";
  const http::Response response = ops::readyz(worker);
  CHECK(response.status == 503);
  CHECK(response.content_type == "application/problem+json");
  const json body = json::parse(response.body);
  CHECK(body["status"] == 503);
  CHECK(body["title"] == "Service Unavailable");
  CHECK(body["detail"].get<std::string>().find("third is waiting: database: connection refused") != std::string::npos);
  CHECK(body["views"] == json::parse(R"([
    {"view": "a \"b\"\\", "state": "paused", "reason": "600 of the last 1000 events\ncan't be applied \"now\""},
    {"view": "third", "state": "waiting", "reason": "database: connection refused"}])"));
}

TEST_CASE("a loop without steps is first not ready, then not alive") {
  ops::Worker worker = worker_with_two_views();
  worker.views.pop_back();
  worker.views[0].stepped_at = worker.now - ops::ready_within - 1s;
  CHECK(ops::readyz(worker).status == 503);
  CHECK(ops::livez(worker).status == 200);
  worker.views[0].stepped_at = worker.now - ops::live_within - 1s;
  CHECK(ops::livez(worker).status == 503);
  CHECK(json::parse(ops::livez(worker).body)["views"][0]["view"] == "stock");
}

TEST_CASE("paused or waiting is alive") {
  ops::Worker worker = worker_with_two_views();
  worker.views[0].state = ViewStatus::State::waiting;
  CHECK(ops::livez(worker).status == 200);
}

TEST_CASE("healthz tells all of it") {
  const http::Response response = ops::healthz(worker_with_two_views());
  CHECK(response.status == 200);
  const json body = json::parse(response.body);
  CHECK(body["ready"] == false);
  CHECK(body["version"] == "1.2.3");
  CHECK(body["views"][0]["ready"] == true);
  CHECK(body["views"][0]["lag_records"].is_null());  // one partition's end is not known
  CHECK(body["views"][0]["last_commit_age_seconds"] == 2.5);
  CHECK(body["views"][0]["partitions"][0] ==
        json::parse(R"({"topic": "events", "partition": 0, "next_offset": 100, "lag_records": 40})"));
  CHECK(body["views"][0]["partitions"][1]["lag_records"].is_null());
  CHECK(body["views"][1]["state"] == "paused");
  CHECK(body["views"][1]["last_commit_age_seconds"].is_null());
}

TEST_CASE("metrics") {
  const http::Response response = ops::metrics(worker_with_two_views());
  CHECK(response.content_type == "text/plain; version=0.0.4; charset=utf-8");
  const std::string& text = response.body;
  // Counters above what a float or six digits hold keep every digit.
  CHECK(sample(text, R"(daybook_events_applied_total{view="stock"})") == "5000000001");
  CHECK(sample(text, R"(daybook_dead_letters_total{view="stock",code="member"})") == "2");
  CHECK(sample(text, R"(daybook_dead_letters_total{view="stock",code="range"})") == "0");
  CHECK(sample(text, R"(daybook_paused{view="stock"})") == "0");
  CHECK(sample(text, R"(daybook_paused{view="a \"b\"\\"})") == "1");
  CHECK(sample(text, R"(daybook_ready{view="stock"})") == "1");
  CHECK(sample(text, R"(daybook_next_offset{view="stock",topic="events",partition="1"})") == "7");
  CHECK(sample(text, R"(daybook_lag_records{view="stock",topic="events",partition="0"})") == "40");
  CHECK(sample(text, R"(daybook_lag_records{view="stock",topic="events",partition="1"})") == "<none>");
  CHECK(sample(text, R"(daybook_commit_duration_seconds_bucket{view="stock",le="0.002"})") == "1");
  CHECK(sample(text, R"(daybook_commit_duration_seconds_bucket{view="stock",le="0.005"})") == "2");
  CHECK(sample(text, R"(daybook_commit_duration_seconds_bucket{view="stock",le="30"})") == "2");
  CHECK(sample(text, R"(daybook_commit_duration_seconds_bucket{view="stock",le="+Inf"})") == "3");
  CHECK(sample(text, R"(daybook_commit_duration_seconds_count{view="stock"})") == "3");
  CHECK(sample(text, R"(daybook_last_commit_age_seconds{view="stock"})") == "2.5");
  CHECK(sample(text, R"(daybook_last_commit_age_seconds{view="a \"b\"\\"})") == "<none>");
  CHECK(sample(text, R"(daybook_deduplication_window_seconds{view="stock"})") == "5400");
  CHECK(sample(text, R"(daybook_build_info{version="1.2.3"})") == "1");
  CHECK(sample(text, "process_cpu_seconds_total") == "1.5");
  CHECK(text.find("600 of the last") == std::string::npos);  // reasons are no labels
}

TEST_CASE("every metric is in the docs, and every one in the docs exists") {
  std::set<std::string> served, documented;
  std::istringstream lines(ops::metrics(worker_with_two_views()).body);
  for (std::string line; std::getline(lines, line);) {
    if (line.rfind("# TYPE ", 0) == 0) served.insert(line.substr(7, line.find(' ', 7) - 7));
  }
  std::ifstream page(DAYBOOK_SOURCE_DIR "/docs/operations.md");
  for (std::string line; std::getline(page, line) && line != "## Metrics of a reader";) {
    if (line.rfind("| `daybook_", 0) == 0 || line.rfind("| `process_", 0) == 0) {
      documented.insert(line.substr(3, line.find_first_of("`{", 3) - 3));
    }
  }
  CHECK(served == documented);
}

TEST_CASE("paths") {
  const ops::Worker worker = worker_with_two_views();
  for (const char* path : {"/livez", "/healthz", "/metrics"})
    CHECK(ops::answer({"GET", path, ""}, worker).status == 200);
  CHECK(ops::answer({"GET", "/readyz", "verbose"}, worker).status == 503);
  for (const char* path :
       {"/", "/metrics/", "//metrics", "/../metrics", "/%6detrics", "/Metrics", "/metrics/../livez"}) {
    CAPTURE(path);
    CHECK(ops::answer({"GET", path, ""}, worker).status == 404);
  }
}

TEST_CASE("the process's own figures") {
  const ops::ProcessFigures figures = ops::process_figures();
  CHECK(figures.resident_bytes > 1'000'000);
  CHECK(figures.virtual_bytes >= figures.resident_bytes);
  CHECK(figures.open_files >= 3);
  CHECK(figures.open_files_max >= figures.open_files);
  const double now = std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
  CHECK(figures.start_time > now - 600);
  CHECK(figures.start_time <= now + 1);
}
