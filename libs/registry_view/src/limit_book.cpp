#include "limit_book.hpp"

#include <iterator>
#include <mutex>
#include <utility>

namespace millrace::registry_view {
namespace {

void take_limited(const Rate& from, Rate& to) {
  if (from.limited()) to = from;
}

LimitsPtr merged(const LimitsPtr& device_default, const Limits& own) {
  Limits limits = device_default ? *device_default : Limits{};
  take_limited(own.messages, limits.messages);
  take_limited(own.bytes, limits.bytes);
  take_limited(own.points, limits.points);
  take_limited(own.connects, limits.connects);
  if (own.connections != 0) limits.connections = own.connections;
  return std::make_shared<const Limits>(limits);
}

}  // namespace

LimitBook::Tenant& LimitBook::tenant(std::string_view name) {
  const auto found = tenants_.find(name);
  return found != tenants_.end() ? found->second : tenants_[std::string(name)];
}

void LimitBook::put_tenant(std::string_view name, LimitsPtr total, LimitsPtr device_default) {
  const std::unique_lock lock(mutex_);
  Tenant& entry = tenant(name);
  entry.total = std::move(total);
  entry.device_default = std::move(device_default);
  entry.reload = reload_;
  changed();
}

void LimitBook::put_device(std::string_view name, std::string_view device, LimitsPtr own) {
  const std::unique_lock lock(mutex_);
  tenant(name).devices.insert_or_assign(std::string(device), Own{std::move(own), reload_});
  changed();
}

void LimitBook::remove(std::string_view name, std::string_view device) {
  const std::unique_lock lock(mutex_);
  const auto found = tenants_.find(name);
  if (found == tenants_.end()) return;
  Tenant& entry = found->second;
  if (device.empty()) {
    entry.total = entry.device_default = nullptr;
  } else if (const auto own = entry.devices.find(device); own != entry.devices.end()) {
    entry.devices.erase(own);
  }
  if (entry.empty()) tenants_.erase(found);
  changed();
}

void LimitBook::end_reload() {
  const std::unique_lock lock(mutex_);
  for (auto next = tenants_.begin(); next != tenants_.end();) {
    Tenant& entry = next->second;
    if (entry.reload != reload_) entry.total = entry.device_default = nullptr;
    std::erase_if(entry.devices, [this](const auto& own) { return own.second.reload != reload_; });
    next = entry.empty() ? tenants_.erase(next) : std::next(next);
  }
  changed();
}

LimitsOf LimitBook::of(std::string_view name, std::string_view device) const {
  const std::shared_lock lock(mutex_);
  const auto found = tenants_.find(name);
  if (found == tenants_.end()) return {};
  const Tenant& entry = found->second;
  const auto own = entry.devices.find(device);
  if (own == entry.devices.end()) return {entry.total, entry.device_default};
  return {entry.total, merged(entry.device_default, *own->second.limits)};
}

}  // namespace millrace::registry_view
