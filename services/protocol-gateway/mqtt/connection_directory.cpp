#include "mqtt/connection_directory.hpp"

#include "mqtt/mqtt_connection.hpp"

namespace millrace::gateway {

void ConnectionDirectory::enter(const std::string& key, const std::shared_ptr<MqttConnection>& connection) {
  const std::lock_guard lock(mutex_);
  devices_[key][connection.get()] = connection;
}

void ConnectionDirectory::leave(const std::string& key, const MqttConnection* connection) {
  const std::lock_guard lock(mutex_);
  const auto device = devices_.find(key);
  if (device == devices_.end()) return;
  device->second.erase(connection);
  if (device->second.empty()) devices_.erase(device);
}

std::vector<std::shared_ptr<MqttConnection>> ConnectionDirectory::of(std::string_view tenant,
                                                                     std::string_view device) const {
  const std::string prefix = std::string(tenant) + "/" + std::string(device);
  std::vector<std::shared_ptr<MqttConnection>> found;
  const auto add = [&](const Connections& connections) {
    for (const auto& [address, weak] : connections) {
      if (auto connection = weak.lock()) found.push_back(std::move(connection));
    }
  };
  const std::lock_guard lock(mutex_);
  if (!device.empty()) {
    if (const auto one = devices_.find(prefix); one != devices_.end()) add(one->second);
    return found;
  }
  for (const auto& [key, connections] : devices_) {
    if (key.starts_with(prefix)) add(connections);
  }
  return found;
}

std::vector<std::shared_ptr<MqttConnection>> ConnectionDirectory::all() const {
  const std::lock_guard lock(mutex_);
  std::vector<std::shared_ptr<MqttConnection>> found;
  for (const auto& [key, connections] : devices_) {
    for (const auto& [address, weak] : connections) {
      if (auto connection = weak.lock()) found.push_back(std::move(connection));
    }
  }
  return found;
}

}  // namespace millrace::gateway
