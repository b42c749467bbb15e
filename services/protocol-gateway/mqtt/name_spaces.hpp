#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include <millrace/mqtt/broker.hpp>

#include "gateway_metrics.hpp"
#include "ingest/metric_names.hpp"
#include "io/io_threads.hpp"

namespace millrace::gateway {

/// The sessions, subscriptions and retained messages of one tenant, or of the open listener: a broker and the timer
/// that it needs. Thread-safe. Must outlive the threads' running and end before the io_contexts do.
class NameSpace {
 public:
  /// `memory`: of all name spaces, of which this one takes a share. Wills that name no sink go to the subscribers of
  /// this name space.
  NameSpace(boost::asio::io_context& timer_thread, const mqtt::BrokerLimits& limits,
            const std::shared_ptr<mqtt::MemoryShare>& memory);
  NameSpace(const NameSpace&) = delete;
  NameSpace& operator=(const NameSpace&) = delete;

  /// For everything but disconnect().
  [[nodiscard]] mqtt::Broker& broker() { return broker_; }
  [[nodiscard]] const mqtt::Broker& broker() const { return broker_; }

  /// Broker::disconnect(); the timer then keeps what is due later.
  mqtt::Broker::Left disconnect(const mqtt::Session& session, mqtt::Session::Attachment attachment,
                                mqtt::Broker::Goodbye goodbye);

 private:
  using Clock = std::chrono::steady_clock;
  static constexpr Clock::rep kNever = Clock::time_point::max().time_since_epoch().count();

  void arm();

  boost::asio::steady_timer timer_;            // its thread only
  std::atomic<Clock::rep> armed_for_{kNever};  // the timer looks at the broker's deadline then at the latest
  mqtt::Broker broker_;
};

/// All name spaces of this gateway; a tenant's is made when its first connection comes. Thread-safe.
class NameSpaces {
 public:
  /// `limits` are of each, `memory_bytes` of all together. `threads` must outlive it.
  NameSpaces(IoThreads& threads, const mqtt::BrokerLimits& limits, std::size_t memory_bytes);

  [[nodiscard]] NameSpace& of_tenant(std::string_view tenant);
  [[nodiscard]] NameSpace& open() { return open_; }
  /// Of the same memory, for who was not let in yet.
  [[nodiscard]] const std::shared_ptr<mqtt::MemoryShare>& strangers() const { return strangers_; }

  /// Brings the metrics up to date. One call at a time.
  void report(const GatewayMetrics& metrics);

 private:
  IoThreads& threads_;
  mqtt::BrokerLimits limits_;
  std::shared_ptr<mqtt::MemoryShare> memory_;
  std::shared_ptr<mqtt::MemoryShare> strangers_;
  NameSpace open_;
  std::mutex mutex_;
  std::unordered_map<std::string, std::unique_ptr<NameSpace>, StringHash, std::equal_to<>> tenants_;
  mqtt::Broker::Counts reported_;
  std::uint64_t reported_refusals_ = 0;
};

}  // namespace millrace::gateway
