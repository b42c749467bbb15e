#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include <millrace/base/time.hpp>
#include <millrace/telemetry/batch.hpp>

namespace millrace::query_api {

struct TailFilter {
  std::string tenant;
  std::set<std::string, std::less<>> devices;  ///< empty: all
  std::set<std::string, std::less<>> metrics;  ///< empty: all

  [[nodiscard]] bool wants_metric(std::string_view metric) const { return metrics.empty() || metrics.contains(metric); }
};

struct TailReading {
  std::string device;
  std::string metric;
  TimeUs time = 0;
  telemetry::Value value;
  std::string receipt;
};

/// The queue of one tail between the thread that reads the log and the one that writes to the client. Bounded: what
/// does not fit is counted, and nobody waits for anybody. Thread-safe.
class TailReader {
 public:
  TailReader(TailFilter filter, std::size_t most_readings, std::size_t most_bytes);

  [[nodiscard]] const TailFilter& filter() const { return filter_; }

  /// Called (on the log's thread) when the reader is live or something came while take() had found nothing. Must not
  /// block.
  void on_wake(std::function<void()> wake);
  /// After it returns the callback is not running and will not be called again.
  void close();

  void set_live();
  void offer(TailReading reading);

  struct Taken {
    bool live = false;
    std::vector<TailReading> readings;
    std::int64_t missed = 0;
  };
  /// What is there, at most `most`; when there is nothing, the next offer wakes.
  [[nodiscard]] Taken take(std::size_t most);

 private:
  void wake();

  const TailFilter filter_;
  const std::size_t most_readings_;
  const std::size_t most_bytes_;
  // Held while the callback runs, which itself calls take(): always before mutex_.
  std::mutex wake_mutex_;
  std::function<void()> wake_;
  std::mutex mutex_;
  std::deque<TailReading> queue_;
  std::size_t bytes_ = 0;
  std::int64_t missed_ = 0;
  bool live_ = false;
  bool waiting_ = true;
};

}  // namespace millrace::query_api
