#include "device_registry_app.hpp"

namespace millrace::registry {
namespace {

postgres::ConnectOptions connect_options(const Config& config) {
  postgres::ConnectOptions options;
  options.url = config.database_url;
  options.application_name = "device-registry";
  return options;
}

}  // namespace

DeviceRegistryApp::DeviceRegistryApp(Config config)
    : config_(std::move(config)),
      topics_{config_.topic_prefix},
      database_({.connect = connect_options(config_), .size = config_.database_connections, .on_open = {}}),
      view_({config_.kafka, topics_.registry()}, metrics_),
      relay_({config_.kafka, topics_.registry(), topics_.rules(), connect_options(config_)}, view_, metrics_),
      replay_(config_.kafka, topics_, database_),
      verifier_(database_),
      workers_({.threads = config_.database_connections, .queue = config_.calls_waiting}),
      dispatcher_(verifier_, workers_, metrics_, {}),
      service_({dispatcher_, database_, relay_, replay_}) {}

DeviceRegistryApp::~DeviceRegistryApp() {
  ops_.reset();
  server_.reset();
  relay_.stop();
  view_.stop();
}

Status DeviceRegistryApp::start() {
  health_.add("database", [this] { return relay_.database_check(); });
  // Kafka may be away: changes wait in the outbox. Only device keys need the topic once.
  health_.add_detail("relay", [this] { return relay_.detail(); });
  health_.add_detail("registry", [this] { return view_.detail(); });
  health_.add("device keys", [this] {
    return runtime::CheckResult{relay_.keys_safe(), relay_.keys_safe() ? "go on behind the topic's greatest"
                                                                       : "the topic registry is not read yet"};
  });
  auto ops = runtime::OpsServer::start(config_.ops, health_, metrics_);
  if (!ops.ok()) return ops.error();
  ops_ = std::move(*ops);
  view_.start();
  relay_.start();
  rpc::ServerOptions options;
  options.listen = config_.grpc;
  options.certificate_file = config_.certificate_file;
  options.key_file = config_.key_file;
  auto server = rpc::Server::start(options, {&service_});
  if (!server.ok()) return server.error();
  server_ = std::move(*server);
  observability::Logger("registry")
      .info("listening", {{"grpc", server_->address().to_string()}, {"ops", ops_->address().to_string()}});
  return {};
}

std::vector<runtime::Phase> DeviceRegistryApp::stop_phases() {
  using runtime::Deadline;
  return {
      {"not-ready",
       [this](Deadline) {
         health_.set_stopping();
         server_->set_not_serving();
         return Status{};
       }},
      {"drain", [this](Deadline deadline) { return server_->stop(deadline); }},
      {"close",
       [this](Deadline deadline) {
         relay_.stop();
         view_.stop();
         return workers_.drain(deadline);
       }},
  };
}

}  // namespace millrace::registry
