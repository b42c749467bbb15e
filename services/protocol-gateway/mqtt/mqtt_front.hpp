#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <millrace/base/address.hpp>

#include "mqtt/mqtt_listener.hpp"

namespace millrace::gateway {

/// The listeners of devices beside plain TCP: TLS, WebSocket and secure WebSocket, each where an address is given.
class MqttFront {
 public:
  /// `listening` is what they have in common; `mqtt` and `http` are the TLS contexts with those protocols in ALPN (a
  /// WebSocket begins as HTTP), null without certificates. `context` must outlive it and the threads.
  MqttFront(MqttContext& context, MqttListenerOptions listening, std::shared_ptr<const tls::ServerContext> mqtt,
            std::shared_ptr<const tls::ServerContext> http);

  [[nodiscard]] Status start(const std::optional<Address>& mqtts, const std::optional<Address>& ws,
                             const std::optional<Address>& wss);
  /// No new connections. Any thread.
  void stop_accepting();
  /// No new connections, and nothing more is read from the open ones. Any thread.
  void stop_intake();

  /// Of a listener that is on.
  [[nodiscard]] const Address& address(MqttTransport transport) const { return find(transport)->address(); }
  /// Its address, or `off`.
  [[nodiscard]] std::string text(MqttTransport transport) const;

 private:
  struct On {
    MqttTransport transport;
    std::unique_ptr<MqttListener> listener;
  };

  [[nodiscard]] Status listen(MqttTransport transport, const std::optional<Address>& address);
  [[nodiscard]] const MqttListener* find(MqttTransport transport) const;

  MqttContext& context_;
  MqttListenerOptions listening_;
  std::shared_ptr<const tls::ServerContext> mqtt_;
  std::shared_ptr<const tls::ServerContext> http_;
  std::vector<On> on_;
};

}  // namespace millrace::gateway
