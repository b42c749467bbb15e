#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace millrace::gateway {

class MqttConnection;

/// The live connections by the device that they were let in for: whom a revocation or the end of the gateway concerns.
/// Thread-safe.
class ConnectionDirectory {
 public:
  /// `key` is the device's record key; empty: a connection of nobody in particular.
  void enter(const std::string& key, const std::shared_ptr<MqttConnection>& connection);
  void leave(const std::string& key, const MqttConnection* connection);

  /// Connections of one device, or of all devices of a tenant if `device` is empty.
  [[nodiscard]] std::vector<std::shared_ptr<MqttConnection>> of(std::string_view tenant, std::string_view device) const;
  [[nodiscard]] std::vector<std::shared_ptr<MqttConnection>> all() const;

  /// A connection that has entered, of this tenant, hears or asks to hear what is meant for another device.
  void hears_others(const std::string& tenant, const std::shared_ptr<MqttConnection>& connection);
  /// All of these that the tenant has.
  [[nodiscard]] std::vector<std::shared_ptr<MqttConnection>> hearing_others(const std::string& tenant) const;

 private:
  using Connections = std::unordered_map<const MqttConnection*, std::weak_ptr<MqttConnection>>;

  mutable std::mutex mutex_;
  std::unordered_map<std::string, Connections> devices_;
  std::unordered_map<std::string, Connections> hearing_others_;  // by tenant
};

}  // namespace millrace::gateway
