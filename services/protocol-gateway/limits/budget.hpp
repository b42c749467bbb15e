#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include <millrace/base/token_bucket.hpp>

#include "limits/over_limit.hpp"

namespace millrace::gateway {

inline constexpr std::size_t kRates = 4;  // messages, bytes, points, connects: LimitKind without connections

/// What a device or a tenant has used of its rates at this gateway. The rates are the registry's and may change.
/// Thread-safe.
struct Budget {
  std::array<TokenBucket, kRates> buckets;
  std::atomic<std::uint64_t> dropped{0};  ///< QoS 0 messages over a limit

  [[nodiscard]] TokenBucket& bucket(LimitKind kind) { return buckets[static_cast<std::size_t>(kind)]; }
  [[nodiscard]] bool untouched(TokenBucket::Clock::time_point now) const {
    for (const TokenBucket& bucket : buckets) {
      if (!bucket.full(now)) return false;
    }
    return true;
  }
};

/// A device's. With messages through several gateways each has a share. Its connections are told apart by their client
/// ids: a connection that takes another's place is not one more.
struct DeviceBudget : Budget {
  DeviceBudget(std::string tenant_name, std::string device_name)
      : tenant(std::move(tenant_name)), device(std::move(device_name)) {}

  const std::string tenant;
  const std::string device;
  std::atomic<double> share{1};

  [[nodiscard]] TokenRate shared(const TokenRate& rate) const {
    const double part = share.load(std::memory_order_relaxed);
    return {rate.per_second * part, rate.burst * part};
  }
  /// False: there are `most` (0: any number) of other client ids already.
  [[nodiscard]] bool enter(std::uint64_t client, std::uint32_t most, bool& first_of_client);
  /// True: it was the last one of its client id.
  bool leave(std::uint64_t client);
  [[nodiscard]] std::uint32_t connections();

 private:
  std::uint32_t clients_other_than(std::uint64_t client) const;

  std::mutex mutex_;
  std::vector<std::uint64_t> clients_;  // one entry a connection
};

/// A tenant's. With more than one gateway each has a share of its rates.
struct TenantBudget : Budget {
  std::atomic<std::uint32_t> connections{0};
  std::atomic<std::uint32_t> connections_elsewhere{0};
  std::array<std::atomic<double>, kRates> shares{1, 1, 1, 1};
  std::array<std::atomic<std::uint64_t>, kRates> asked{};  ///< tokens, those refused too

  [[nodiscard]] TokenRate shared(const TokenRate& rate, LimitKind kind) const {
    const double share = shares[static_cast<std::size_t>(kind)].load(std::memory_order_relaxed);
    return {rate.per_second * share, rate.burst * share};
  }
};

}  // namespace millrace::gateway
