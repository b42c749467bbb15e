#pragma once

#include <memory>
#include <string>
#include <vector>

#include <millrace/mqtt/message.hpp>
#include <millrace/registry_view/registry_view.hpp>

#include "gateway_metrics.hpp"
#include "ingest/ingest_worker.hpp"
#include "io/io_threads.hpp"

namespace millrace::gateway {

/// Wills of devices that are due, as messages on their way to Kafka. Nobody is answered; what the core does not take is
/// counted. A device that is not enabled any more has no last word.
class WillIngest {
 public:
  /// All must outlive the threads' running.
  WillIngest(IoThreads& threads, std::vector<std::unique_ptr<IngestWorker>>& workers,
             const registry_view::RegistryView& registry, const GatewayMetrics& metrics)
      : threads_(threads), workers_(workers), registry_(registry), metrics_(metrics) {}

  /// `session` as of session_name(). Any thread; does not block.
  void take(const std::string& tenant, const std::string& session, mqtt::MessagePtr will);

 private:
  void submit(std::size_t io_index, const std::string& tenant, const std::string& session, const mqtt::Message& will);

  IoThreads& threads_;
  std::vector<std::unique_ptr<IngestWorker>>& workers_;  // by io thread
  const registry_view::RegistryView& registry_;
  const GatewayMetrics& metrics_;
};

}  // namespace millrace::gateway
