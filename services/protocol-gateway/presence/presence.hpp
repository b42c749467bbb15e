#pragma once

#include <atomic>
#include <functional>
#include <mutex>
#include <string>

#include <boost/asio/steady_timer.hpp>

#include <millrace/kafka/topic_follower.hpp>
#include <millrace/observability/log.hpp>
#include <millrace/runtime/health.hpp>

#include "gateway_metrics.hpp"
#include "io/io_threads.hpp"
#include "presence/presence_record.hpp"
#include "presence/presence_table.hpp"
#include "presence/state_log.hpp"

namespace millrace::gateway {

/// The gateway's part in the topic `presence`: says who comes and goes, gives every connection its epoch, and hears
/// which clients other gateways have. Thread-safe.
class Presence {
 public:
  struct Options {
    StateLogOptions log;
    std::string gateway;
    std::string start;  ///< 16 bytes of this start
  };
  /// `threads` and `metrics` must outlive it.
  Presence(Options options, IoThreads& threads, const GatewayMetrics& metrics);
  ~Presence();  ///< stop()
  Presence(const Presence&) = delete;
  Presence& operator=(const Presence&) = delete;

  /// Another gateway has the client (tenant, device, client id) since `epoch`. On the follower's thread; before
  /// start().
  void on_newer(std::function<void(const Visit&, std::uint64_t epoch)> callback) { newer_ = std::move(callback); }
  /// A connection of the device is reported as gone by the record at `offset`. Likewise.
  void on_gone(std::function<void(const Visit&, std::uint64_t offset)> callback) { gone_ = std::move(callback); }

  void start();
  void stop();
  [[nodiscard]] Status drain(runtime::Deadline deadline) { return log_.drain(deadline); }

  /// False while a connection could not get its epoch, or would not be told of a newer one: none should be let in.
  [[nodiscard]] bool accepting() const { return log_.accepting() && follower_.ready(); }
  [[nodiscard]] runtime::CheckResult check() const;

  /// A new connection's visit: with gateway, start, number and time.
  [[nodiscard]] Visit visit(std::string tenant, std::string device, std::string client_id);

  using OnEpoch = std::function<void(const Result<std::uint64_t>&)>;
  /// Says that the device is connected; its epoch comes with the delivery report, on a thread of Kafka's. An Error: not
  /// taken, nothing will come.
  [[nodiscard]] Status announce(const Visit& visit, OnEpoch done);
  /// Says it again, so that the last record of the device is right.
  void assert_again(const Visit& visit, std::uint64_t epoch);
  void leave(const Visit& visit, std::uint64_t epoch, DisconnectCause cause, std::string_view detail);

 private:
  [[nodiscard]] int partition_of_visit(const Visit& visit, std::string& key) const;
  void write(const PresenceRecord& record);
  void on_record(const kafka::Record& record);
  void look_for_dead();

  const std::string gateway_;
  const std::string start_;
  const GatewayMetrics& metrics_;
  observability::Logger logger_{"presence"};
  observability::LogLimiter limiter_;
  std::function<void(const Visit&, std::uint64_t)> newer_;
  std::function<void(const Visit&, std::uint64_t)> gone_;
  std::atomic<std::uint64_t> connections_{0};
  std::mutex mutex_;
  PresenceTable table_;  // under the mutex
  StateLog log_;
  kafka::TopicFollower follower_;
  boost::asio::steady_timer timer_;  // its io thread only
};

}  // namespace millrace::gateway
