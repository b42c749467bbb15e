#include "mqtt/name_spaces.hpp"

#include <boost/asio/post.hpp>

namespace millrace::gateway {

NameSpace::NameSpace(boost::asio::io_context& timer_thread, const mqtt::BrokerLimits& limits,
                     const std::shared_ptr<mqtt::MemoryShare>& memory)
    : timer_(timer_thread),
      broker_(
          limits,
          [this](const std::string&, const mqtt::MessagePtr& will) { broker_.publish(will, nullptr, Clock::now()); },
          std::make_shared<mqtt::MemoryShare>(memory)) {}

mqtt::Broker::Left NameSpace::disconnect(const mqtt::Session& session, mqtt::Session::Attachment attachment,
                                         mqtt::Broker::Goodbye goodbye) {
  auto left = broker_.disconnect(session, attachment, goodbye, Clock::now());
  const auto due = broker_.deadline();
  if (due && due->time_since_epoch().count() < armed_for_.load()) {
    boost::asio::post(timer_.get_executor(), [this] { arm(); });
  }
  return left;
}

// A disconnect() whose deadline is not seen here comes after the look, so it finds kNever or what is armed, and posts.
void NameSpace::arm() {
  armed_for_.store(kNever);
  const auto due = broker_.deadline();
  if (!due) {
    timer_.cancel();
    return;
  }
  armed_for_.store(due->time_since_epoch().count());
  timer_.expires_at(*due);
  timer_.async_wait([this](const boost::system::error_code& error) {
    if (error) return;
    broker_.on_timer(Clock::now());
    arm();
  });
}

NameSpaces::NameSpaces(IoThreads& threads, const mqtt::BrokerLimits& limits, std::size_t memory_bytes)
    : threads_(threads),
      limits_(limits),
      memory_(std::make_shared<mqtt::MemoryShare>(memory_bytes)),
      strangers_(std::make_shared<mqtt::MemoryShare>(memory_)),
      open_(threads.context(0), limits, memory_) {}

NameSpace& NameSpaces::of_tenant(std::string_view tenant) {
  const std::lock_guard lock(mutex_);
  if (const auto found = tenants_.find(tenant); found != tenants_.end()) return *found->second;
  auto& thread = threads_.context(tenants_.size() % threads_.size());
  return *tenants_.emplace(std::string(tenant), std::make_unique<NameSpace>(thread, limits_, memory_)).first->second;
}

void NameSpaces::report(const GatewayMetrics& metrics) {
  mqtt::Broker::Counts sum = open_.broker().counts();
  {
    const std::lock_guard lock(mutex_);
    for (const auto& [tenant, space] : tenants_) {
      const mqtt::Broker::Counts counts = space->broker().counts();
      sum.sessions += counts.sessions;
      sum.subscriptions += counts.subscriptions;
      sum.retained += counts.retained;
      sum.retained_bytes += counts.retained_bytes;
      sum.delivered += counts.delivered;
      sum.dropped_qos0 += counts.dropped_qos0;
      sum.sessions_overflowed += counts.sessions_overflowed;
      sum.sessions_expired += counts.sessions_expired;
    }
  }
  const auto raise = [](const observability::Counter& counter, std::uint64_t now, std::uint64_t before) {
    counter.add(static_cast<double>(now - before));
  };
  metrics.mqtt_sessions.set(static_cast<double>(sum.sessions));
  metrics.mqtt_subscriptions.set(static_cast<double>(sum.subscriptions));
  metrics.mqtt_retained.set(static_cast<double>(sum.retained));
  metrics.mqtt_retained_bytes.set(static_cast<double>(sum.retained_bytes));
  raise(metrics.mqtt_deliveries, sum.delivered, reported_.delivered);
  raise(metrics.mqtt_dropped_qos0, sum.dropped_qos0, reported_.dropped_qos0);
  raise(metrics.mqtt_sessions_overflowed, sum.sessions_overflowed, reported_.sessions_overflowed);
  raise(metrics.mqtt_sessions_expired, sum.sessions_expired, reported_.sessions_expired);
  reported_ = sum;
  metrics.mqtt_memory_bytes.set(static_cast<double>(memory_->used()));
  const std::uint64_t refusals = memory_->refused();
  raise(metrics.mqtt_memory_refused, refusals, reported_refusals_);
  reported_refusals_ = refusals;
}

}  // namespace millrace::gateway
