#include "query_api_app.hpp"

#include <algorithm>

#include "read/statements.hpp"

namespace millrace::query_api {
namespace {

postgres::PoolOptions database_options(const Config& config) {
  postgres::PoolOptions options;
  options.connect.url = config.database_url;
  options.connect.application_name = "query-api";
  // A backend that lost its client ends by itself, a little after the longest call.
  options.connect.statement_timeout = config.call_deadline_limit + std::chrono::milliseconds{1'000};
  // Two more than the callers have: for the offsets that are read in the background, and for exports. Who reads the
  // archive has left his thread to others, and needs one beside theirs.
  options.size = config.database_connections + 2 + (config.archive.on() ? config.archive_readers : 0);
  options.on_open = prepare_statements;
  return options;
}

constexpr std::chrono::milliseconds kRetryAfter{1'000};

/// For each reader of the archive three calls may wait.
constexpr std::size_t kCallsPerArchiveReader = 4;

/// One tenant's calls leave a thread to the others, where there is more than one, and half of the places aside.
rpc::WorkerPool::Options worker_options(const Config& config) {
  return {.threads = config.database_connections,
          .queue = config.calls_waiting,
          .queue_of_owner = config.tenant_calls_waiting,
          .running_of_owner = std::max<std::size_t>(1, config.database_connections - 1),
          .aside = kCallsPerArchiveReader * (config.archive.on() ? config.archive_readers : 0),
          .aside_of_owner = kCallsPerArchiveReader * config.archive_readers / 2};
}

TailOptions tail_options(const Config& config, const kafka::TopicNames& topics) {
  TailOptions options;
  options.kafka = config.kafka;
  options.topic = topics.telemetry();
  options.most_readers = config.tails;
  options.queue_readings = config.tail_queue_readings;
  return options;
}

}  // namespace

QueryApiApp::QueryApiApp(Config config)
    : config_(std::move(config)),
      topics_{config_.topic_prefix},
      database_(database_options(config_)),
      registry_({.kafka = config_.kafka,
                 .topic = topics_.registry(),
                 .types = registry_view::Types::kNames,
                 .lists = registry_view::Lists::kKeep},
                metrics_),
      progress_(database_, config_.kafka, topics_.telemetry(), metrics_),
      series_(database_),
      cold_(config_.archive, config_.archive_readers),
      tiers_(series_, database_, cold_),
      downsampler_(database_, tiers_),
      groups_(database_),
      archived_(database_, cold_),
      derived_(database_),
      log_readers_(config_.kafka, config_.log_readers),
      receipts_(database_, log_readers_, topics_),
      dead_letters_(log_readers_, topics_.telemetry_dead()),
      tails_(tail_options(config_, topics_), metrics_),
      limit_use_(config_.kafka, topics_.limit_leases()),
      presence_(config_.kafka, topics_.presence(), metrics_),
      export_reader_(database_),
      ledger_(database_, log_readers_, topics_.telemetry()),
      retention_(database_),
      workers_(worker_options(config_)),
      // Each export has one job at a time.
      export_workers_({.threads = 1, .queue = config_.exports, .aside = config_.exports}),
      dispatcher_(registry_, workers_, metrics_,
                  {.default_deadline = config_.call_deadline,
                   .most_deadline = config_.call_deadline_limit,
                   .verify = rpc::Verify::kOnArrival,
                   .retry_after = kRetryAfter}),
      service_({dispatcher_,
                registry_,
                series_,
                tiers_,
                downsampler_,
                groups_,
                archived_,
                derived_,
                progress_,
                receipts_,
                dead_letters_,
                tails_,
                streams_,
                limit_use_,
                presence_,
                {export_reader_, tiers_, cold_, registry_},
                {dispatcher_, export_workers_, streams_, config_.call_deadline_limit},
                ledger_,
                retention_}) {}

QueryApiApp::~QueryApiApp() {
  ops_.reset();
  streams_.end_all();
  if (front_) front_->stop_intake();
  // Calls that came through the front answer on it: it goes when they have ended.
  if (server_) (void)server_->stop(std::chrono::steady_clock::now());
  front_.reset();
  server_.reset();
  tails_.stop();
  presence_.stop();
  limit_use_.stop();
  progress_.stop();
  registry_.stop();
}

Status QueryApiApp::start() {
  health_.add("registry", [this] { return runtime::CheckResult{registry_.ready(), registry_.detail()}; });
  health_.add("database", [this] { return progress_.database_check(); });
  health_.add("presence", [this] {
    return runtime::CheckResult{presence_.ready(), presence_.ready() ? "read" : "the topic presence is being read"};
  });
  auto ops = runtime::OpsServer::start(config_.ops, health_, metrics_);
  if (!ops.ok()) return ops.error();
  ops_ = std::move(*ops);
  registry_.start();
  progress_.start();
  limit_use_.start();
  presence_.start();
  tails_.start();
  rpc::ServerOptions options;
  options.listen = config_.grpc;
  options.certificate_file = config_.certificate_file;
  options.key_file = config_.key_file;
  auto server = rpc::Server::start(options, {&service_});
  if (!server.ok()) return server.error();
  server_ = std::move(*server);
  auto front = HttpFront::start({.listen = config_.http,
                                 .certificate_file = config_.certificate_file,
                                 .key_file = config_.key_file,
                                 .cors_origins = config_.cors_origins,
                                 .body_bytes = config_.http_body_bytes},
                                server_->in_process_channel(), metrics_);
  if (!front.ok()) return front.error();
  front_ = std::move(*front);
  observability::Logger("query").info("listening", {{"grpc", server_->address().to_string()},
                                                    {"http", front_->address().to_string()},
                                                    {"ops", ops_->address().to_string()}});
  return {};
}

std::vector<runtime::Phase> QueryApiApp::stop_phases() {
  using runtime::Deadline;
  return {
      {"not-ready",
       [this](Deadline) {
         health_.set_stopping();
         server_->set_not_serving();
         return Status{};
       }},
      {"stop intake",
       [this](Deadline) {
         streams_.end_all();
         front_->stop_intake();
         return Status{};
       }},
      {"drain", [this](Deadline deadline) { return server_->stop(deadline); }},
      {"close",
       [this](Deadline deadline) {
         tails_.stop();
         progress_.stop();
         registry_.stop();
         const Status exports = export_workers_.drain(deadline);
         const Status calls = workers_.drain(deadline);
         return calls.ok() ? exports : calls;
       }},
  };
}

}  // namespace millrace::query_api
