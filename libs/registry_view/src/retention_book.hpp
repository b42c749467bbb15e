#pragma once

#include <cstdint>
#include <map>
#include <shared_mutex>
#include <string>
#include <string_view>
#include <vector>

#include <millrace/registry_view/retention.hpp>

namespace millrace::registry_view {

/// The rules that are set, by tenant. One thread changes it, any number read.
class RetentionBook {
 public:
  /// Replaces those of the tenant.
  void put(std::string_view tenant, std::vector<RetentionRule> rules);
  void remove(std::string_view tenant);

  /// Around a second reading from the beginning: what was not put between the two goes.
  void begin_reload() { ++reload_; }
  void end_reload();

  /// In the order of (tenant, type); of all tenants if `tenant` is empty.
  [[nodiscard]] std::vector<RetentionRule> rules(std::string_view tenant) const;

 private:
  struct Tenant {
    std::vector<RetentionRule> rules;
    std::uint8_t reload = 0;
  };

  mutable std::shared_mutex mutex_;
  std::map<std::string, Tenant, std::less<>> tenants_;
  std::uint8_t reload_ = 0;
};

}  // namespace millrace::registry_view
