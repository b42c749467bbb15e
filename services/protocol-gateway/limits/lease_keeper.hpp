#pragma once

#include <array>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include <millrace/kafka/sync_producer.hpp>
#include <millrace/kafka/topic_follower.hpp>
#include <millrace/observability/log.hpp>

#include "limits/limiter.hpp"

namespace millrace::limits::v1 {
class Lease;
}

namespace millrace::gateway {

struct LeaseOptions {
  kafka::Settings kafka;
  std::string topic;
  std::chrono::milliseconds period{1000};
};

/// Shares the limits of tenants (and of devices that come through several gateways) out among the gateways. Each period
/// it writes what was asked of a tenant's limits here into the topic, reads what was asked of the others, and takes its
/// fair share for the next. So the gateways together are off by at most one lease: what the shares that changed allow
/// in one period, with their part of the burst. While Kafka is away the shares stay as they were.
class LeaseKeeper {
 public:
  /// `limiter` and `source` must outlive it.
  LeaseKeeper(LeaseOptions options, Limiter& limiter, const LimitSource& source);
  ~LeaseKeeper();  ///< stop()
  LeaseKeeper(const LeaseKeeper&) = delete;
  LeaseKeeper& operator=(const LeaseKeeper&) = delete;

  void start();
  void stop();

 private:
  using Clock = std::chrono::steady_clock;
  using Asked = std::array<double, kRates>;
  /// The last lease of another gateway.
  struct Peer {
    Clock::time_point seen;
    Asked asked{};
    std::uint32_t connections = 0;
    std::vector<std::int32_t> devices;
  };
  struct Device {
    std::int32_t key = 0;
    std::string name;
    std::array<double, kRates> left{};
    double least_left = 1;  // as a part of the burst
    std::uint32_t connections = 0;
    std::uint64_t dropped = 0;
  };
  using DevicesByTenant = std::map<std::string, std::vector<Device>>;

  void take(const kafka::Record& record);
  void make_room(const std::string& tenant, std::size_t gateways);
  void run(const std::stop_token& stop);
  void round();
  void forget_silent_peers();
  [[nodiscard]] std::vector<Peer> peers_of(const std::string& tenant);
  [[nodiscard]] DevicesByTenant used_devices();
  void share_tenant(const std::string& tenant, TenantBudget& budget, const std::vector<Peer>& peers,
                    limits::v1::Lease& lease);
  void share_devices();
  void write(std::vector<kafka::OutgoingRecord> records);

  LeaseOptions options_;
  Limiter& limiter_;
  const LimitSource& source_;
  std::string gateway_;  // random: another one after each start
  observability::Logger log_{"leases"};
  observability::LogLimiter limiter_of_log_;

  std::mutex mutex_;
  std::condition_variable_any wake_;
  std::map<std::string, std::map<std::string, Peer>> peers_;  // by tenant, gateway
  std::set<std::int32_t> shared_devices_;                     // keeper's thread
  std::set<std::string> active_;                              // tenants that the last round wrote of; keeper's thread
  std::unique_ptr<kafka::SyncProducer> producer_;             // keeper's thread
  std::jthread thread_;
  kafka::TopicFollower follower_;  // last: its thread uses all of the above
};

}  // namespace millrace::gateway
