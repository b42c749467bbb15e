#include "mqtt/session_directory.hpp"

#include "mqtt/mqtt_connection.hpp"

namespace millrace::gateway {

std::shared_ptr<MqttConnection> SessionDirectory::enter(const Identity& identity, const std::string& client_id,
                                                        const std::shared_ptr<MqttConnection>& connection) {
  const std::lock_guard lock(mutex_);
  Entry& entry = devices_[identity.key][client_id];
  auto before = entry.connection.lock();
  entry = {connection, connection.get()};
  return before;
}

void SessionDirectory::leave(const Identity& identity, const std::string& client_id, const MqttConnection* connection) {
  const std::lock_guard lock(mutex_);
  const auto device = devices_.find(identity.key);
  if (device == devices_.end()) return;
  const auto entry = device->second.find(client_id);
  if (entry == device->second.end() || entry->second.address != connection) return;
  device->second.erase(entry);
  if (device->second.empty()) devices_.erase(device);
}

std::vector<std::shared_ptr<MqttConnection>> SessionDirectory::of(std::string_view tenant,
                                                                  std::string_view device) const {
  const std::string prefix = std::string(tenant) + "/" + std::string(device);
  const std::lock_guard lock(mutex_);
  std::vector<std::shared_ptr<MqttConnection>> found;
  for (const auto& [key, clients] : devices_) {
    if (device.empty() ? !key.starts_with(prefix) : key != prefix) continue;
    for (const auto& [client_id, entry] : clients) {
      if (auto connection = entry.connection.lock()) found.push_back(std::move(connection));
    }
  }
  return found;
}

std::vector<std::shared_ptr<MqttConnection>> SessionDirectory::all() const {
  const std::lock_guard lock(mutex_);
  std::vector<std::shared_ptr<MqttConnection>> found;
  for (const auto& [key, clients] : devices_) {
    for (const auto& [client_id, entry] : clients) {
      if (auto connection = entry.connection.lock()) found.push_back(std::move(connection));
    }
  }
  return found;
}

}  // namespace millrace::gateway
