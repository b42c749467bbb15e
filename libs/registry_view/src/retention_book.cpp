#include "retention_book.hpp"

#include <algorithm>
#include <mutex>

namespace millrace::registry_view {

void RetentionBook::put(std::string_view tenant, std::vector<RetentionRule> rules) {
  std::sort(rules.begin(), rules.end(), [](const auto& a, const auto& b) { return a.type < b.type; });
  const std::unique_lock lock(mutex_);
  tenants_[std::string(tenant)] = {std::move(rules), reload_};
}

void RetentionBook::remove(std::string_view tenant) {
  const std::unique_lock lock(mutex_);
  const auto found = tenants_.find(tenant);
  if (found != tenants_.end()) tenants_.erase(found);
}

void RetentionBook::end_reload() {
  const std::unique_lock lock(mutex_);
  std::erase_if(tenants_, [this](const auto& one) { return one.second.reload != reload_; });
}

std::vector<RetentionRule> RetentionBook::rules(std::string_view tenant) const {
  const std::shared_lock lock(mutex_);
  std::vector<RetentionRule> all;
  for (const auto& [name, of_tenant] : tenants_) {
    if (tenant.empty() || name == tenant) all.insert(all.end(), of_tenant.rules.begin(), of_tenant.rules.end());
  }
  return all;
}

}  // namespace millrace::registry_view
