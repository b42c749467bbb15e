#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "ingest/message.hpp"

namespace millrace::gateway {

class MqttConnection;

/// The live connections by (tenant, device, client id): one each, so that a newcomer takes over from an older
/// connection (MQTT-3.1.4-3), and nobody takes over another device's. Thread-safe.
class SessionDirectory {
 public:
  /// Registers the connection and returns the one it takes over from, if that is still there.
  [[nodiscard]] std::shared_ptr<MqttConnection> enter(const Identity& identity, const std::string& client_id,
                                                      const std::shared_ptr<MqttConnection>& connection);
  /// Forgets the connection unless another one has taken its place.
  void leave(const Identity& identity, const std::string& client_id, const MqttConnection* connection);

  /// Connections of one device, or of all devices of a tenant if `device` is empty.
  [[nodiscard]] std::vector<std::shared_ptr<MqttConnection>> of(std::string_view tenant, std::string_view device) const;
  [[nodiscard]] std::vector<std::shared_ptr<MqttConnection>> all() const;

 private:
  struct Entry {
    std::weak_ptr<MqttConnection> connection;
    const MqttConnection* address = nullptr;
  };
  using Clients = std::unordered_map<std::string, Entry>;  // by client id

  mutable std::mutex mutex_;
  std::unordered_map<std::string, Clients> devices_;  // by record key
};

}  // namespace millrace::gateway
