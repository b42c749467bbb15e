#pragma once

#include <atomic>
#include <chrono>
#include <mutex>
#include <string>
#include <thread>

#include <millrace/base/result.hpp>
#include <millrace/observability/log.hpp>
#include <millrace/postgres/connection.hpp>
#include <millrace/registry_view/registry_view.hpp>

#include "tiers/day_keeper.hpp"
#include "tiers/retention_keeper.hpp"
#include "writer_config.hpp"
#include "writer_metrics.hpp"

namespace millrace::writer {

/// The thread that keeps the tiers: once in an interval a pass of RetentionKeeper and one of DayKeeper, on a connection
/// of its own. Of all writers of a database one at a time does it.
class Maintenance {
 public:
  Maintenance(const Config& config, const registry_view::RegistryView& registry, const WriterMetrics& metrics);
  ~Maintenance();
  Maintenance(const Maintenance&) = delete;
  Maintenance& operator=(const Maintenance&) = delete;

  void start();
  /// Ends the thread; a statement under way is cancelled, what it did is undone by the server.
  void stop();
  /// One sentence for /readyz. Thread-safe.
  [[nodiscard]] std::string detail() const;

 private:
  void run();
  void cancel();
  [[nodiscard]] Status pass();
  [[nodiscard]] Status connect();
  [[nodiscard]] Status retain();
  void report(const RetentionWork& work);
  void report(const DayWork& work);
  void note(std::string detail);

  const Config& config_;
  const registry_view::RegistryView& registry_;
  const WriterMetrics& metrics_;
  observability::Logger log_{"maintenance"};
  observability::LogLimiter limiter_;
  std::unique_ptr<postgres::Connection> connection_;
  std::unique_ptr<RetentionKeeper> retention_;
  std::unique_ptr<DayKeeper> keeper_;
  std::atomic<bool> stopping_{false};
  std::atomic<bool> ended_{false};
  std::atomic<int> backend_{0};  // server process of the connection
  mutable std::mutex detail_mutex_;
  std::string detail_ = "no pass yet";
  std::jthread thread_;
};

}  // namespace millrace::writer
