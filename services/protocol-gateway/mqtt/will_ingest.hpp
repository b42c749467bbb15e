#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <millrace/mqtt/message.hpp>
#include <millrace/registry_view/registry_view.hpp>

#include "gateway_metrics.hpp"
#include "identity/authenticator.hpp"
#include "ingest/ingest_worker.hpp"
#include "io/io_threads.hpp"
#include "mqtt/topic_policy.hpp"

namespace millrace::gateway {

/// Wills of devices that are due: readings are on their way to Kafka, others go to the subscribers of the tenant.
/// Nobody is answered; what the core does not take is counted. A connection whose credential is not good any more has
/// no last word, nor has a device that is disabled, deleted or may not publish there any more, nor one that has come
/// after it under its id.
class WillIngest {
 public:
  using Locally = std::function<void(const std::string& tenant, const mqtt::MessagePtr&)>;

  /// All must outlive the threads' running. `locally` publishes to the tenant's subscribers.
  WillIngest(IoThreads& threads, std::vector<std::unique_ptr<IngestWorker>>& workers,
             const registry_view::RegistryView& registry, const Authenticator& authenticator,
             const GatewayMetrics& metrics, Locally locally)
      : threads_(threads),
        workers_(workers),
        registry_(registry),
        authenticator_(authenticator),
        metrics_(metrics),
        locally_(std::move(locally)) {}

  /// `whose`: as what the connection was let in; `session` as of session_name(). Any thread; does not block.
  void take(std::shared_ptr<const Identity> whose, const std::string& session, mqtt::MessagePtr will);

 private:
  void publish(std::size_t io_index, const Identity& whose, const std::string& session, const mqtt::MessagePtr& will);
  void refuse(const mqtt::Message& will) const;
  void submit(std::size_t io_index, std::shared_ptr<const Identity> identity, std::string_view client_id,
              const TopicPolicy::Publishing& publishing, const mqtt::Message& will);

  IoThreads& threads_;
  std::vector<std::unique_ptr<IngestWorker>>& workers_;  // by io thread
  const registry_view::RegistryView& registry_;
  const Authenticator& authenticator_;
  const GatewayMetrics& metrics_;
  Locally locally_;
};

}  // namespace millrace::gateway
