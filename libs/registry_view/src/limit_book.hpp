#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <shared_mutex>
#include <string>
#include <string_view>

#include <millrace/registry_view/limits.hpp>

namespace millrace::registry_view {

/// The limits that are set: of tenants, and of those devices that have some of their own. Devices without cost nothing.
/// One thread changes it, any number read.
class LimitBook {
 public:
  void put_tenant(std::string_view tenant, LimitsPtr total, LimitsPtr device_default);
  /// `own` says what is not as in the tenant's default.
  void put_device(std::string_view tenant, std::string_view device, LimitsPtr own);
  /// No device: those of the tenant.
  void remove(std::string_view tenant, std::string_view device);

  /// Around a second reading from the beginning: what was not put between the two goes.
  void begin_reload() { ++reload_; }
  void end_reload();

  [[nodiscard]] LimitsOf of(std::string_view tenant, std::string_view device) const;

  /// Another number after each change, never 0: who keeps an answer of of() asks again when it has moved.
  [[nodiscard]] std::uint64_t generation() const { return generation_.load(std::memory_order_acquire); }

 private:
  struct Own {
    LimitsPtr limits;
    std::uint8_t reload = 0;
  };
  struct Tenant {
    LimitsPtr total;
    LimitsPtr device_default;
    std::uint8_t reload = 0;
    std::map<std::string, Own, std::less<>> devices;

    [[nodiscard]] bool empty() const { return !total && !device_default && devices.empty(); }
  };
  Tenant& tenant(std::string_view name);
  void changed() { generation_.fetch_add(1, std::memory_order_release); }

  mutable std::shared_mutex mutex_;
  std::map<std::string, Tenant, std::less<>> tenants_;
  std::atomic<std::uint64_t> generation_{1};
  std::uint8_t reload_ = 0;
};

}  // namespace millrace::registry_view
