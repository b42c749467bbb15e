#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace millrace::observability {

/// Only values of closed sets (a protocol, an outcome): never ids.
using Labels = std::map<std::string, std::string>;

/// Handles are resolved once, in the constructor of a component's metrics struct, and stay valid as long as the Metrics
/// they came from. All are thread-safe and do not block.
class Counter {
 public:
  void add(double amount = 1) const;

 private:
  friend class Metrics;
  explicit Counter(void* impl) : impl_(impl) {}
  void* impl_;
};

class Gauge {
 public:
  void set(double value) const;
  void add(double amount) const;

 private:
  friend class Metrics;
  explicit Gauge(void* impl) : impl_(impl) {}
  void* impl_;
};

class Histogram {
 public:
  void observe(double value) const;

 private:
  friend class Metrics;
  explicit Histogram(void* impl) : impl_(impl) {}
  void* impl_;
};

/// Upper bounds in seconds for latencies from 100 us to 60 s.
[[nodiscard]] const std::vector<double>& latency_buckets();

/// The metrics of one process. The name says the unit (`_seconds`, `_bytes`, `_total`); asking twice for the same name
/// and labels gives the same series.
class Metrics {
 public:
  Metrics();
  ~Metrics();
  Metrics(const Metrics&) = delete;
  Metrics& operator=(const Metrics&) = delete;

  [[nodiscard]] Counter counter(std::string_view name, std::string_view help, const Labels& labels = {});
  [[nodiscard]] Gauge gauge(std::string_view name, std::string_view help, const Labels& labels = {});
  [[nodiscard]] Histogram histogram(std::string_view name, std::string_view help,
                                    const std::vector<double>& buckets = latency_buckets(), const Labels& labels = {});

  /// Called before each expose(), to set gauges that are cheap to read and costly to keep (queue depths). May be called
  /// from any thread, one call at a time; must outlive what it captures or not capture it.
  void on_collect(std::function<void()> refresh);

  /// Prometheus text format 0.0.4.
  [[nodiscard]] std::string expose() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace millrace::observability
