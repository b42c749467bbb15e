#pragma once

#include <millrace/registry_view/registry_view.hpp>
#include <millrace/rpc/call.hpp>

#include "ledger/ledger_reader.hpp"
#include "log/dead_letters.hpp"
#include "millrace/query/v1/query.grpc.pb.h"
#include "presence/presence_view.hpp"
#include "read/archived_groups.hpp"
#include "read/derived_reader.hpp"
#include "read/downsampler.hpp"
#include "read/group_reader.hpp"
#include "read/limit_use.hpp"
#include "read/progress.hpp"
#include "read/retention_reader.hpp"
#include "read/series_reader.hpp"
#include "read/tiered_reader.hpp"
#include "receipts/receipt_reader.hpp"
#include "rpc/export_reactor.hpp"
#include "rpc/tail_reactor.hpp"
#include "tail/tail_hub.hpp"

namespace millrace::query_api {

/// What the calls need. All outlive the service.
struct QueryParts {
  rpc::Dispatcher& dispatcher;
  const registry_view::RegistryView& registry;
  SeriesReader& series;
  TieredReader& tiers;
  Downsampler& downsampler;
  GroupReader& groups;
  ArchivedGroups& archived;
  DerivedReader& derived;
  Progress& progress;
  ReceiptReader& receipts;
  DeadLetters& dead_letters;
  TailHub& tails;
  StreamCalls& streams;
  LimitUse& limit_use;
  PresenceView& presence;
  ExportSources export_sources;
  ExportParts exports;
  LedgerReader& ledger;
  RetentionReader& retention;
};

/// Ids or names in a request.
using Names = google::protobuf::RepeatedPtrField<std::string>;

/// The RPC edge: parses, calls, translates. Every call is bound to the tenant of its key; a key of the platform names
/// one.
class QueryService final : public query::v1::QueryService::CallbackService {
 public:
  explicit QueryService(const QueryParts& parts);

  grpc::ServerUnaryReactor* Latest(grpc::CallbackServerContext* context, const query::v1::LatestRequest* request,
                                   query::v1::LatestResponse* response) override;
  grpc::ServerUnaryReactor* Range(grpc::CallbackServerContext* context, const query::v1::RangeRequest* request,
                                  query::v1::RangeResponse* response) override;
  grpc::ServerUnaryReactor* Aggregate(grpc::CallbackServerContext* context, const query::v1::AggregateRequest* request,
                                      query::v1::AggregateResponse* response) override;
  grpc::ServerUnaryReactor* TopN(grpc::CallbackServerContext* context, const query::v1::TopNRequest* request,
                                 query::v1::TopNResponse* response) override;
  grpc::ServerUnaryReactor* GetReceipt(grpc::CallbackServerContext* context,
                                       const query::v1::GetReceiptRequest* request,
                                       query::v1::GetReceiptResponse* response) override;
  grpc::ServerUnaryReactor* ListDeadLetters(grpc::CallbackServerContext* context,
                                            const query::v1::ListDeadLettersRequest* request,
                                            query::v1::ListDeadLettersResponse* response) override;
  grpc::ServerUnaryReactor* ListWindows(grpc::CallbackServerContext* context,
                                        const query::v1::ListWindowsRequest* request,
                                        query::v1::ListWindowsResponse* response) override;
  grpc::ServerUnaryReactor* ListAlerts(grpc::CallbackServerContext* context,
                                       const query::v1::ListAlertsRequest* request,
                                       query::v1::ListAlertsResponse* response) override;
  grpc::ServerUnaryReactor* ListPresence(grpc::CallbackServerContext* context,
                                         const query::v1::ListPresenceRequest* request,
                                         query::v1::ListPresenceResponse* response) override;
  grpc::ServerUnaryReactor* GetLimitUse(grpc::CallbackServerContext* context,
                                        const query::v1::GetLimitUseRequest* request,
                                        query::v1::GetLimitUseResponse* response) override;
  grpc::ServerUnaryReactor* GetLedger(grpc::CallbackServerContext* context, const query::v1::GetLedgerRequest* request,
                                      query::v1::GetLedgerResponse* response) override;
  grpc::ServerUnaryReactor* PreviewRetention(grpc::CallbackServerContext* context,
                                             const query::v1::PreviewRetentionRequest* request,
                                             query::v1::PreviewRetentionResponse* response) override;
  grpc::ServerWriteReactor<query::v1::TailResponse>* Tail(grpc::CallbackServerContext* context,
                                                          const query::v1::TailRequest* request) override;
  grpc::ServerWriteReactor<query::v1::ExportResponse>* Export(grpc::CallbackServerContext* context,
                                                              const query::v1::ExportRequest* request) override;

 private:
  [[nodiscard]] Status latest(const rpc::Call& call, const query::v1::LatestRequest& request,
                              query::v1::LatestResponse& response);
  [[nodiscard]] Status latest_of_device(const rpc::Call& call, const std::string& tenant,
                                        const query::v1::LatestRequest& request, query::v1::LatestResponse& response);
  [[nodiscard]] Status latest_of_many(const rpc::Call& call, const std::string& tenant,
                                      const query::v1::LatestRequest& request, query::v1::LatestResponse& response);
  [[nodiscard]] Status range(const rpc::Call& call, const query::v1::RangeRequest& request,
                             query::v1::RangeResponse& response);
  [[nodiscard]] Status range_page(const rpc::Call& call, const std::string& tenant, const Series& series,
                                  const query::v1::RangeRequest& request, query::v1::RangeResponse& response);
  [[nodiscard]] Status range_in_points(const rpc::Call& call, const Series& series,
                                       const query::v1::RangeRequest& request, query::v1::RangeResponse& response);
  [[nodiscard]] Status aggregate(const rpc::Call& call, const query::v1::AggregateRequest& request,
                                 query::v1::AggregateResponse& response);
  [[nodiscard]] Status top(const rpc::Call& call, const query::v1::TopNRequest& request,
                           query::v1::TopNResponse& response);
  [[nodiscard]] Status receipt(const rpc::Call& call, const query::v1::GetReceiptRequest& request,
                               query::v1::GetReceiptResponse& response);
  [[nodiscard]] Status dead_letters(const rpc::Call& call, const query::v1::ListDeadLettersRequest& request,
                                    query::v1::ListDeadLettersResponse& response);
  [[nodiscard]] Status windows(const rpc::Call& call, const query::v1::ListWindowsRequest& request,
                               query::v1::ListWindowsResponse& response);
  [[nodiscard]] Status alerts(const rpc::Call& call, const query::v1::ListAlertsRequest& request,
                              query::v1::ListAlertsResponse& response);
  [[nodiscard]] Status alert_history(const rpc::Call& call, const std::string& tenant,
                                     const query::v1::ListAlertsRequest& request,
                                     query::v1::ListAlertsResponse& response);
  [[nodiscard]] Status presence(const rpc::Call& call, const query::v1::ListPresenceRequest& request,
                                query::v1::ListPresenceResponse& response);
  [[nodiscard]] Status limit_use(const rpc::Call& call, const query::v1::GetLimitUseRequest& request,
                                 query::v1::GetLimitUseResponse& response);
  [[nodiscard]] Status ledger(const rpc::Call& call, const query::v1::GetLedgerRequest& request,
                              query::v1::GetLedgerResponse& response);
  [[nodiscard]] Status ledger_hours(const rpc::Call& call, const query::v1::GetLedgerRequest& request,
                                    query::v1::GetLedgerResponse& response);
  [[nodiscard]] Status ledger_device(const rpc::Call& call, const query::v1::GetLedgerRequest& request,
                                     query::v1::GetLedgerResponse& response);
  [[nodiscard]] Status preview_retention(const rpc::Call& call, const query::v1::PreviewRetentionRequest& request,
                                         query::v1::PreviewRetentionResponse& response);
  [[nodiscard]] Result<TailFilter> tail_filter(const rpc::Caller& caller, const query::v1::TailRequest& request) const;
  [[nodiscard]] Result<registry_view::Device> device_of(const std::string& tenant, const std::string& device) const;

  [[nodiscard]] Result<std::unique_ptr<ExportJob>> export_job(const rpc::Caller& caller,
                                                              const query::v1::ExportRequest& request) const;
  void add_latest(const std::string& tenant, const DeviceValue& value, query::v1::LatestResponse& response) const;

  /// Their keys, ascending, each once; all of the tenant's where none is named.
  [[nodiscard]] Result<std::vector<std::int32_t>> keys_of(const std::string& tenant, const Names& devices) const;

  QueryParts parts_;
  rpc::Method latest_;
  rpc::Method range_;
  rpc::Method aggregate_;
  rpc::Method top_;
  rpc::Method receipt_;
  rpc::Method dead_letters_;
  rpc::Method windows_;
  rpc::Method alerts_;
  rpc::Method presence_;
  rpc::Method tail_;
  rpc::Method export_;
  rpc::Method limit_use_;
  rpc::Method ledger_;
  rpc::Method retention_;
};

}  // namespace millrace::query_api
