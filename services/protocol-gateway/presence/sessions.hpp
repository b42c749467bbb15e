#pragma once

#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include <boost/asio/steady_timer.hpp>

#include <millrace/kafka/topic_follower.hpp>
#include <millrace/observability/log.hpp>
#include <millrace/runtime/health.hpp>

#include "io/io_threads.hpp"
#include "presence/session_table.hpp"
#include "presence/state_log.hpp"

namespace millrace::gateway {

/// The sessions that all gateways share, in the topic `sessions`: what is written here, every gateway reads.
/// Thread-safe.
class Sessions {
 public:
  /// One session's record, and with it what a session may keep: filters, mostly.
  static constexpr std::size_t kMaxRecordBytes = 128 * 1024;

  struct Options {
    StateLogOptions log;
    std::string gateway;
    std::string start;  ///< 16 bytes of this start
  };
  /// `threads` must outlive it.
  Sessions(Options options, IoThreads& threads);
  ~Sessions();  ///< stop()
  Sessions(const Sessions&) = delete;
  Sessions& operator=(const Sessions&) = delete;

  /// The record of a session that a connection of this gateway has, by its key, was overwritten by a late one: the
  /// connection is to write it again. On the follower's thread; before start().
  void on_overwritten(std::function<void(const SessionName&)> callback) { overwritten_ = std::move(callback); }

  void start();
  void stop();
  [[nodiscard]] Status drain(runtime::Deadline deadline) { return log_.drain(deadline); }
  [[nodiscard]] bool accepting() const { return log_.accepting() && follower_.ready(); }
  [[nodiscard]] runtime::CheckResult check() const;

  using Done = std::function<void(const Status&)>;

  /// Calls `done` when everything that any gateway had written of this device before the call is in the table: a mark
  /// of this gateway has gone through the log. One mark serves all who wait. On the follower's thread; may never come
  /// while Kafka is away.
  void read_up(const Visit& visit, std::function<void()> done);

  [[nodiscard]] std::optional<mqtt::StoredSession> find(const Visit& visit) const;
  [[nodiscard]] bool contains(const Visit& visit) const;

  /// The session's new record. `done` (may be empty) says that Kafka has it, on a thread of Kafka's. An Error: not
  /// taken; kTooLarge: beyond kMaxRecordBytes.
  [[nodiscard]] Status write(const Visit& visit, mqtt::StoredSession session, bool connected, Done done);
  /// There is no such session any more.
  [[nodiscard]] Status remove(const Visit& visit, Done done);

 private:
  struct Marks {
    std::uint64_t issued = 0;
    bool under_way = false;
    std::vector<std::pair<std::uint64_t, std::function<void()>>>
        waiting;  // for the mark of that number, or a later one
  };

  [[nodiscard]] int partition_of_device(const Visit& visit) const;
  void issue(int partition, Marks& marks);
  void on_record(const kafka::Record& record);
  void on_mark(const kafka::Record& record);
  [[nodiscard]] static int partition_of_key(const std::string& key, int partitions);
  void note_orphans();
  void tend();
  void end_orphans();
  void end_expired();

  const std::string gateway_;
  const std::string start_;
  const std::string mark_key_;
  std::function<void(const SessionName&)> overwritten_;
  observability::Logger logger_{"sessions"};
  observability::LogLimiter limiter_;
  mutable std::mutex mutex_;
  SessionTable table_;        // under the mutex, as the marks
  std::vector<Marks> marks_;  // by partition
  bool read_before_ = false;
  std::vector<SessionTable::Orphan> orphans_;  // whose end is not written yet
  StateLog log_;
  kafka::TopicFollower follower_;
  boost::asio::steady_timer timer_;  // its io thread only
};

}  // namespace millrace::gateway
