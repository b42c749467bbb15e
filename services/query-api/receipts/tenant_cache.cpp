#include "receipts/tenant_cache.hpp"

namespace millrace::query_api {

std::size_t TenantCache::Hash::operator()(const Key& key) const {
  const auto mixed = static_cast<std::uint64_t>(key.offset) * 0x9E3779B97F4A7C15ULL ^
                     (static_cast<std::uint64_t>(key.partition) << 32U) ^ static_cast<std::uint64_t>(key.generation);
  return static_cast<std::size_t>(mixed ^ (mixed >> 29U));
}

void TenantCache::put(const Key& key, std::string_view tenant) {
  const std::lock_guard lock(mutex_);
  // Names are kept once; should there be very many, all is forgotten and learned again.
  if (tenants_.size() >= most_) {
    numbers_.clear();
    tenants_.clear();
    entries_.clear();
    order_.clear();
  }
  const auto [number, added] = numbers_.try_emplace(std::string(tenant), static_cast<std::uint32_t>(tenants_.size()));
  if (added) tenants_.emplace_back(tenant);
  if (!entries_.try_emplace(key, number->second).second) return;
  order_.push_back(key);
  if (order_.size() > most_) {
    entries_.erase(order_.front());
    order_.pop_front();
  }
}

std::optional<std::string> TenantCache::get(const Key& key) const {
  const std::lock_guard lock(mutex_);
  const auto found = entries_.find(key);
  if (found == entries_.end()) return std::nullopt;
  return tenants_[found->second];
}

}  // namespace millrace::query_api
