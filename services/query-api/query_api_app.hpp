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

#include "export/export_reader.hpp"
#include "front/http_front.hpp"
#include "ledger/ledger_reader.hpp"
#include "log/dead_letters.hpp"
#include "log/reader_pool.hpp"
#include "presence/presence_view.hpp"
#include "query_api_config.hpp"
#include "read/archived_groups.hpp"
#include "read/derived_reader.hpp"
#include "read/downsampler.hpp"
#include "read/group_reader.hpp"
#include "read/progress.hpp"
#include "read/series_reader.hpp"
#include "read/tiered_reader.hpp"
#include "receipts/receipt_reader.hpp"
#include "rpc/query_service.hpp"
#include "tail/tail_hub.hpp"

namespace millrace::query_api {

/// The composition root: the only place that knows all parts. Members stand in the order they depend on each other.
class QueryApiApp final : public runtime::App {
 public:
  explicit QueryApiApp(Config config);
  ~QueryApiApp() override;

  [[nodiscard]] Status start() override;
  [[nodiscard]] std::vector<runtime::Phase> stop_phases() override;

  /// With the ports that were really bound; after start().
  [[nodiscard]] const Address& grpc_address() const { return server_->address(); }
  [[nodiscard]] const Address& http_address() const { return front_->address(); }
  [[nodiscard]] const Address& ops_address() const { return ops_->address(); }
  [[nodiscard]] bool ready() const { return health_.report().ready; }

 private:
  Config config_;
  kafka::TopicNames topics_;
  observability::Metrics metrics_;
  runtime::Health health_;
  postgres::Pool database_;
  registry_view::RegistryView registry_;
  Progress progress_;
  SeriesReader series_;
  ColdReader cold_;
  TieredReader tiers_;
  Downsampler downsampler_;
  GroupReader groups_;
  ArchivedGroups archived_;
  DerivedReader derived_;
  LogReaders log_readers_;
  ReceiptReader receipts_;
  DeadLetters dead_letters_;
  TailHub tails_;
  StreamCalls streams_;
  LimitUse limit_use_;
  PresenceView presence_;
  ExportReader export_reader_;
  LedgerReader ledger_;
  RetentionReader retention_;
  rpc::WorkerPool workers_;
  rpc::WorkerPool export_workers_;
  rpc::Dispatcher dispatcher_;
  QueryService service_;
  std::unique_ptr<rpc::Server> server_;
  std::unique_ptr<HttpFront> front_;
  std::unique_ptr<runtime::OpsServer> ops_;
};

}  // namespace millrace::query_api
