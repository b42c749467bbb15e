#include "mqtt/connection_directory.hpp"

#include "mqtt/mqtt_connection.hpp"

namespace millrace::gateway {
namespace {

template <typename Connections>
void add_live(const Connections& connections, std::vector<std::shared_ptr<MqttConnection>>& to) {
  for (const auto& [address, weak] : connections) {
    if (auto connection = weak.lock()) to.push_back(std::move(connection));
  }
}

template <typename Table>
void erase_from(Table& table, const std::string& key, const MqttConnection* connection) {
  const auto found = table.find(key);
  if (found == table.end()) return;
  found->second.erase(connection);
  if (found->second.empty()) table.erase(found);
}

}  // namespace

void ConnectionDirectory::enter(const std::string& key, const std::shared_ptr<MqttConnection>& connection) {
  const std::lock_guard lock(mutex_);
  devices_[key][connection.get()] = connection;
}

void ConnectionDirectory::leave(const std::string& key, const MqttConnection* connection) {
  const std::lock_guard lock(mutex_);
  erase_from(devices_, key, connection);
  erase_from(hearing_others_, key.substr(0, key.find('/')), connection);
}

std::vector<std::shared_ptr<MqttConnection>> ConnectionDirectory::of(std::string_view tenant,
                                                                     std::string_view device) const {
  const std::string prefix = std::string(tenant) + "/" + std::string(device);
  std::vector<std::shared_ptr<MqttConnection>> found;
  const std::lock_guard lock(mutex_);
  if (!device.empty()) {
    if (const auto one = devices_.find(prefix); one != devices_.end()) add_live(one->second, found);
    return found;
  }
  for (const auto& [key, connections] : devices_) {
    if (key.starts_with(prefix)) add_live(connections, found);
  }
  return found;
}

std::vector<std::shared_ptr<MqttConnection>> ConnectionDirectory::all() const {
  const std::lock_guard lock(mutex_);
  std::vector<std::shared_ptr<MqttConnection>> found;
  for (const auto& [key, connections] : devices_) add_live(connections, found);
  return found;
}

void ConnectionDirectory::hears_others(const std::string& tenant, const std::shared_ptr<MqttConnection>& connection) {
  const std::lock_guard lock(mutex_);
  hearing_others_[tenant][connection.get()] = connection;
}

std::vector<std::shared_ptr<MqttConnection>> ConnectionDirectory::hearing_others(const std::string& tenant) const {
  const std::lock_guard lock(mutex_);
  std::vector<std::shared_ptr<MqttConnection>> found;
  if (const auto those = hearing_others_.find(tenant); those != hearing_others_.end()) add_live(those->second, found);
  return found;
}

}  // namespace millrace::gateway
