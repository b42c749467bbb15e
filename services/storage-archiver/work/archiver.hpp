#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <stop_token>
#include <string>
#include <string_view>
#include <thread>

#include "archiver_config.hpp"
#include "archiver_metrics.hpp"
#include "work/day_archiver.hpp"

namespace millrace::archiver {

/// Looks for work and does it, now and then, on a thread of its own.
class Archiver {
 public:
  Archiver(const Config& config, const ArchiverMetrics& metrics);
  ~Archiver();

  void start();
  /// Gives up what is under way: it is begun again at the next start.
  void stop();

  /// One look, on the caller's thread; not while it runs by itself. The first failure, if there was one; what does not
  /// depend on what failed is done all the same. `after_step`: see DayArchiver.
  [[nodiscard]] Status pass(const std::function<void(std::string_view)>& after_step = {});

  struct State {
    bool ok = false;
    std::string detail;
  };
  [[nodiscard]] State state() const;

 private:
  class Failures;
  void run(const std::stop_token& stop);
  [[nodiscard]] Status look(const std::function<void(std::string_view)>& after_step);
  void tell(bool ok, std::string detail);
  void drop_tables(DayArchiver& days, Failures& failures);
  void remove_expired(DayArchiver& days, Failures& failures);
  void archive_days(DayArchiver& days, Failures& failures);
  void sweep(Failures& failures);
  [[nodiscard]] Status sweep_orphans();
  [[nodiscard]] bool stopping() const { return stopping_; }

  const Config& config_;
  const ArchiverMetrics& metrics_;
  Catalogue catalogue_;
  FileStore store_;
  mutable std::mutex mutex_;
  std::condition_variable_any wake_;
  State state_;
  std::atomic<bool> stopping_{false};
  std::jthread thread_;  // last: uses all of the above
};

}  // namespace millrace::archiver
