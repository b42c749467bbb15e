// Export of QueryService.
#include "export/csv_writer.hpp"
#include "export/worker_encoder.hpp"
#include "rpc/export_reactor.hpp"
#include "rpc/query_service.hpp"
#include "rpc/request_checks.hpp"

namespace millrace::query_api {

namespace api = query::v1;

namespace {

std::unique_ptr<PointEncoder> encoder_of(api::ExportFormat format, ColdReader& cold) {
  if (format == api::EXPORT_FORMAT_PARQUET) return std::make_unique<WorkerEncoder>(cold, "parquet");
  if (format == api::EXPORT_FORMAT_ARROW) return std::make_unique<WorkerEncoder>(cold, "arrow");
  return std::make_unique<CsvEncoder>();
}

}  // namespace

grpc::ServerWriteReactor<api::ExportResponse>* QueryService::Export(grpc::CallbackServerContext* context,
                                                                    const api::ExportRequest* request) {
  auto scope = parts_.dispatcher.open(context, export_);
  // The verifier answers from memory, so it may be asked on gRPC's thread.
  const Status allowed = parts_.dispatcher.authenticate(*scope);
  auto job =
      allowed.ok() ? export_job(scope->call().caller, *request) : Result<std::unique_ptr<ExportJob>>(allowed.error());
  auto* reactor = new ExportReactor(parts_.exports, std::move(scope));
  reactor->begin(std::move(job));
  return reactor;
}

Result<std::unique_ptr<ExportJob>> QueryService::export_job(const rpc::Caller& caller,
                                                            const api::ExportRequest& request) const {
  const auto tenant = rpc::tenant_of(caller, request.tenant());
  if (!tenant.ok()) return tenant.error();
  if (auto valid = check_names("metrics", request.metrics()); !valid.ok()) return valid.error();
  for (const std::string& metric : request.metrics()) {
    if (auto valid = check_metric(metric); !valid.ok()) return valid.error();
  }
  if (auto valid = check_times(request.from_us(), request.to_us()); !valid.ok()) return valid.error();
  if (!api::ExportFormat_IsValid(request.format())) {
    return Error{ErrorKind::kInvalid, "format " + std::to_string(request.format()) + " is none"};
  }
  const auto devices = keys_of(tenant.value(), request.devices());
  if (!devices.ok()) return devices.error();
  ExportScope scope{.tenant = tenant.value(),
                    .metrics = {request.metrics().begin(), request.metrics().end()},
                    .from = request.from_us(),
                    .to = request.to_us()};
  return std::make_unique<ExportJob>(parts_.export_sources, std::move(scope), devices.value(),
                                     encoder_of(request.format(), parts_.export_sources.cold));
}

}  // namespace millrace::query_api
