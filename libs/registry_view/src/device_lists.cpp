#include "device_lists.hpp"

#include <mutex>

namespace millrace::registry_view {

void DeviceLists::add(std::string_view tenant, std::int32_t device_key) {
  if (!keeps_) return;
  const std::unique_lock lock(mutex_);
  auto found = keys_.find(tenant);
  if (found == keys_.end()) found = keys_.emplace(std::string(tenant), std::set<std::int32_t>{}).first;
  // Keys are drawn ascending, so that the end is where most of them belong.
  found->second.insert(found->second.end(), device_key);
}

void DeviceLists::remove(std::string_view tenant, std::int32_t device_key) {
  if (!keeps_) return;
  const std::unique_lock lock(mutex_);
  const auto found = keys_.find(tenant);
  if (found == keys_.end()) return;
  found->second.erase(device_key);
  if (found->second.empty()) keys_.erase(found);
}

std::vector<std::int32_t> DeviceLists::after(std::string_view tenant, std::int32_t key, std::size_t most) const {
  std::vector<std::int32_t> page;
  const std::shared_lock lock(mutex_);
  const auto found = keys_.find(tenant);
  if (found == keys_.end()) return page;
  for (auto next = found->second.upper_bound(key); next != found->second.end() && page.size() < most; ++next) {
    page.push_back(*next);
  }
  return page;
}

}  // namespace millrace::registry_view
