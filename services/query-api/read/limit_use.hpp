#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <string_view>

#include <millrace/kafka/topic_follower.hpp>

#include "millrace/limits/v1/lease.pb.h"

namespace millrace::query_api {

/// What the gateways told last of the limits of a tenant or device. Rates in the order messages, bytes, points,
/// connects.
struct LimitsLeft {
  std::array<double, 4> share{};  ///< of the whole, of all those gateways together; of a device: of each gateway
  std::array<double, 4> left{};   ///< of that share
  std::uint32_t connections = 0;
  std::uint64_t dropped = 0;
  std::uint32_t gateways = 0;  ///< 0: nobody has told anything lately
};

/// A copy of the leases that count at present, fed by the topic. Thread-safe; look-ups do not block for I/O.
class LimitUse {
 public:
  LimitUse(const kafka::Settings& kafka, const std::string& topic);

  void start() { follower_.start(); }
  void stop() { follower_.stop(); }

  [[nodiscard]] LimitsLeft of_tenant(const std::string& tenant) const;
  [[nodiscard]] LimitsLeft of_device(const std::string& tenant, std::int32_t device_key) const;

 private:
  using Clock = std::chrono::steady_clock;
  struct Heard {
    limits::v1::Lease lease;
    Clock::time_point until;
  };
  void take(const kafka::Record& record);

  mutable std::mutex mutex_;
  std::map<std::string, std::map<std::string, Heard>> leases_;  // by tenant, gateway
  kafka::TopicFollower follower_;                               // last: its thread uses the above
};

}  // namespace millrace::query_api
