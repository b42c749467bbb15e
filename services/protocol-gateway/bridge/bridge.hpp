#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <millrace/journal/journal.hpp>
#include <millrace/kafka/sync_producer.hpp>
#include <millrace/registry_view/registry_view.hpp>
#include <millrace/runtime/lifecycle.hpp>

#include "bridge/bridge_config.hpp"
#include "bridge/bridge_metrics.hpp"
#include "bridge/broker_link.hpp"
#include "bridge/journal_feed.hpp"

namespace millrace::gateway {

/// When the journal is put on the disk; the end of the process alone never loses anything.
enum class BridgeSync {
  kNone,      ///< whenever the system does: power loss loses what was acknowledged within the last half minute or so
  kInterval,  ///< every few milliseconds: power loss loses those
  kEach,      ///< before each acknowledgement
};

struct BridgeOptions {
  std::string file;    ///< of brokers; empty: the bridge is off
  std::string folder;  ///< for the journal and what Paho keeps
  std::size_t journal_bytes = 0;
  BridgeSync sync = BridgeSync::kInterval;
  std::chrono::milliseconds sync_interval{10};
  std::string command_topic;
  kafka::Settings kafka;
};

/// The MQTT bridge: a client of other people's brokers. A message goes from the client's callback into the journal, the
/// callback returns and the broker gets its acknowledgement; from the journal it goes on into the ingest core.
class Bridge {
 public:
  /// Reads the brokers' file and the journal. All references must outlive the bridge.
  [[nodiscard]] static Result<std::unique_ptr<Bridge>> open(const BridgeOptions& options, RecordPublisher& publisher,
                                                            RefusedPayloads& refused, MetricNames& names,
                                                            Limiter& limiter,
                                                            const registry_view::RegistryView& registry,
                                                            const GatewayMetrics& gateway_metrics,
                                                            observability::Metrics& metrics);
  ~Bridge();  ///< close()
  Bridge(const Bridge&) = delete;
  Bridge& operator=(const Bridge&) = delete;

  void start();

  /// The core takes again. Any thread.
  void wake() { feed_->wake(); }

  /// Ends the connections to the brokers. What they have sent already is still kept, if need be beyond the journal's
  /// limit. A message that the disk does not take for ten seconds ends the process at once: a callback of Paho's that
  /// returns acknowledges, and this one must not.
  void stop_intake();
  /// Hands on what is in the journal, as long as the core takes it, until the deadline.
  [[nodiscard]] Status drain(runtime::Deadline deadline);
  /// Ends everything; what has no outcome is handed on by the next start.
  void close();

  /// For /readyz: each broker, and the journal.
  [[nodiscard]] std::string detail() const;
  /// Sets the gauges that are read when somebody asks.
  void report() const;

 private:
  struct Devices;
  struct Broker {
    Broker(const BridgeBroker& what, observability::Metrics& registry) : config(what), metrics(registry, what.name) {}

    BridgeBroker config;
    BridgeBrokerMetrics metrics;
    std::unique_ptr<BrokerLink> link;
    observability::LogLimiter limiter;
  };

  Bridge(const BridgeOptions& options, std::unique_ptr<journal::Journal> journal, observability::Metrics& metrics);

  void take(Broker& broker, const BrokerMessage& message);
  void keep(const BridgeEntry& entry);
  [[nodiscard]] bool try_keep(const BridgeEntry& entry);
  void sync_again_and_again(const std::stop_token& stop);

  BridgeOptions options_;
  BridgeMetrics metrics_;
  observability::Logger log_{"bridge"};
  observability::LogLimiter limiter_;
  std::unique_ptr<journal::Journal> journal_;
  std::unique_ptr<Devices> devices_;
  std::unique_ptr<RegistryTypes> types_;
  std::unique_ptr<IngestWorker> worker_;
  std::unique_ptr<kafka::SyncProducer> commands_;
  std::shared_ptr<JournalFeed> feed_;
  std::string body_;  // of the callback, which comes one at a time
  std::atomic<bool> stopping_{false};
  std::atomic<bool> full_{false};
  std::jthread syncing_;
  std::vector<std::unique_ptr<Broker>> brokers_;
};

}  // namespace millrace::gateway
