#include "limits/lease_keeper.hpp"

#include <algorithm>
#include <iterator>

#include <millrace/base/digest.hpp>
#include <millrace/base/time.hpp>

#include "limits/fair_share.hpp"
#include "millrace/limits/v1/lease.pb.h"

namespace millrace::gateway {
namespace {

using limits::v1::Lease;
using limits::v1::Tokens;

constexpr int kPeriodsThatCount = 3;
constexpr std::size_t kMostDevices = 200;
constexpr std::size_t kGatewayBytes = 12;
constexpr std::chrono::milliseconds kWriteTimeout{5000};

constexpr std::array kKinds{LimitKind::kMessages, LimitKind::kBytes, LimitKind::kPoints, LimitKind::kConnects};

const registry_view::Rate& rate_of(const registry_view::Limits& limits, LimitKind kind) {
  const std::array<const registry_view::Rate*, kRates> rates{&limits.messages, &limits.bytes, &limits.points,
                                                             &limits.connects};
  return *rates[static_cast<std::size_t>(kind)];
}

void write_tokens(const std::array<double, kRates>& from, Tokens& to) {
  to.set_messages(from[0]);
  to.set_bytes(from[1]);
  to.set_points(from[2]);
  to.set_connects(from[3]);
}

}  // namespace

LeaseKeeper::LeaseKeeper(LeaseOptions options, Limiter& limiter, const LimitSource& source)
    : options_(std::move(options)),
      limiter_(limiter),
      source_(source),
      gateway_(random_token(kGatewayBytes)),
      follower_(
          options_.kafka, options_.topic,
          {.on_again = {}, .on_record = [this](const kafka::Record& record) { take(record); }, .on_complete = {}}) {}

LeaseKeeper::~LeaseKeeper() { stop(); }

void LeaseKeeper::start() {
  follower_.start();
  thread_ = std::jthread([this](const std::stop_token& stop) { run(stop); });
}

void LeaseKeeper::stop() {
  if (thread_.joinable()) {
    thread_.request_stop();
    thread_.join();
  }
  follower_.stop();
}

void LeaseKeeper::take(const kafka::Record& record) {
  Lease lease;
  const std::string_view value = record.value();
  if (record.is_tombstone() || !lease.ParseFromArray(value.data(), static_cast<int>(value.size()))) return;
  if (lease.gateway() == gateway_) return;
  const TimeUs life = kPeriodsThatCount * std::chrono::microseconds(options_.period).count();
  if (!follower_.ready() && record.timestamp_us() + life < now_us()) return;  // what was left from long ago
  Peer peer;
  peer.seen = Clock::now();
  peer.asked = {lease.asked().messages(), lease.asked().bytes(), lease.asked().points(), lease.asked().connects()};
  peer.connections = lease.connections();
  for (const auto& device : lease.devices()) peer.devices.push_back(device.device_key());
  std::size_t gateways = 1;
  bool newcomer = false;
  {
    const std::lock_guard lock(mutex_);
    auto& peers = peers_[lease.tenant()];
    newcomer = peers.insert_or_assign(lease.gateway(), std::move(peer)).second;
    gateways += peers.size();
  }
  if (newcomer) make_room(lease.tenant(), gateways);
}

// Another gateway has begun to serve the tenant: until the next round shares them out, no more than an even part is
// taken here. Waiting for the round would let both take all for a second period.
void LeaseKeeper::make_room(const std::string& tenant, std::size_t gateways) {
  const double even = 1.0 / static_cast<double>(gateways);
  limiter_.for_each_tenant([&](const std::string& name, TenantBudget& budget) {
    if (name != tenant) return;
    for (auto& share : budget.shares) {
      if (share.load(std::memory_order_relaxed) > even) share.store(even, std::memory_order_relaxed);
    }
  });
}

void LeaseKeeper::run(const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    {
      std::unique_lock lock(mutex_);
      wake_.wait_for(lock, stop, options_.period, [] { return false; });
    }
    if (!stop.stop_requested()) round();
  }
}

// While Kafka is away nobody is heard: that is no reason to take what is theirs.
void LeaseKeeper::forget_silent_peers() {
  if (!follower_.connected()) return;
  const auto oldest = Clock::now() - kPeriodsThatCount * options_.period;
  const std::lock_guard lock(mutex_);
  for (auto tenant = peers_.begin(); tenant != peers_.end();) {
    std::erase_if(tenant->second, [&](const auto& peer) { return peer.second.seen < oldest; });
    tenant = tenant->second.empty() ? peers_.erase(tenant) : std::next(tenant);
  }
}

void LeaseKeeper::round() {
  forget_silent_peers();
  DevicesByTenant devices = used_devices();
  std::vector<kafka::OutgoingRecord> records;
  std::set<std::string> active;
  limiter_.for_each_tenant([&](const std::string& tenant, TenantBudget& budget) {
    Lease lease;
    lease.set_tenant(tenant);
    lease.set_gateway(gateway_);
    lease.set_at_us(now_us());
    lease.set_period_us(std::chrono::microseconds(options_.period).count());
    share_tenant(tenant, budget, peers_of(tenant), lease);
    auto& used = devices[tenant];
    const std::size_t most = std::min(used.size(), kMostDevices);
    std::partial_sort(used.begin(), used.begin() + static_cast<std::ptrdiff_t>(most), used.end(),
                      [](const Device& a, const Device& b) { return a.least_left < b.least_left; });
    for (std::size_t i = 0; i < most; ++i) {
      auto& out = *lease.add_devices();
      out.set_device(used[i].name);
      out.set_device_key(used[i].key);
      write_tokens(used[i].left, *out.mutable_left());
      out.set_connections(used[i].connections);
      out.set_dropped(used[i].dropped);
    }
    const bool asked = lease.asked().ByteSizeLong() > 0;
    if (asked || lease.connections() > 0 || !used.empty()) active.insert(tenant);
    // One more after the last, so that the others know at once.
    if (active.contains(tenant) || active_.contains(tenant))
      records.push_back({.topic = options_.topic, .key = tenant, .value = lease.SerializeAsString()});
  });
  active_ = std::move(active);
  share_devices();
  write(std::move(records));
}

std::vector<LeaseKeeper::Peer> LeaseKeeper::peers_of(const std::string& tenant) {
  std::vector<Peer> found;
  const std::lock_guard lock(mutex_);
  const auto known = peers_.find(tenant);
  if (known == peers_.end()) return found;
  for (const auto& [gateway, peer] : known->second) found.push_back(peer);
  return found;
}

// What was asked here since the last round, and from that and the others' the share until the next.
void LeaseKeeper::share_tenant(const std::string& tenant, TenantBudget& budget, const std::vector<Peer>& peers,
                               Lease& lease) {
  const registry_view::LimitsPtr limits = source_.limits(tenant, {}).tenant;
  const double seconds = std::chrono::duration<double>(options_.period).count();
  const auto now = Clock::now();
  Asked asked{};
  Asked shares{1, 1, 1, 1};
  Asked left{};
  for (const LimitKind kind : kKinds) {
    const auto at = static_cast<std::size_t>(kind);
    asked[at] = static_cast<double>(budget.asked[at].exchange(0, std::memory_order_relaxed));
    if (!limits || !rate_of(*limits, kind).limited()) continue;
    const registry_view::Rate& rate = rate_of(*limits, kind);
    std::vector<double> others;
    for (const Peer& peer : peers) others.push_back(peer.asked[at]);
    shares[at] = fair_share(asked[at], others, rate.per_second * seconds);
    left[at] = budget.bucket(kind).left({rate.per_second * shares[at], rate.burst * shares[at]}, now);
  }
  std::uint32_t elsewhere = 0;
  for (const Peer& peer : peers) elsewhere += peer.connections;
  budget.connections_elsewhere.store(elsewhere, std::memory_order_relaxed);
  for (std::size_t i = 0; i < kRates; ++i) budget.shares[i].store(shares[i], std::memory_order_relaxed);
  write_tokens(asked, *lease.mutable_asked());
  write_tokens(shares, *lease.mutable_share());
  write_tokens(left, *lease.mutable_left());
  lease.set_connections(budget.connections.load(std::memory_order_relaxed));
}

LeaseKeeper::DevicesByTenant LeaseKeeper::used_devices() {
  DevicesByTenant found;
  const auto now = Clock::now();
  limiter_.for_each_device([&](std::int32_t key, DeviceBudget& budget) {
    if (budget.untouched(now)) return;
    const registry_view::LimitsPtr limits = source_.limits(budget.tenant, budget.device).device;
    if (!limits) return;
    Device device;
    device.key = key;
    device.name = budget.device;
    for (const LimitKind kind : kKinds) {
      const registry_view::Rate& rate = rate_of(*limits, kind);
      if (!rate.limited()) continue;
      const TokenRate here = budget.shared(rate);
      const double left = budget.bucket(kind).left(here, now);
      device.left[static_cast<std::size_t>(kind)] = left;
      device.least_left = std::min(device.least_left, left / here.burst);
    }
    device.connections = budget.connections();
    device.dropped = budget.dropped.load(std::memory_order_relaxed);
    found[budget.tenant].push_back(std::move(device));
  });
  return found;
}

// A device that others tell of, too, has an even part of its rates here.
void LeaseKeeper::share_devices() {
  std::map<std::int32_t, int> elsewhere;
  {
    const std::lock_guard lock(mutex_);
    for (const auto& [tenant, peers] : peers_) {
      for (const auto& [gateway, peer] : peers) {
        for (const std::int32_t device : peer.devices) ++elsewhere[device];
      }
    }
  }
  for (const std::int32_t device : shared_devices_) {
    if (!elsewhere.contains(device)) limiter_.share_device(device, 1);
  }
  shared_devices_.clear();
  for (const auto& [device, gateways] : elsewhere) {
    limiter_.share_device(device, 1.0 / (1 + gateways));
    shared_devices_.insert(device);
  }
}

void LeaseKeeper::write(std::vector<kafka::OutgoingRecord> records) {
  if (records.empty()) return;
  if (!producer_) producer_ = std::make_unique<kafka::SyncProducer>(options_.kafka, kWriteTimeout);
  if (const auto sent = producer_->send(records); !sent.ok()) {
    log_.limited(limiter_of_log_, observability::Level::kWarn, "limits cannot be shared with other gateways",
                 {{"error", sent.error().message}});
  }
}

}  // namespace millrace::gateway
