#include "protocol_gateway_app.hpp"

#include <algorithm>

#include <boost/asio/ip/address.hpp>

namespace millrace::gateway {
namespace {

constexpr std::chrono::seconds kGoodbye{2};

/// Waiting for the database at once: about 25 MB.
constexpr std::size_t kMostStoredAnswers = 200'000;

std::size_t thread_count(const Config& config) {
  return config.io_threads != 0 ? config.io_threads : std::max<std::size_t>(1, std::thread::hardware_concurrency());
}

PublisherOptions publisher_options(const Config& config, const kafka::TopicNames& topics) {
  PublisherOptions options;
  options.kafka = config.kafka;
  options.topic = topics.telemetry();
  options.linger_ms = config.linger_ms;
  options.max_in_flight_bytes = config.max_in_flight_bytes;
  options.stall_after = config.stall_after;
  return options;
}

StateLogOptions state_log_options(const Config& config, std::string topic) {
  StateLogOptions options;
  options.kafka = config.kafka;
  options.topic = std::move(topic);
  options.stall_after = config.stall_after;
  return options;
}

Presence::Options presence_options(const Config& config, const kafka::TopicNames& topics,
                                   const telemetry::StartId& start, const StateFolder& folder) {
  return {.log = state_log_options(config, topics.presence()),
          .gateway = folder.gateway_name(),
          .start = std::string(start.begin(), start.end())};
}

Sessions::Options sessions_options(const Config& config, const kafka::TopicNames& topics,
                                   const telemetry::StartId& start, const StateFolder& folder) {
  return {.log = state_log_options(config, topics.sessions()),
          .gateway = folder.gateway_name(),
          .start = std::string(start.begin(), start.end())};
}

DeadLetterOptions dead_letter_options(const Config& config, const kafka::TopicNames& topics) {
  DeadLetterOptions options;
  options.kafka = config.kafka;
  options.topic = topics.telemetry_dead();
  return options;
}

std::unique_ptr<RegistryProvisioner> make_provisioner(const Config& config, Arrivals& arrivals,
                                                      observability::Metrics& metrics) {
  if (!config.registry) return nullptr;
  RegistryProvisioner::Options options;
  options.registry.server = *config.registry;
  options.registry.ca_file = config.registry_ca_file;
  options.key_file = config.registry_key_file;
  return std::make_unique<RegistryProvisioner>(std::move(options), arrivals, metrics);
}

mqtt::BrokerLimits broker_limits(const Config& config) {
  mqtt::BrokerLimits limits;
  limits.maximum_sessions = config.max_sessions;
  limits.maximum_sessions_per_owner = config.max_sessions_per_device;
  return limits;
}

http::ServerSettings http_settings(const Config& config, const tls::Networks& balancers,
                                   const std::shared_ptr<tls::HandshakeGate>& handshakes,
                                   const std::shared_ptr<tls::Strangers>& strangers) {
  http::ServerSettings settings;
  settings.balancers = balancers;
  settings.handshake_timeout = config.handshake_deadline;
  settings.handshakes = handshakes;
  settings.strangers = strangers;
  settings.max_connections = config.max_connections;
  settings.max_body_bytes = kMaxBodyBytes;
  return settings;
}

}  // namespace

ProtocolGatewayApp::ProtocolGatewayApp(Config config)
    : config_(std::move(config)),
      topics_{config_.topic_prefix},
      gateway_metrics_(metrics_),
      metric_names_(config_.max_metric_names),
      registry_({config_.kafka, topics_.registry(), registry_view::Types::kKeep}, metrics_),
      registry_credentials_(registry_),
      admission_metrics_(metrics_),
      arrivals_(registry_),
      provisioner_(make_provisioner(config_, arrivals_, metrics_)),
      authenticator_({.threads = config_.password_threads}, registry_credentials_, admission_metrics_,
                     provisioner_.get()),
      registry_limits_(registry_),
      limiter_(registry_limits_, gateway_metrics_),
      types_(registry_),
      leases_({config_.kafka, topics_.limit_leases(), config_.limit_lease}, limiter_, registry_limits_),
      generations_(config_.kafka, topics_.storage_progress(), topics_.telemetry()),
      threads_(thread_count(config_)),
      stored_answers_(kMostStoredAnswers, gateway_metrics_,
                      [this](std::vector<Settlement> settlements) { threads_.settle(std::move(settlements)); }),
      publisher_(publisher_options(config_, topics_), gateway_metrics_, generations_,
                 [this](std::vector<Settlement> settlements) { threads_.settle(std::move(settlements)); }),
      ledger_({.kafka = config_.kafka,
               .topic = topics_.ledger(),
               .telemetry = topics_.telemetry(),
               .dead = topics_.telemetry_dead()},
              publisher_.start_id(),
              [this](std::vector<AckLedger::Counted>& counted) {
                publisher_.collect_acknowledged(counted);
                dead_letters_.collect_kept(counted);
              }),
      dead_letters_(dead_letter_options(config_, topics_), gateway_metrics_,
                    [this](std::vector<Settlement> settlements) { threads_.settle(std::move(settlements)); }),
      durability_(config_.kafka, topics_.telemetry()),
      wills_(threads_, workers_, registry_, authenticator_, gateway_metrics_,
             [this](const std::string& tenant, const mqtt::MessagePtr& will) {
               name_spaces_.of_tenant(tenant).broker().publish(will, nullptr, std::chrono::steady_clock::now());
             }),
      name_spaces_(threads_, broker_limits(config_), config_.mqtt_memory_bytes),
      handshakes_(std::make_shared<tls::HandshakeGate>(config_.handshakes)),
      strangers_(std::make_shared<tls::Strangers>(config_.max_strangers_per_address)) {}

ProtocolGatewayApp::~ProtocolGatewayApp() {
  // Callbacks into the parts end before the parts do.
  ops_.reset();
  if (bridge_) bridge_->close();
  if (certificates_) certificates_->stop();
  if (coap_) coap_->stop();
  leases_.stop();
  registry_.stop();
  if (provisioner_) provisioner_->stop();
  authenticator_.stop();
  if (sessions_) sessions_->stop();
  if (presence_) presence_->stop();
  generations_.stop();
  durability_.stop();
  dead_letters_.stop();
  ledger_.stop();
  publisher_.stop();
  threads_.stop();
}

void ProtocolGatewayApp::add_checks() {
  health_.add("kafka", [this] { return publisher_.kafka_check(); });
  health_.add("clock", [this] { return publisher_.clock_check(); });
  health_.add("registry", [this] { return runtime::CheckResult{registry_.ready(), registry_.detail()}; });
  health_.add("presence", [this] { return presence_->check(); });
  health_.add("sessions", [this] { return sessions_->check(); });
  health_.add("log generations", [this] { return generations_.check(); });
  health_.add_detail("durability", [this] { return durability_.text(); });
}

void ProtocolGatewayApp::wire() {
  for (std::size_t i = 0; i < threads_.size(); ++i) {
    workers_.push_back(std::make_unique<IngestWorker>(publisher_, dead_letters_, metric_names_, limiter_, types_));
  }
  MqttOptions options;
  options.max_connections = config_.max_connections;
  options.session.maximum_packet_size = config_.max_packet_bytes;
  options.session.receive_maximum = config_.receive_maximum;
  options.server_reference = config_.server_reference;
  options.connect_deadline = config_.connect_deadline;
  options.max_session_expiry_s = config_.max_session_expiry_s;
  options.connects_per_s = static_cast<double>(config_.connects_per_s);
  mqtt_context_.reset(new MqttContext{options, threads_, workers_, registry_, authenticator_, *presence_, *sessions_,
                                      gateway_metrics_, name_spaces_, wills_});
  metrics_.on_collect([this] {
    name_spaces_.report(gateway_metrics_);
    authenticator_.report();
    const auto handshakes = handshakes_->counts();
    gateway_metrics_.tls_handshakes_under_way.set(static_cast<double>(handshakes.under_way));
    gateway_metrics_.tls_handshakes_waiting.set(static_cast<double>(handshakes.waiting));
  });
  MqttListenerOptions listening;
  listening.opening.balancers = balancers_;
  listening.opening.deadline = config_.handshake_deadline;
  listening.opening.gate = handshakes_;
  listening.opening.strangers = strangers_;
  listening.handshakes_per_s = static_cast<double>(config_.handshakes_per_s * threads_.size());
  listener_ = std::make_unique<MqttListener>(*mqtt_context_, listening);
  front_ = std::make_unique<MqttFront>(*mqtt_context_, listening, mqtt_tls_, http_tls_);
  listening.access = MqttAccess::kOpen;
  listening.opening.strangers.reset();  // there nobody shows anything
  if (config_.mqtt_open) open_listener_ = std::make_unique<MqttListener>(*mqtt_context_, listening);
  handler_ =
      std::make_unique<TelemetryHandler>(threads_, workers_, registry_, authenticator_, gateway_metrics_,
                                         TelemetryHandler::Options{config_.answer_deadline, config_.max_waiting_bytes});
  coap_ = std::make_unique<CoapServer>(config_.coap, registry_, authenticator_, publisher_, dead_letters_,
                                       metric_names_, limiter_, gateway_metrics_);
  publisher_.hold_with(stored_answers_);
  generations_.on_position(
      [this](telemetry_log::StoredPosition position) { stored_answers_.take(std::move(position)); });
  publisher_.on_accepting([this] {
    listener_->resume_held();
    if (bridge_) bridge_->wake();
  });
  presence_->on_newer([this](const Visit& visit, std::uint64_t epoch) { listener_->on_newer(visit, epoch); });
  presence_->on_gone([this](const Visit& visit, std::uint64_t offset) { listener_->on_gone(visit, offset); });
  sessions_->on_overwritten([this](const SessionName& session) { listener_->on_overwritten(session); });
  registry_.on_revocation(
      [this](const registry_view::Revocation& revocation) { listener_->on_revocation(revocation); });
}

Status ProtocolGatewayApp::open_bridge() {
  if (config_.bridge.file.empty()) return {};
  auto bridge = Bridge::open(config_.bridge, publisher_, dead_letters_, metric_names_, limiter_, registry_,
                             gateway_metrics_, metrics_);
  if (!bridge.ok()) return bridge.error();
  bridge_ = std::move(*bridge);
  health_.add_detail("bridge", [this] { return bridge_->detail(); });
  metrics_.on_collect([this] { bridge_->report(); });
  return {};
}

Status ProtocolGatewayApp::check_open_address() const {
  if (!config_.mqtt_open || config_.mqtt_open_anywhere || config_.mqtt_open->host == "localhost") return {};
  boost::system::error_code error;
  const auto host = boost::asio::ip::make_address(config_.mqtt_open->host, error);
  if (!error && host.is_loopback()) return {};
  return Error{ErrorKind::kInvalid, "MQTT_OPEN_ADDR " + config_.mqtt_open->to_string() +
                                        " is no loopback address: everybody could use it (MQTT_OPEN_ANYWHERE)"};
}

// MQTT and HTTP speak other protocols by ALPN; WebSocket begins as HTTP.
Status ProtocolGatewayApp::read_certificates() {
  auto balancers = tls::Networks::parse(config_.balancers);
  if (!balancers.ok()) return Error{ErrorKind::kInvalid, "PROXY_PROTOCOL_FROM: " + balancers.error().message};
  balancers_ = std::move(*balancers);
  std::vector<std::shared_ptr<tls::ServerContext>> contexts;
  if (config_.mqtts || config_.mqtt_wss || config_.https) {
    auto pairs = tls::parse_key_pairs(config_.certificate_files, config_.key_files);
    if (!pairs.ok()) return Error{ErrorKind::kInvalid, "TLS_CERTIFICATE_FILES: " + pairs.error().message};
    auto mqtt = tls::ServerContext::create({*pairs, {"mqtt"}, tls::ClientCertificate::kRequested});
    if (!mqtt.ok()) return mqtt.error();
    auto http = tls::ServerContext::create({*pairs, {"http/1.1"}, tls::ClientCertificate::kRequested});
    if (!http.ok()) return http.error();
    contexts = {mqtt_tls_ = *mqtt, http_tls_ = *http};
  }
  certificates_ = std::make_unique<tls::CertificateWatch>(std::move(contexts), metrics_);
  certificates_->start();
  return {};
}

void ProtocolGatewayApp::reload() { certificates_->reload(); }

Status ProtocolGatewayApp::start() {
  if (auto status = check_open_address(); !status.ok()) return status;
  if (auto status = read_certificates(); !status.ok()) return status;
  auto folder = StateFolder::open(config_.state_dir, config_.gateway_name);
  if (!folder.ok()) return folder.error();
  state_folder_ = std::move(*folder);
  presence_ = std::make_unique<Presence>(presence_options(config_, topics_, publisher_.start_id(), *state_folder_),
                                         threads_, gateway_metrics_);
  sessions_ =
      std::make_unique<Sessions>(sessions_options(config_, topics_, publisher_.start_id(), *state_folder_), threads_);
  if (auto opened = open_bridge(); !opened.ok()) return opened.error();
  wire();
  add_checks();
  auto ops = runtime::OpsServer::start(config_.ops, health_, metrics_);
  if (!ops.ok()) return ops.error();
  ops_ = std::move(*ops);
  heap_trim_.start();
  registry_.start();
  leases_.start();
  generations_.start();
  presence_->start();
  sessions_->start();
  publisher_.start();
  ledger_.start();
  dead_letters_.start();
  durability_.start();
  threads_.start();
  handler_->start();
  if (auto status = start_listeners(); !status.ok()) return status;
  if (bridge_) bridge_->start();
  return {};
}

Status ProtocolGatewayApp::start_listeners() {
  if (config_.mqtt) {
    if (auto status = listener_->start(*config_.mqtt); !status.ok()) return status;
  }
  if (open_listener_) {
    if (auto status = open_listener_->start(*config_.mqtt_open); !status.ok()) return status;
  }
  if (auto status = front_->start(config_.mqtts, config_.mqtt_ws, config_.mqtt_wss); !status.ok()) return status;
  if (auto status = start_http(); !status.ok()) return status;
  if (auto status = coap_->start(); !status.ok()) return status;
  const auto shown = [](const std::optional<Address>& address) { return address ? address->to_string() : "off"; };
  const observability::Logger log("gateway");
  log.info("listening", {{"mqtt", config_.mqtt ? listener_->address().to_string() : "off"},
                         {"mqtt open", open_listener_ ? open_listener_->address().to_string() : "off"},
                         {"mqtts", front_->text(MqttTransport::kTls)},
                         {"mqtt ws", front_->text(MqttTransport::kWebSocket)},
                         {"mqtt wss", front_->text(MqttTransport::kSecureWebSocket)},
                         {"http", http_ ? http_->address().to_string() : "off"},
                         {"https", https_ ? https_->address().to_string() : "off"},
                         {"coap", shown(coap_->plain_address())},
                         {"coaps", shown(coap_->secure_address())}});
  return {};
}

Status ProtocolGatewayApp::start_http() {
  http::Observer observer;
  observer.answered = [this](int status, std::chrono::nanoseconds took) {
    gateway_metrics_.http_requests[static_cast<std::size_t>(std::clamp(status / 100, 0, 5))].add();
    gateway_metrics_.http_seconds.observe(std::chrono::duration<double>(took).count());
  };
  observer.connections = [this](int delta) { gateway_metrics_.http_connections.add(delta); };
  observer.refused = [this](std::string_view why) {
    (why == "crowded_address" ? gateway_metrics_.strangers_refused : gateway_metrics_.http_malformed).add();
  };
  observer.handshake = [this](std::string_view outcome) { gateway_metrics_.tls_handshake(outcome).add(); };
  const auto contexts = threads_.contexts();
  const auto handle = [this](const http::Request& request, const http::Responder& responder) {
    handler_->handle(request, responder);
  };
  http::ServerSettings settings = http_settings(config_, balancers_, handshakes_, strangers_);
  const auto listen = [&](const std::optional<Address>& address, std::unique_ptr<http::Server>& listener) -> Status {
    if (!address) return {};
    settings.address = *address;
    auto server = http::Server::start(settings, contexts, handle, observer);
    if (!server.ok()) return server.error();
    listener = std::move(*server);
    return {};
  };
  if (auto status = listen(config_.http, http_); !status.ok()) return status;
  settings.tls = http_tls_;
  return listen(config_.https, https_);
}

std::vector<runtime::Phase> ProtocolGatewayApp::stop_phases() {
  using runtime::Deadline;
  return {
      {"not-ready",
       [this](Deadline) {
         health_.set_stopping();
         return Status{};
       }},
      // Whoever is connected is served until its turn to go comes.
      {"send clients away",
       [this](Deadline deadline) {
         if (open_listener_) open_listener_->stop_accepting();
         front_->stop_accepting();
         listener_->stop_accepting();
         listener_->drain_all(config_.drain_spread, deadline);
         return Status{};
       }},
      {"stop intake",
       [this](Deadline) {
         listener_->stop_intake();
         if (open_listener_) open_listener_->stop_intake();
         front_->stop_intake();
         if (http_) http_->stop_intake();
         if (https_) https_->stop_intake();
         coap_->stop_intake();
         if (bridge_) bridge_->stop_intake();
         return Status{};
       }},
      {"hand on", [this](Deadline deadline) { return bridge_ ? bridge_->drain(deadline) : Status{}; }},
      {"drain", [this](Deadline deadline) { return publisher_.drain(deadline); }},
      {"flush", [this](Deadline deadline) { return dead_letters_.drain(deadline); }},
      {"answer", [this](Deadline deadline) { return coap_->drain(deadline); }},
      {"close",
       [this](Deadline) {
         listener_->close_all();
         if (http_) http_->close();
         if (https_) https_->close();
         if (bridge_) bridge_->close();
         coap_->stop();
         ledger_.stop();
         return Status{};
       }},
      {"presence",
       [this](Deadline deadline) {
         // Not for clients that do not read what they are told.
         static_cast<void>(listener_->wait_closed(std::min(deadline, std::chrono::steady_clock::now() + kGoodbye)));
         const Status sessions = sessions_->drain(deadline);
         const Status presence = presence_->drain(deadline);
         return sessions.ok() ? presence : sessions;
       }},
  };
}

}  // namespace millrace::gateway
