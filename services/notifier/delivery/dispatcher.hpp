#pragma once

#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include <millrace/observability/log.hpp>

#include "delivery/book.hpp"
#include "notifier_metrics.hpp"
#include "send/webhook.hpp"

namespace millrace::notifier {

struct DispatcherOptions {
  BookLimits limits;
  std::size_t concurrency = 256;  ///< requests under way, over all tenants
  std::string version;
};

/// The Book for several threads, and the thread that starts what is due. Thread-safe; nothing here blocks longer than a
/// look into the Book, except where it is said.
class Dispatcher {
 public:
  /// A tenant's webhook as it is now; thread-safe, does not block.
  using FindWebhook = std::function<std::optional<Webhook>(std::string_view tenant)>;

  Dispatcher(const DispatcherOptions& options, Sender& sender, FindWebhook find, const NotifierMetrics& metrics);
  /// The sender must be stopped before: its answers come here.
  ~Dispatcher();
  Dispatcher(const Dispatcher&) = delete;
  Dispatcher& operator=(const Dispatcher&) = delete;

  void start();
  /// Starts no further request.
  void stop_starting();
  /// Blocks until no request is under way; false: not by the deadline.
  [[nodiscard]] bool wait_idle(Clock::time_point deadline);

  /// As Book::open; returns where to read from.
  std::int64_t open(std::int32_t partition, const Saved& saved);
  void close(std::int32_t partition);
  /// An event of the first reader.
  void take(Event event);
  void pass(std::int32_t partition, std::int64_t next_offset);

  /// Blocks until a stretch is to be read again; nullopt: stopped.
  [[nodiscard]] std::optional<BacklogJob> wait_backlog(const std::stop_token& stop);
  /// False: the job ends.
  [[nodiscard]] bool take_backlog(const BacklogJob& job, Event event);
  [[nodiscard]] bool reach(const BacklogJob& job, std::int64_t next_offset);

  /// Called by the webhooks' owner after a change.
  void webhook_changed(std::string_view tenant);

  [[nodiscard]] std::map<std::int32_t, Saved> take_changed();
  [[nodiscard]] std::map<std::int32_t, Saved> save(const std::vector<std::int32_t>& partitions) const;
  void keep_again(const std::map<std::int32_t, Saved>& progress);
  [[nodiscard]] Book::Figures figures() const;

 private:
  using Lock = std::unique_lock<std::mutex>;

  void run(const std::stop_token& stop);
  /// The next request to send; ends what cannot be sent.
  [[nodiscard]] std::optional<std::pair<Event, Webhook>> next(Clock::time_point now);
  void send(Event event, const Webhook& webhook);
  void answered(const Event& event, const std::string& origin, const Answer& answer, Clock::time_point sent);
  void note_attempt(const Event& event, const std::string& origin, const Answer& answer) const;
  void ended(const Event& event, Ending ending, const Answer& answer) const;

  DispatcherOptions options_;
  Sender& sender_;
  FindWebhook find_;
  const NotifierMetrics& metrics_;
  observability::Logger log_{"delivery"};
  mutable std::mutex mutex_;
  std::condition_variable_any changed_;  // a request may be due, a backlog may have room, the last request has ended
  Book book_;                            // guarded by mutex_, as the following
  std::size_t in_flight_ = 0;
  bool starting_ = true;
  std::uint64_t changes_ = 0;
  std::jthread thread_;
};

}  // namespace millrace::notifier
