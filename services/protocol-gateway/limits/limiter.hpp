#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <variant>

#include <millrace/registry_view/registry_view.hpp>

#include "gateway_metrics.hpp"
#include "limits/budget.hpp"
#include "limits/over_limit.hpp"

namespace millrace::gateway {

/// Where limits come from: the registry's copy, or a test.
class LimitSource {
 public:
  virtual ~LimitSource() = default;
  [[nodiscard]] virtual registry_view::LimitsOf limits(std::string_view tenant, std::string_view device) const = 0;
  /// As of RegistryView::limits_generation().
  [[nodiscard]] virtual std::uint64_t generation() const = 0;
};

/// What one identity is held to: the limits and budgets that the limiter looked up for it, asked again when limits
/// change. Used by one thread at a time, as the identity's messages are.
struct HeldTo {
  std::uint64_t generation = 0;  ///< of the source; 0: not looked up yet
  registry_view::LimitsOf limits;
  std::shared_ptr<DeviceBudget> device;
  std::shared_ptr<TenantBudget> tenant;
};

/// Token buckets of devices and tenants, one set for all protocols of this gateway. A message passes admit() before it
/// is decoded and charge_points() after. Thread-safe and without locks where an identity is known; looking up the
/// budgets of a new identity takes a lock of one of many shards.
class Limiter {
 public:
  using Clock = TokenBucket::Clock;

  /// `source` and `metrics` must outlive it.
  Limiter(const LimitSource& source, const GatewayMetrics& metrics) : source_(source), metrics_(metrics) {}
  Limiter(const Limiter&) = delete;
  Limiter& operator=(const Limiter&) = delete;

  /// Takes one message of so many bytes from the device's and the tenant's buckets: all or nothing.
  [[nodiscard]] std::optional<OverLimit> admit(const registry_view::Device& device, HeldTo& held, std::size_t bytes);
  /// For an admitted message, when it is decoded: takes its points, or gives back what admit() took.
  [[nodiscard]] std::optional<OverLimit> charge_points(HeldTo& held, std::size_t bytes, std::size_t points);

  /// What an adapter did with a message or connection over a limit.
  enum class Action : std::uint8_t { kRefused, kDelayed, kDropped };
  /// Counts it.
  void note(const OverLimit& over, Action action, const HeldTo* held = nullptr) const;

  /// One open MQTT connection; gives its place back when it ends. Must not outlive the limiter.
  class Connection {
   public:
    Connection() = default;
    Connection(Connection&& other) noexcept { *this = std::move(other); }
    Connection& operator=(Connection&& other) noexcept;
    ~Connection() { end(); }
    Connection(const Connection&) = delete;
    Connection& operator=(const Connection&) = delete;

   private:
    friend class Limiter;
    void end();
    std::shared_ptr<DeviceBudget> device_;
    std::shared_ptr<TenantBudget> tenant_;
    std::uint64_t client_ = 0;
  };
  /// A CONNECT of the device: connect rate, then connections open at once.
  [[nodiscard]] std::variant<Connection, OverLimit> connect(const registry_view::Device& device, HeldTo& held,
                                                            std::string_view client_id);

  /// For sharing: the tenants that were ever limited here.
  template <typename F>
  void for_each_tenant(F&& f) {
    const std::lock_guard lock(tenants_mutex_);
    for (auto& [name, budget] : tenants_) f(name, *budget);
  }

  /// f(device_key, budget) for every device that is remembered, under the lock of its shard.
  template <typename F>
  void for_each_device(F&& f) {
    for (Shard& shard : shards_) {
      const std::lock_guard lock(shard.mutex);
      for (auto& [key, budget] : shard.devices) f(key, *budget);
    }
  }
  /// The device's part of its rates here; nothing where it is not remembered.
  void share_device(std::int32_t device_key, double share);

  [[nodiscard]] std::size_t device_budgets() const;

 private:
  static constexpr std::size_t kShards = 64;
  struct Shard {
    mutable std::mutex mutex;
    std::unordered_map<std::int32_t, std::shared_ptr<DeviceBudget>> devices;
    std::size_t sweep_at = 64;
  };

  void look_up(const registry_view::Device& device, HeldTo& held);
  [[nodiscard]] std::shared_ptr<DeviceBudget> device_budget(const registry_view::Device& device);
  [[nodiscard]] std::shared_ptr<TenantBudget> tenant_budget(const std::string& tenant);

  const LimitSource& source_;
  const GatewayMetrics& metrics_;
  std::array<Shard, kShards> shards_;
  std::mutex tenants_mutex_;
  std::map<std::string, std::shared_ptr<TenantBudget>, std::less<>> tenants_;
};

}  // namespace millrace::gateway
