#include "producer/session.h"

#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>

#include "kafka/client.h"

namespace daybook::publishing {
namespace {

volatile std::sig_atomic_t interruption_asked = 0;

ProducerSettings producer_settings(const SessionSettings& settings) {
  ProducerSettings made{settings.brokers, kafka::parse_properties(settings.properties)};
  if (made.properties.count("delivery.timeout.ms") == 0) {
    const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(settings.timeout).count();
    made.properties.emplace("message.timeout.ms", std::to_string(ms));
  }
  // What goes wrong is told once, by the command, not again for every attempt of librdkafka to connect.
  made.properties.emplace("log_level", "2");
  return made;
}

}  // namespace

Interruption::Interruption() {
  struct sigaction action {};
  action.sa_handler = [](int) { interruption_asked = 1; };
  action.sa_flags = static_cast<int>(SA_RESETHAND);  // and no SA_RESTART: a blocked read returns
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
}

bool Interruption::asked() { return interruption_asked != 0; }

std::string with_commas(std::uint64_t number) {
  std::string text = std::to_string(number);
  for (std::size_t at = text.size(); at > 3; at -= 3) text.insert(at - 3, 1, ',');
  return text;
}

Progress::Progress()
    : terminal_(isatty(STDERR_FILENO) == 1), started_(std::chrono::steady_clock::now()), due_(started_) {}

double Progress::seconds() const {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - started_).count();
}

void Progress::show(std::uint64_t events) {
  if (!terminal_ || ++calls_ % 64 != 0) return;
  const auto now = std::chrono::steady_clock::now();
  if (now < due_) return;
  due_ = now + std::chrono::milliseconds(250);
  const double rate = static_cast<double>(events) / std::max(seconds(), 0.001);
  std::fprintf(stderr, "\r\033[K%s events, %s/s", with_commas(events).c_str(),
               with_commas(static_cast<std::uint64_t>(rate)).c_str());
  std::fflush(stderr);
  shown_ = true;
}

void Progress::clear() {
  if (!shown_) return;
  std::fputs("\r\033[K", stderr);
  shown_ = false;
}

Session::Session(const SessionSettings& settings) : settings_(settings), producer_(producer_settings(settings)) {
  producer_.connect(settings.timeout);
}

std::int32_t Session::ready(const std::string& topic) {
  const auto known = partitions_.find(topic);
  if (known != partitions_.end()) return known->second;
  if (settings_.create_topics > 0) producer_.create_topic(topic, settings_.create_topics, settings_.timeout);
  try {
    return partitions_[topic] = producer_.partition_count(topic, settings_.timeout);
  } catch (const StopError&) {
    throw StopError("topic " + topic + " does not exist on the broker: create it, or give --create-topics PARTITIONS");
  }
}

void Session::finish(bool json, nlohmann::ordered_json summary) {
  const DeliveryReport report = producer_.flush(settings_.timeout + std::chrono::seconds(5));
  if (json) {
    nlohmann::ordered_json positions = nlohmann::ordered_json::object();
    for (const auto& [partition, next] : report.positions) {
      positions[partition.topic + "/" + std::to_string(partition.partition)] = next;
    }
    nlohmann::ordered_json whole;
    whole["published"] = report.delivered;
    whole.update(summary);
    whole["positions"] = std::move(positions);
    std::printf("%s\n", whole.dump().c_str());
  } else {
    for (const auto& [partition, next] : report.positions) {
      std::printf("%s/%d@%lld\n", partition.topic.c_str(), static_cast<int>(partition.partition),
                  static_cast<long long>(next));
    }
  }
  std::fflush(stdout);
  if (!report.complete()) {
    throw RetryError(with_commas(report.failed + report.pending) + " of " +
                     with_commas(report.delivered + report.failed + report.pending) + " events were not delivered: " +
                     (report.first_failure.empty() ? "the broker does not answer" : report.first_failure));
  }
}

}  // namespace daybook::publishing
