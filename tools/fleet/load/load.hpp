// The load itself: one thread, one epoll, one link per device.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <millrace/base/address.hpp>
#include <millrace/base/result.hpp>

#include "load/device.hpp"
#include "load/link.hpp"
#include "load/outcome.hpp"

namespace millrace::fleet {

class CoapClient;

struct LoadOptions {
  double rate = 100;                                      ///< messages/s in all; 0: as many as the windows take
  std::chrono::milliseconds duration{0};                  ///< 0: until stop() or until the readings end
  std::chrono::milliseconds drain{120'000};               ///< how long answers are awaited and resends made after that
  std::chrono::milliseconds drain_when_stopped{120'000};  ///< the same after stop()
  std::size_t window = 200;
  int qos = 1;
  std::string tenant;
  std::string message_id_base;
  Address mqtt;
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

class Load {
 public:
  Load(const LoadOptions& options, const Readings& readings, const std::vector<Device>& devices, Outcome& outcome);
  ~Load();

  /// Runs until all is made and answered, or time is up. `on_second` is called once a second. kInvalid: an address
  /// cannot be resolved.
  [[nodiscard]] Result<LoadResult> run(const std::function<void(const LoadState&)>& on_second);
  /// From any thread or signal handler: make no more; the rest is as after the duration.
  void stop() { stopping_ = true; }
  /// Likewise: end at once.
  void abort() { aborting_ = true; }

 private:
  Status open();
  Status add_link(std::size_t index);
  Result<CoapClient*> coap_client();
  void warm_up();
  void make_due();
  bool make_one(std::size_t device, std::int64_t due_ns);
  void mark(Link& link);
  void flush_marked();
  void poll(int timeout_ms);
  LoadState state() const;

  LoadOptions options_;
  const Readings& readings_;
  const std::vector<Device>& devices_;
  Outcome& outcome_;
  LinkContext context_;
  std::unique_ptr<CoapClient> coap_;  // where a device speaks CoAP
  std::vector<std::unique_ptr<Link>> links_;
  std::vector<Link*> marked_;
  std::vector<std::uint32_t> next_index_;
  std::vector<TimeUs> last_time_;
  std::size_t exhausted_ = 0;
  std::size_t turn_ = 0;
  std::uint64_t made_ = 0;
  std::unique_ptr<class Pacer> pacer_;
  TimeUs now_us_ = 0;
  std::atomic<bool> stopping_{false};
  std::atomic<bool> aborting_{false};
};

}  // namespace millrace::fleet
