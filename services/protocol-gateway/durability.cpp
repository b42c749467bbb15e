#include "durability.hpp"

#include <array>
#include <condition_variable>

#include <millrace/base/backoff.hpp>
#include <millrace/kafka/admin.hpp>

namespace millrace::gateway {
namespace {

using std::chrono::milliseconds;

}  // namespace

Durability::Durability(kafka::Settings settings, std::string topic)
    : settings_(std::move(settings)), topic_(std::move(topic)) {}

void Durability::start() {
  thread_ = std::jthread([this](const std::stop_token& stop) { learn(stop); });
}

void Durability::stop() { thread_ = std::jthread{}; }

std::string Durability::text() const {
  const std::lock_guard lock(mutex_);
  return text_;
}

void Durability::learn(const std::stop_token& stop) {
  kafka::Admin admin(settings_);
  Backoff backoff(milliseconds{500}, milliseconds{10'000});
  const std::array names{topic_};
  std::mutex sleep;
  std::condition_variable_any wake;
  while (!stop.stop_requested()) {
    const auto found = admin.describe(names, milliseconds{5000});
    if (found.ok() && !found->empty()) {
      const std::string text = found->front().durability();
      log_.info("what an acknowledgement survives", {{"topic", topic_}, {"durability", text}});
      const std::lock_guard lock(mutex_);
      text_ = text;
      return;
    }
    std::unique_lock lock(sleep);
    wake.wait_for(lock, stop, backoff.next(), [] { return false; });
  }
}

}  // namespace millrace::gateway
