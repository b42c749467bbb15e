#include "limits/limiter.hpp"

#include <algorithm>
#include <utility>

#include <millrace/base/digest.hpp>

namespace millrace::gateway {
namespace {

using registry_view::Limits;
using registry_view::Rate;
using Clock = Limiter::Clock;

/// When a place among the open connections comes free nobody knows.
constexpr std::chrono::milliseconds kConnectionsRetry{1000};

const Rate& rate_of(const Limits& limits, LimitKind kind) {
  switch (kind) {
    case LimitKind::kMessages:
      return limits.messages;
    case LimitKind::kBytes:
      return limits.bytes;
    case LimitKind::kPoints:
      return limits.points;
    case LimitKind::kConnects:
    case LimitKind::kConnections:
      break;
  }
  return limits.connects;
}

/// Everything that one message takes, so that it can be given back when a later bucket has too little.
class Charge {
 public:
  explicit Charge(HeldTo& held, Clock::time_point now) : held_(held), now_(now) {}

  /// From the device's bucket, then from the tenant's.
  [[nodiscard]] std::optional<OverLimit> take(LimitKind kind, double tokens) {
    if (held_.limits.device) {
      const Rate& rate = rate_of(*held_.limits.device, kind);
      if (rate.limited()) {
        if (auto over = take(held_.device->bucket(kind), held_.device->shared(rate), tokens,
                             {kind, LimitScope::kDevice, rate.per_second, {}}))
          return over;
      }
    }
    if (!held_.limits.tenant) return std::nullopt;
    const Rate& rate = rate_of(*held_.limits.tenant, kind);
    if (!rate.limited()) return std::nullopt;
    TenantBudget& tenant = *held_.tenant;
    tenant.asked[static_cast<std::size_t>(kind)].fetch_add(static_cast<std::uint64_t>(tokens),
                                                           std::memory_order_relaxed);
    return take(tenant.bucket(kind), tenant.shared(rate, kind), tokens,
                {kind, LimitScope::kTenant, rate.per_second, {}});
  }

  void give_back() {
    for (std::size_t i = 0; i < count_; ++i) taken_[i].bucket->give_back(taken_[i].rate, taken_[i].tokens);
    count_ = 0;
  }

 private:
  struct Taken {
    TokenBucket* bucket;
    TokenRate rate;
    double tokens;
  };

  [[nodiscard]] std::optional<OverLimit> take(TokenBucket& bucket, const TokenRate& rate, double tokens,
                                              OverLimit over) {
    const auto wait = bucket.take(rate, tokens, now_);
    if (wait.count() == 0) {
      taken_[count_++] = {&bucket, rate, tokens};
      return std::nullopt;
    }
    give_back();
    over.retry_after = std::chrono::ceil<std::chrono::milliseconds>(wait);
    return over;
  }

  HeldTo& held_;
  Clock::time_point now_;
  std::array<Taken, 2 * kRates> taken_;
  std::size_t count_ = 0;
};

/// Before a payload is decoded: is there any room for points at all?
std::optional<OverLimit> no_points_left(const HeldTo& held, Clock::time_point now) {
  if (held.limits.device && held.limits.device->points.limited()) {
    const Rate& rate = held.limits.device->points;
    if (const auto wait = held.device->bucket(LimitKind::kPoints).wait_for(held.device->shared(rate), 1, now);
        wait.count() > 0)
      return OverLimit{LimitKind::kPoints, LimitScope::kDevice, rate.per_second,
                       std::chrono::ceil<std::chrono::milliseconds>(wait)};
  }
  if (held.limits.tenant && held.limits.tenant->points.limited()) {
    const Rate& rate = held.limits.tenant->points;
    const auto wait =
        held.tenant->bucket(LimitKind::kPoints).wait_for(held.tenant->shared(rate, LimitKind::kPoints), 1, now);
    if (wait.count() > 0)
      return OverLimit{LimitKind::kPoints, LimitScope::kTenant, rate.per_second,
                       std::chrono::ceil<std::chrono::milliseconds>(wait)};
  }
  return std::nullopt;
}

void give_back(const HeldTo& held, LimitKind kind, double tokens) {
  if (held.limits.device) {
    const Rate& rate = rate_of(*held.limits.device, kind);
    if (rate.limited()) held.device->bucket(kind).give_back(held.device->shared(rate), tokens);
  }
  if (held.limits.tenant) {
    const Rate& rate = rate_of(*held.limits.tenant, kind);
    if (rate.limited()) held.tenant->bucket(kind).give_back(held.tenant->shared(rate, kind), tokens);
  }
}

}  // namespace

std::optional<OverLimit> Limiter::admit(const registry_view::Device& device, HeldTo& held, std::size_t bytes) {
  if (held.generation != source_.generation()) look_up(device, held);
  if (!held.limits.device && !held.limits.tenant) return std::nullopt;
  const auto now = Clock::now();
  if (auto over = no_points_left(held, now)) return over;
  Charge charge(held, now);
  if (auto over = charge.take(LimitKind::kMessages, 1)) return over;
  return charge.take(LimitKind::kBytes, static_cast<double>(bytes));
}

std::optional<OverLimit> Limiter::charge_points(HeldTo& held, std::size_t bytes, std::size_t points) {
  if (!held.limits.device && !held.limits.tenant) return std::nullopt;
  Charge charge(held, Clock::now());
  auto over = charge.take(LimitKind::kPoints, static_cast<double>(points));
  if (!over) return over;
  give_back(held, LimitKind::kMessages, 1);
  give_back(held, LimitKind::kBytes, static_cast<double>(bytes));
  return over;
}

void Limiter::note(const OverLimit& over, Action action, const HeldTo* held) const {
  metrics_
      .limited(static_cast<std::size_t>(over.limit), static_cast<std::size_t>(over.scope),
               static_cast<std::size_t>(action))
      .add();
  if (action == Action::kDropped && held != nullptr && held->device)
    held->device->dropped.fetch_add(1, std::memory_order_relaxed);
}

std::variant<Limiter::Connection, OverLimit> Limiter::connect(const registry_view::Device& device, HeldTo& held,
                                                              std::string_view client_id) {
  look_up(device, held);
  // Connections count from the first on, whether limited yet or not.
  if (!held.device) held.device = device_budget(device);
  if (!held.tenant) held.tenant = tenant_budget(device.tenant);
  Charge charge(held, Clock::now());
  if (auto over = charge.take(LimitKind::kConnects, 1)) return *over;
  const std::uint32_t most = held.limits.device ? held.limits.device->connections : 0;
  const std::uint32_t most_of_tenant = held.limits.tenant ? held.limits.tenant->connections : 0;
  Connection connection;
  connection.client_ = hash64(client_id);
  bool first_of_client = false;
  if (!held.device->enter(connection.client_, most, first_of_client))
    return OverLimit{LimitKind::kConnections, LimitScope::kDevice, static_cast<double>(most), kConnectionsRetry};
  connection.device_ = held.device;
  connection.tenant_ = held.tenant;
  if (!first_of_client) return connection;
  const std::uint32_t open = held.tenant->connections.fetch_add(1, std::memory_order_relaxed);
  if (most_of_tenant != 0 &&
      open + held.tenant->connections_elsewhere.load(std::memory_order_relaxed) >= most_of_tenant)
    return OverLimit{LimitKind::kConnections, LimitScope::kTenant, static_cast<double>(most_of_tenant),
                     kConnectionsRetry};
  return connection;
}

Limiter::Connection& Limiter::Connection::operator=(Connection&& other) noexcept {
  end();
  device_ = std::exchange(other.device_, nullptr);
  tenant_ = std::exchange(other.tenant_, nullptr);
  client_ = other.client_;
  return *this;
}

void Limiter::Connection::end() {
  if (device_ && device_->leave(client_)) tenant_->connections.fetch_sub(1, std::memory_order_relaxed);
  device_ = nullptr;
  tenant_ = nullptr;
}

void Limiter::look_up(const registry_view::Device& device, HeldTo& held) {
  held.generation = source_.generation();
  held.limits = source_.limits(device.tenant, device.device);
  if (held.limits.device && !held.device) held.device = device_budget(device);
  if (held.limits.tenant && !held.tenant) held.tenant = tenant_budget(device.tenant);
}

std::shared_ptr<DeviceBudget> Limiter::device_budget(const registry_view::Device& device) {
  const std::int32_t device_key = device.device_key;
  Shard& shard = shards_[static_cast<std::uint32_t>(device_key) % kShards];
  const std::lock_guard lock(shard.mutex);
  if (const auto found = shard.devices.find(device_key); found != shard.devices.end()) return found->second;
  if (shard.devices.size() >= shard.sweep_at) {
    // Whoever has used nothing for so long that all is there again needs no remembering.
    const auto now = Clock::now();
    std::erase_if(shard.devices,
                  [&](const auto& entry) { return entry.second.use_count() == 1 && entry.second->untouched(now); });
    shard.sweep_at = std::max<std::size_t>(64, 2 * shard.devices.size());
  }
  return shard.devices.emplace(device_key, std::make_shared<DeviceBudget>(device.tenant, device.device)).first->second;
}

std::shared_ptr<TenantBudget> Limiter::tenant_budget(const std::string& tenant) {
  const std::lock_guard lock(tenants_mutex_);
  std::shared_ptr<TenantBudget>& budget = tenants_[tenant];
  if (!budget) budget = std::make_shared<TenantBudget>();
  return budget;
}

void Limiter::share_device(std::int32_t device_key, double share) {
  Shard& shard = shards_[static_cast<std::uint32_t>(device_key) % kShards];
  const std::lock_guard lock(shard.mutex);
  if (const auto found = shard.devices.find(device_key); found != shard.devices.end()) found->second->share = share;
}

std::size_t Limiter::device_budgets() const {
  std::size_t count = 0;
  for (const Shard& shard : shards_) {
    const std::lock_guard lock(shard.mutex);
    count += shard.devices.size();
  }
  return count;
}

}  // namespace millrace::gateway
