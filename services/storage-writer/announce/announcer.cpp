#include "announce/announcer.hpp"

#include <utility>
#include <vector>

#include <millrace/base/backoff.hpp>

namespace millrace::writer {
namespace {

constexpr std::chrono::seconds kAnswer{10};

}  // namespace

kafka::OutgoingRecord record_of(const std::string& topic, const storage::v1::Progress& progress) {
  return {.topic = topic,
          .key = progress.topic() + "/" + std::to_string(progress.partition()),
          .value = progress.SerializeAsString()};
}

Announcer::Announcer(const kafka::Settings& settings, std::string topic)
    : topic_(std::move(topic)), producer_(settings, kAnswer) {}

Announcer::~Announcer() { stop(); }

void Announcer::start() {
  thread_ = std::jthread([this](const std::stop_token& stop) { run(stop); });
}

void Announcer::stop() {
  if (!thread_.joinable()) return;
  thread_.request_stop();
  thread_.join();
}

void Announcer::publish(storage::v1::Progress progress) {
  const std::scoped_lock lock(mutex_);
  waiting_.insert_or_assign(progress.partition(), std::move(progress));
  changed_.notify_all();
}

void Announcer::forget() {
  const std::scoped_lock lock(mutex_);
  waiting_.clear();
}

bool Announcer::send(Waiting& waiting) {
  std::vector<kafka::OutgoingRecord> records;
  for (const auto& [partition, progress] : waiting) records.push_back(record_of(topic_, progress));
  const auto sent = producer_.send(records);
  if (sent) return true;
  log_.limited(limiter_, observability::Level::kWarn, "answers wait: a position could not be published",
               {{"error", sent.error().message}});
  return false;
}

void Announcer::run(const std::stop_token& stop) {
  Backoff backoff{std::chrono::milliseconds{50}, std::chrono::milliseconds{2'000}};
  Waiting sending;
  while (true) {
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, stop, [this] { return !waiting_.empty(); });
      sending = std::exchange(waiting_, {});
    }
    if (sending.empty()) return;  // stopped
    if (send(sending)) {
      backoff.reset();
      continue;
    }
    if (stop.stop_requested()) return;
    std::unique_lock lock(mutex_);
    waiting_.merge(sending);  // newer ones stay
    changed_.wait_for(lock, stop, backoff.next(), [] { return false; });
  }
}

}  // namespace millrace::writer
