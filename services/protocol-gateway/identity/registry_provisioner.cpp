#include "identity/registry_provisioner.hpp"

#include <fstream>
#include <map>
#include <mutex>
#include <utility>

#include <grpcpp/channel.h>

#include <millrace/base/ids.hpp>
#include <millrace/observability/log.hpp>
#include <millrace/rpc/call.hpp>

#include "millrace/registry/v1/registry.grpc.pb.h"

namespace millrace::gateway {
namespace {

constexpr const char* kLater = "the device could not be made now; try again later";

struct ProvisioningMetrics {
  explicit ProvisioningMetrics(observability::Metrics& metrics)
      : made(counter(metrics, "made")),
        existed(counter(metrics, "existed")),
        refused(counter(metrics, "refused")),
        failed(counter(metrics, "failed")) {}
  static observability::Counter counter(observability::Metrics& metrics, const char* outcome) {
    return metrics.counter(
        "millrace_gateway_provisioning_total",
        "Devices that came with a certificate and were not known, by what the registry made of them.",
        {{"outcome", outcome}});
  }
  observability::Counter made;
  observability::Counter existed;
  observability::Counter refused;
  observability::Counter failed;
};

Result<std::string> read_key(const std::string& file) {
  std::ifstream in(file);
  std::string key;
  if (!std::getline(in, key) || key.empty()) {
    return Error{ErrorKind::kUnavailable, "REGISTRY_KEY_FILE " + file + " cannot be read or is empty"};
  }
  return key;
}

}  // namespace

struct RegistryProvisioner::Impl {
  using Done = std::function<void(Status)>;

  Impl(Options given, Arrivals& those, observability::Metrics& registry)
      : options(std::move(given)),
        arrivals(those),
        metrics(registry),
        stub(registry::v1::RegistryService::NewStub(rpc::make_channel(options.registry))),
        pool({options.threads, options.queue}) {}

  void ask(const std::string& tenant, const std::string& device, const std::vector<std::string>& chain,
           const Done& done);
  void run(const std::string& tenant, const std::string& device, const std::vector<std::string>& chain);
  Status make(const std::string& tenant, const std::string& device, const std::vector<std::string>& chain);
  Status answered(const Status& status, const std::string& device, const registry::v1::ProvisionDeviceResponse& made);
  Status wait_for(const std::string& tenant, const std::string& device);
  void finish(const std::string& key, const Status& status);

  const Options options;
  Arrivals& arrivals;
  ProvisioningMetrics metrics;
  observability::Logger log{"provisioning"};
  observability::LogLimiter limiter;
  std::unique_ptr<registry::v1::RegistryService::Stub> stub;
  std::stop_source stopping;
  std::mutex mutex;
  std::map<std::string, std::vector<Done>> waiting;  // by record key
  rpc::WorkerPool pool;                              // last: its threads use all of the above
};

void RegistryProvisioner::Impl::ask(const std::string& tenant, const std::string& device,
                                    const std::vector<std::string>& chain, const Done& done) {
  const std::string key = record_key(tenant, device);
  std::size_t before = 0;
  {
    const std::lock_guard lock(mutex);
    std::vector<Done>& those = waiting[key];
    before = those.size();
    if (before < options.most_waiting) those.push_back(done);
  }
  if (before >= options.most_waiting) return done(Error{ErrorKind::kUnavailable, kLater});
  if (before > 0) return;
  if (!pool.try_submit([this, tenant, device, chain] { run(tenant, device, chain); })) {
    finish(key, Error{ErrorKind::kUnavailable, kLater});
  }
}

void RegistryProvisioner::Impl::run(const std::string& tenant, const std::string& device,
                                    const std::vector<std::string>& chain) {
  Status status = make(tenant, device, chain);
  if (status.ok()) status = wait_for(tenant, device);
  finish(record_key(tenant, device), status);
}

Status RegistryProvisioner::Impl::make(const std::string& tenant, const std::string& device,
                                       const std::vector<std::string>& chain) {
  if (stopping.stop_requested()) return Error{ErrorKind::kUnavailable, kLater};
  rpc::ClientOptions as = options.registry;
  auto key = read_key(options.key_file);
  if (!key.ok()) return answered(key.error(), device, {});
  as.api_key = std::move(*key);
  registry::v1::ProvisionDeviceRequest request;
  request.set_tenant(tenant);
  for (const std::string& der : chain) request.add_chain(der);
  grpc::ClientContext context;
  rpc::prepare(context, as);
  // Calls are rare, and a channel that no call waits for gets nowhere: its handshake times out unread, and every call
  // in the pause after it would fail at once.
  context.set_wait_for_ready(true);
  const std::stop_callback cancel(stopping.get_token(), [&context] { context.TryCancel(); });
  registry::v1::ProvisionDeviceResponse response;
  return answered(rpc::from_grpc_status(stub->ProvisionDevice(&context, request, &response)), device, response);
}

// What the registry says of the certificate is for the device; that it is away, or does not take this gateway's key, is
// for the operator.
Status RegistryProvisioner::Impl::answered(const Status& status, const std::string& device,
                                           const registry::v1::ProvisionDeviceResponse& made) {
  if (status.ok() && made.device().device() == device) {
    (made.existed() ? metrics.existed : metrics.made).add();
    return {};
  }
  const bool refused =
      status.ok() || status.error().kind == ErrorKind::kInvalid || status.error().kind == ErrorKind::kPrecondition;
  if (refused) {
    metrics.refused.add();
    return Error{ErrorKind::kForbidden, "the registry makes no device for this certificate: " +
                                            (status.ok() ? "it names another one" : status.error().message)};
  }
  metrics.failed.add();
  log.limited(limiter, observability::Level::kWarn, "a device could not be made", {{"error", status.error().message}});
  return Error{ErrorKind::kUnavailable, kLater};
}

Status RegistryProvisioner::Impl::wait_for(const std::string& tenant, const std::string& device) {
  const auto end = std::chrono::steady_clock::now() + options.patience;
  if (arrivals.wait_for(tenant, device, end, stopping.get_token())) return {};
  return Error{ErrorKind::kUnavailable, "the device was made, but is not known here yet; try again later"};
}

void RegistryProvisioner::Impl::finish(const std::string& key, const Status& status) {
  std::vector<Done> those;
  {
    const std::lock_guard lock(mutex);
    const auto found = waiting.find(key);
    those = std::move(found->second);
    waiting.erase(found);
  }
  for (const Done& done : those) done(status);
}

RegistryProvisioner::RegistryProvisioner(Options options, Arrivals& arrivals, observability::Metrics& metrics)
    : impl_(std::make_unique<Impl>(std::move(options), arrivals, metrics)) {}

RegistryProvisioner::~RegistryProvisioner() { stop(); }

void RegistryProvisioner::provision(const std::string& tenant, const std::string& device,
                                    const std::vector<std::string>& chain, std::function<void(Status)> done) {
  impl_->ask(tenant, device, chain, done);
}

void RegistryProvisioner::stop() {
  impl_->stopping.request_stop();
  static_cast<void>(
      impl_->pool.drain(std::chrono::steady_clock::now() + impl_->options.registry.deadline + impl_->options.patience));
}

}  // namespace millrace::gateway
