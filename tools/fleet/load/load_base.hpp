// What the ways to load a gateway have in common.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <string>

#include <millrace/base/address.hpp>
#include <millrace/base/result.hpp>

#include "load/wire.hpp"

namespace millrace::fleet {

struct LoadOptions {
  double rate = 100;                                      ///< messages/s in all; 0: as many as the windows take
  std::chrono::milliseconds duration{0};                  ///< 0: until stop() or until the readings end
  std::chrono::milliseconds drain{120'000};               ///< how long answers are awaited and resends made after that
  std::chrono::milliseconds drain_when_stopped{120'000};  ///< the same after stop()
  std::size_t window = 200;
  int qos = 1;
  std::string tenant;
  std::string message_id_base;
  std::string source;  ///< IPv4 address that TCP connects from; empty: the system's choice
  Address mqtt;
  WireOptions mqtt_wire;
  Address http;
  Address coap;
  Address coaps;
  std::size_t backlog_most = 2'000'000;  ///< messages due and unsent in memory; beyond it none is made
};

struct LoadState {
  std::uint64_t in_flight = 0;
  std::uint64_t waiting = 0;
  std::size_t links_up = 0;
};

struct LoadResult {
  double seconds = 0;             ///< from the first message made to the end of making
  double cpu_us_per_message = 0;  ///< of this thread, per acknowledged (QoS 0: sent) message
};

/// One run of a load, on the thread that calls run().
class LoadBase {
 public:
  virtual ~LoadBase() = default;
  /// Runs until all is made and answered, or time is up. `on_second` is called once a second. kInvalid: an address
  /// cannot be resolved.
  [[nodiscard]] virtual Result<LoadResult> run(const std::function<void(const LoadState&)>& on_second) = 0;
  /// From any thread or signal handler: make no more; the rest is as after the duration.
  void stop() { stopping_ = true; }
  /// Likewise: end at once.
  void abort() { aborting_ = true; }

 protected:
  std::atomic<bool> stopping_{false};
  std::atomic<bool> aborting_{false};
};

}  // namespace millrace::fleet
