#include "identity/children.hpp"

#include <utility>

#include <millrace/base/ids.hpp>

#include "mqtt/topic_rights.hpp"

namespace millrace::gateway {
namespace {

std::shared_ptr<const Identity> made(const Identity& parent, registry_view::Device device) {
  std::string key = record_key(device.tenant, device.device);
  return std::make_shared<const Identity>(Identity{std::move(device), parent.proof, std::move(key)});
}

}  // namespace

std::shared_ptr<const Identity> child_identity(const registry_view::RegistryView& registry, const Identity& parent,
                                               std::string_view child) {
  auto device = registry.find(parent.device.tenant, child);
  if (!device || !device->enabled) return nullptr;
  return made(parent, std::move(*device));
}

std::shared_ptr<const Identity> speaks_as(const registry_view::RegistryView& registry,
                                          const std::shared_ptr<const Identity>& sender, std::string_view device) {
  const registry_view::Device& own = sender->device;
  if (device.empty() || device == own.device) return sender;
  if (!TopicRights::of(registry, own.tenant, own.device).speaks_for(device)) return nullptr;
  return child_identity(registry, *sender, device);
}

std::shared_ptr<const Identity> Children::find(const registry_view::RegistryView& registry, const Identity& parent,
                                               std::string_view child) {
  auto device = registry.find(parent.device.tenant, child);
  if (!device || !device->enabled) return nullptr;
  const auto known = known_.find(child);
  if (known != known_.end() && known->second->device.device_key == device->device_key) return known->second;
  if (known_.size() >= kMost) known_.clear();
  return known_.insert_or_assign(std::string(child), made(parent, std::move(*device))).first->second;
}

}  // namespace millrace::gateway
