#pragma once

#include <memory>

#include <millrace/kafka/topics.hpp>
#include <millrace/postgres/pool.hpp>
#include <millrace/registry_view/registry_view.hpp>
#include <millrace/rpc/server.hpp>
#include <millrace/rpc/worker_pool.hpp>
#include <millrace/runtime/health.hpp>
#include <millrace/runtime/lifecycle.hpp>
#include <millrace/runtime/ops_server.hpp>

#include "registry_config.hpp"
#include "relay/outbox_relay.hpp"
#include "replay/dead_letter_replay.hpp"
#include "rpc/registry_service.hpp"
#include "store/api_keys.hpp"

namespace millrace::registry {

/// The composition root: the only place that knows all parts. Members stand in the order they depend on each other.
class DeviceRegistryApp final : public runtime::App {
 public:
  explicit DeviceRegistryApp(Config config);
  ~DeviceRegistryApp() override;

  [[nodiscard]] Status start() override;
  [[nodiscard]] std::vector<runtime::Phase> stop_phases() override;

  /// With the ports that were really bound; after start().
  [[nodiscard]] const Address& grpc_address() const { return server_->address(); }
  [[nodiscard]] bool ready() const { return health_.report().ready; }

 private:
  Config config_;
  kafka::TopicNames topics_;
  observability::Metrics metrics_;
  runtime::Health health_;
  postgres::Pool database_;
  registry_view::RegistryView view_;
  OutboxRelay relay_;
  DeadLetterReplay replay_;
  DatabaseKeyVerifier verifier_;
  rpc::WorkerPool workers_;
  rpc::Dispatcher dispatcher_;
  RegistryService service_;
  std::unique_ptr<rpc::Server> server_;
  std::unique_ptr<runtime::OpsServer> ops_;
};

/// `device-registry migrate`: exit code.
[[nodiscard]] int migrate(const Config& config);

/// `device-registry bootstrap [--tenant NAME]`: exit code.
[[nodiscard]] int bootstrap(const Config& config, const std::vector<std::string>& arguments);

}  // namespace millrace::registry
