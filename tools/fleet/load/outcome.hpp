// What the links of a run report to: counts, latencies, and the ledger where there is one.
#pragma once

#include <atomic>
#include <cstdint>

#include "load/latencies.hpp"
#include "load/ledger.hpp"

namespace millrace::fleet {

/// Told about acknowledged and sent messages, for the reader that measures when they become readable.
class Observer {
 public:
  virtual ~Observer() = default;
  virtual void on_sent(std::size_t device, const Message& message) = 0;
};

/// Written by the load's thread; the counters may be read by others.
class Outcome {
 public:
  Outcome(Ledger* ledger, Observer* observer) : ledger_(ledger), observer_(observer) {}

  void made(std::size_t device, const Message& message);
  void sent(std::size_t device, const Message& message);
  void resent() { ++resent_count; }
  void acknowledged(std::size_t device, const Message& message, const Receipt& receipt, std::int64_t now_ns);
  void refused(std::size_t device, const Message& message);
  void connected() { ++connects; }
  void lost_connection() { ++lost_connections; }

  std::atomic<std::uint64_t> made_count{0};
  std::atomic<std::uint64_t> sent_count{0};
  std::atomic<std::uint64_t> resent_count{0};
  std::atomic<std::uint64_t> acknowledged_count{0};
  std::atomic<std::uint64_t> refused_count{0};
  std::atomic<std::uint64_t> connects{0};
  std::atomic<std::uint64_t> lost_connections{0};
  std::atomic<std::uint64_t> turned_away{0};  ///< CONNACK with a failure, HTTP 401 and 403
  std::atomic<std::uint64_t> pushed_back{0};  ///< HTTP 429 and 503
  std::atomic<std::uint64_t> unknown{0};      ///< HTTP 504
  Latencies ack_latencies;

 private:
  Ledger* ledger_;
  Observer* observer_;
};

}  // namespace millrace::fleet
