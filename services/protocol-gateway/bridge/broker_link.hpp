#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "bridge/bridge_config.hpp"
#include "bridge/bridge_metrics.hpp"

namespace millrace::gateway {

/// A message as a broker delivered it. The views hold during the call only.
struct BrokerMessage {
  std::string_view topic;
  std::string_view payload;
  std::uint8_t qos = 0;
  bool retained = false;
  bool repeated = false;  ///< DUP
  std::string_view content_type;
  std::string_view message_id;   ///< user property `message-id`
  std::string_view traceparent;  ///< valid or empty
};

/// The client of one broker (Eclipse Paho): keeps a session there, subscribes, connects again whenever the connection
/// is lost, with back-off and circuit breaker.
///
/// The broker gets its acknowledgement (PUBACK, PUBREC) when the callback returns: before that the message must be
/// kept. All links of a process share one receiving thread, so a callback that blocks holds up all of them, and a
/// broker whose client is silent for longer than 1.5 times keep-alive ends the connection.
class BrokerLink {
 public:
  /// Must not throw. Comes on Paho's thread, one call at a time over all links.
  using OnMessage = std::function<void(const BrokerMessage&)>;

  /// `folder` holds what Paho must remember of QoS 2 over the end of the process. Throws std::exception where Paho
  /// cannot make a client.
  BrokerLink(const BridgeBroker& broker, const std::string& folder, OnMessage on_message,
             const BridgeBrokerMetrics& metrics);
  ~BrokerLink();  ///< stop()
  BrokerLink(const BrokerLink&) = delete;
  BrokerLink& operator=(const BrokerLink&) = delete;

  /// Connects in the background, for as long as it takes.
  void start();
  /// No callback runs afterwards. Waits for one that is running.
  void stop();

  /// One sentence for /readyz. Thread-safe.
  [[nodiscard]] std::string detail() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace millrace::gateway
