#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <tuple>
#include <utility>

#include <millrace/base/result.hpp>
#include <millrace/base/time.hpp>
#include <millrace/kafka/topic_follower.hpp>
#include <millrace/observability/log.hpp>
#include <millrace/postgres/connection.hpp>

#include "writer_config.hpp"

namespace millrace::writer {

/// Brings what the gateways say they acknowledged (topic `ledger`) to storage.ledger_acknowledged, and what they
/// refused and kept to storage.ledger_refused, about once a second, on a thread and a connection of its own. Every
/// writer does so: numbers only grow, so doing it twice changes nothing.
class AcknowledgedKeeper {
 public:
  explicit AcknowledgedKeeper(const Config& config);
  ~AcknowledgedKeeper();  ///< stop()
  AcknowledgedKeeper(const AcknowledgedKeeper&) = delete;
  AcknowledgedKeeper& operator=(const AcknowledgedKeeper&) = delete;

  void start();
  void stop();

 private:
  using Key = std::tuple<TimeUs, std::int32_t, std::int32_t, std::string>;  // hour, partition, generation, start
  enum class Kind : std::uint8_t { kAcknowledged, kRefused };
  struct Said {
    std::int64_t records = 0;
    std::int64_t highest_offset = 0;
  };
  using Waiting = std::map<std::pair<Kind, Key>, Said>;

  void take(const kafka::Record& record);
  void run(const std::stop_token& stop);
  [[nodiscard]] Status store(const Waiting& some);
  [[nodiscard]] Status store(Kind kind, const Waiting& some);
  void put_back(const Waiting& some);

  const Config& config_;
  observability::Logger log_{"acknowledged"};
  observability::LogLimiter limiter_;
  std::unique_ptr<postgres::Connection> connection_;  // the thread's own
  std::mutex mutex_;
  std::condition_variable_any changed_;
  Waiting waiting_;  // guarded by mutex_
  std::jthread thread_;
  kafka::TopicFollower follower_;  // last: its thread uses all of the above
};

}  // namespace millrace::writer
