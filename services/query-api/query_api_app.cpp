#include "query_api_app.hpp"

namespace millrace::query_api {
namespace {

postgres::PoolOptions database_options(const Config& config) {
  postgres::PoolOptions options;
  options.connect.url = config.database_url;
  options.connect.application_name = "query-api";
  // A backend that lost its client ends by itself, a little after the longest call.
  options.connect.statement_timeout = config.call_deadline_limit + std::chrono::milliseconds{1'000};
  // One more than the callers have, for the offsets that are read in the background.
  options.size = config.database_connections + 1;
  return options;
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
      registry_({config_.kafka, topics_.registry()}, metrics_),
      progress_(database_, config_.kafka, topics_.telemetry(), metrics_),
      series_(database_),
      derived_(database_),
      log_readers_(config_.kafka, config_.log_readers),
      receipts_(database_, log_readers_, topics_),
      dead_letters_(log_readers_, topics_.telemetry_dead()),
      tails_(tail_options(config_, topics_), metrics_),
      limit_use_(config_.kafka, topics_.limit_leases()),
      workers_({.threads = config_.database_connections, .queue = config_.calls_waiting}),
      dispatcher_(registry_, workers_, metrics_,
                  {.default_deadline = config_.call_deadline, .most_deadline = config_.call_deadline_limit}),
      service_({dispatcher_, registry_, series_, derived_, progress_, receipts_, dead_letters_, tails_, tail_calls_,
                limit_use_}) {}

QueryApiApp::~QueryApiApp() {
  ops_.reset();
  tail_calls_.end_all();
  server_.reset();
  tails_.stop();
  limit_use_.stop();
  progress_.stop();
  registry_.stop();
}

Status QueryApiApp::start() {
  health_.add("registry", [this] { return runtime::CheckResult{registry_.ready(), registry_.detail()}; });
  health_.add("database", [this] { return progress_.database_check(); });
  auto ops = runtime::OpsServer::start(config_.ops, health_, metrics_);
  if (!ops.ok()) return ops.error();
  ops_ = std::move(*ops);
  registry_.start();
  progress_.start();
  limit_use_.start();
  tails_.start();
  rpc::ServerOptions options;
  options.listen = config_.grpc;
  options.certificate_file = config_.certificate_file;
  options.key_file = config_.key_file;
  auto server = rpc::Server::start(options, {&service_});
  if (!server.ok()) return server.error();
  server_ = std::move(*server);
  observability::Logger("query").info("listening",
                                      {{"grpc", server_->address().to_string()}, {"ops", ops_->address().to_string()}});
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
         tail_calls_.end_all();
         return Status{};
       }},
      {"drain", [this](Deadline deadline) { return server_->stop(deadline); }},
      {"close",
       [this](Deadline deadline) {
         tails_.stop();
         progress_.stop();
         registry_.stop();
         return workers_.drain(deadline);
       }},
  };
}

}  // namespace millrace::query_api
