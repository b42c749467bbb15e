#include "grant_book.hpp"

#include <iterator>
#include <mutex>
#include <utility>

namespace millrace::registry_view {

GrantBook::Tenants::iterator GrantBook::tenant(std::string_view name) {
  const auto found = tenants_.find(name);
  return found != tenants_.end() ? found : tenants_.emplace(std::string(name), Tenant{}).first;
}

void GrantBook::index(const Tenants::value_type& tenant, const Devices::value_type& device) {
  for (const Credential& credential : device.second.grants->credentials) {
    if (credential.kind != CredentialKind::kPassword) by_digest_.emplace(credential.digest, Place{&tenant, &device});
  }
}

void GrantBook::unindex(const Devices::value_type& device) {
  for (const Credential& credential : device.second.grants->credentials) {
    auto [next, end] = by_digest_.equal_range(credential.digest);
    while (next != end) next = next->second.device == &device ? by_digest_.erase(next) : std::next(next);
  }
}

void GrantBook::unindex(const AuthorityPtr& authority) {
  auto [next, end] = by_subject_.equal_range(authority->certificate.subject());
  while (next != end) next = next->second == authority ? by_subject_.erase(next) : std::next(next);
}

void GrantBook::drop_if_empty(Tenants::iterator tenant) {
  if (tenant->second.empty()) tenants_.erase(tenant);
}

void GrantBook::changed() { generation_.fetch_add(1, std::memory_order_release); }

void GrantBook::put_device(std::string_view name, std::string_view device, DeviceGrantsPtr grants) {
  const std::unique_lock lock(mutex_);
  const auto owner = tenant(name);
  const auto [own, added] = owner->second.devices.try_emplace(std::string(device));
  if (added) {
    devices_.fetch_add(1, std::memory_order_relaxed);
  } else {
    unindex(*own);
  }
  own->second = {std::move(grants), reload_};
  index(*owner, *own);
  changed();
}

void GrantBook::put_authority(AuthorityPtr authority) {
  const std::unique_lock lock(mutex_);
  Known& known = tenant(authority->tenant)->second.authorities[authority->name];
  if (known.authority) {
    unindex(known.authority);
  } else {
    authorities_.fetch_add(1, std::memory_order_relaxed);
  }
  by_subject_.emplace(authority->certificate.subject(), authority);
  known = {std::move(authority), reload_};
  changed();
}

void GrantBook::put_policy(std::string_view name, TenantPolicyPtr policy) {
  const std::unique_lock lock(mutex_);
  Tenant& owner = tenant(name)->second;
  owner.policy = std::move(policy);
  owner.reload = reload_;
  changed();
}

void GrantBook::remove_device(std::string_view name, std::string_view device) {
  const std::unique_lock lock(mutex_);
  const auto owner = tenants_.find(name);
  if (owner == tenants_.end()) return;
  const auto own = owner->second.devices.find(device);
  if (own == owner->second.devices.end()) return;
  unindex(*own);
  owner->second.devices.erase(own);
  devices_.fetch_sub(1, std::memory_order_relaxed);
  drop_if_empty(owner);
  changed();
}

void GrantBook::remove_authority(std::string_view tenant, std::string_view name) {
  const std::unique_lock lock(mutex_);
  const auto owner = tenants_.find(tenant);
  if (owner == tenants_.end()) return;
  const auto known = owner->second.authorities.find(name);
  if (known == owner->second.authorities.end()) return;
  unindex(known->second.authority);
  owner->second.authorities.erase(known);
  authorities_.fetch_sub(1, std::memory_order_relaxed);
  drop_if_empty(owner);
  changed();
}

void GrantBook::remove_policy(std::string_view tenant) {
  const std::unique_lock lock(mutex_);
  const auto owner = tenants_.find(tenant);
  if (owner == tenants_.end() || !owner->second.policy) return;
  owner->second.policy = nullptr;
  drop_if_empty(owner);
  changed();
}

std::vector<GrantBook::Changed> GrantBook::end_reload() {
  std::vector<Changed> stale_devices;
  std::vector<Changed> stale_authorities;
  std::vector<Changed> stale_policies;
  {
    const std::shared_lock lock(mutex_);
    for (const auto& [name, owner] : tenants_) {
      for (const auto& [device, own] : owner.devices) {
        if (own.reload != reload_) stale_devices.push_back({name, device});
      }
      for (const auto& [authority, known] : owner.authorities) {
        if (known.reload != reload_) stale_authorities.push_back({name, authority});
      }
      if (owner.policy && owner.reload != reload_) stale_policies.push_back({name, ""});
    }
  }
  for (const auto& [name, device] : stale_devices) remove_device(name, device);
  for (auto& [name, authority] : stale_authorities) {
    remove_authority(name, authority);
    stale_policies.push_back({std::move(name), ""});
  }
  for (const auto& [name, device] : stale_policies) {
    // Of the tenants whose authorities went the policy may be a fresh one.
    const std::unique_lock lock(mutex_);
    const auto owner = tenants_.find(name);
    if (owner != tenants_.end() && owner->second.policy && owner->second.reload != reload_) {
      owner->second.policy = nullptr;
      drop_if_empty(owner);
    }
  }
  changed();
  stale_devices.insert(stale_devices.end(), std::make_move_iterator(stale_policies.begin()),
                       std::make_move_iterator(stale_policies.end()));
  return stale_devices;
}

DeviceGrantsPtr GrantBook::grants(std::string_view name, std::string_view device) const {
  const std::shared_lock lock(mutex_);
  const auto owner = tenants_.find(name);
  if (owner == tenants_.end()) return nullptr;
  const auto own = owner->second.devices.find(device);
  return own == owner->second.devices.end() ? nullptr : own->second.grants;
}

TenantPolicyPtr GrantBook::policy(std::string_view tenant) const {
  const std::shared_lock lock(mutex_);
  const auto owner = tenants_.find(tenant);
  return owner == tenants_.end() ? nullptr : owner->second.policy;
}

AuthorityPtr GrantBook::authority(std::string_view tenant, std::string_view name) const {
  const std::shared_lock lock(mutex_);
  const auto owner = tenants_.find(tenant);
  if (owner == tenants_.end()) return nullptr;
  const auto known = owner->second.authorities.find(name);
  return known == owner->second.authorities.end() ? nullptr : known->second.authority;
}

std::vector<AuthorityPtr> GrantBook::authorities(std::string_view tenant, std::string_view subject) const {
  std::vector<AuthorityPtr> found;
  const std::shared_lock lock(mutex_);
  const auto [begin, end] = by_subject_.equal_range(subject);
  for (auto next = begin; next != end; ++next) {
    if (tenant.empty() || next->second->tenant == tenant) found.push_back(next->second);
  }
  return found;
}

std::vector<Holder> GrantBook::holders(const Sha256& digest, CredentialKind kind) const {
  std::vector<Holder> found;
  const std::shared_lock lock(mutex_);
  const auto [begin, end] = by_digest_.equal_range(digest);
  for (auto next = begin; next != end && found.size() < kMostHolders; ++next) {
    const auto& [tenant, device] = next->second;
    for (const Credential& credential : device->second.grants->credentials) {
      if (credential.kind != kind || credential.digest != digest) continue;
      found.push_back({tenant->first, device->first, credential});
      break;
    }
  }
  return found;
}

}  // namespace millrace::registry_view
