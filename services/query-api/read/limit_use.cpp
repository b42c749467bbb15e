#include "read/limit_use.hpp"

#include <millrace/base/time.hpp>

namespace millrace::query_api {
namespace {

using limits::v1::Lease;
using limits::v1::Tokens;

constexpr int kPeriodsThatCount = 3;
constexpr std::int64_t kLongestPeriodUs = 60'000'000;

void add(const Tokens& from, std::array<double, 4>& to) {
  to[0] += from.messages();
  to[1] += from.bytes();
  to[2] += from.points();
  to[3] += from.connects();
}

}  // namespace

LimitUse::LimitUse(const kafka::Settings& kafka, const std::string& topic)
    : follower_(
          kafka, topic,
          {.on_again = {}, .on_record = [this](const kafka::Record& record) { take(record); }, .on_complete = {}}) {}

void LimitUse::take(const kafka::Record& record) {
  Heard heard;
  const std::string_view value = record.value();
  if (record.is_tombstone() || !heard.lease.ParseFromArray(value.data(), static_cast<int>(value.size()))) return;
  if (heard.lease.period_us() <= 0 || heard.lease.period_us() > kLongestPeriodUs) return;
  const std::int64_t life = kPeriodsThatCount * heard.lease.period_us();
  if (!follower_.ready() && record.timestamp_us() + life < now_us()) return;  // what was left from long ago
  const auto now = Clock::now();
  heard.until = now + std::chrono::microseconds(life);
  const std::lock_guard lock(mutex_);
  auto& gateways = leases_[heard.lease.tenant()];
  std::erase_if(gateways, [&](const auto& gateway) { return gateway.second.until < now; });
  gateways[heard.lease.gateway()] = std::move(heard);
}

LimitsLeft LimitUse::of_tenant(const std::string& tenant) const {
  LimitsLeft sum;
  const auto now = Clock::now();
  const std::lock_guard lock(mutex_);
  const auto found = leases_.find(tenant);
  if (found == leases_.end()) return sum;
  for (const auto& [gateway, heard] : found->second) {
    if (heard.until < now) continue;
    add(heard.lease.share(), sum.share);
    add(heard.lease.left(), sum.left);
    sum.connections += heard.lease.connections();
    ++sum.gateways;
  }
  return sum;
}

LimitsLeft LimitUse::of_device(const std::string& tenant, std::int32_t device_key) const {
  LimitsLeft sum;
  const auto now = Clock::now();
  const std::lock_guard lock(mutex_);
  const auto found = leases_.find(tenant);
  if (found == leases_.end()) return sum;
  for (const auto& [gateway, heard] : found->second) {
    if (heard.until < now) continue;
    for (const auto& device : heard.lease.devices()) {
      if (device.device_key() != device_key) continue;
      add(device.left(), sum.left);
      sum.connections += device.connections();
      sum.dropped += device.dropped();
      ++sum.gateways;
    }
  }
  for (double& share : sum.share) share = 1;
  return sum;
}

}  // namespace millrace::query_api
