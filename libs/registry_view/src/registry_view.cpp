#include <millrace/kafka/topic_follower.hpp>
#include <millrace/observability/log.hpp>
#include <millrace/registry_view/registry_view.hpp>

#include "change_signal.hpp"
#include "decode.hpp"
#include "state.hpp"

namespace millrace::registry_view {
namespace {

struct ViewMetrics {
  explicit ViewMetrics(observability::Metrics& metrics)
      : devices(metrics.gauge("millrace_registry_view_devices", "Devices in this service's copy of the registry.")),
        granted_devices(metrics.gauge("millrace_registry_view_granted_devices",
                                      "Devices in the copy with more than plain tokens.")),
        authorities(metrics.gauge("millrace_registry_view_authorities", "Certificate authorities in the copy.")),
        api_keys(metrics.gauge("millrace_registry_view_api_keys", "API keys in the copy.")),
        tenants(metrics.gauge("millrace_registry_view_tenants", "Tenants in the copy.")),
        ready(metrics.gauge("millrace_registry_view_ready", "1 once the copy has reached the end seen at the start.")),
        revision(metrics.gauge("millrace_registry_view_revision", "Greatest revision of the registry in the copy.")),
        entries(metrics.counter("millrace_registry_view_entries_total", "Records read from the registry's topic.")),
        invalid(metrics.counter("millrace_registry_view_invalid_total",
                                "Records of the registry's topic that make no sense.")) {}

  observability::Gauge devices;
  observability::Gauge granted_devices;
  observability::Gauge authorities;
  observability::Gauge api_keys;
  observability::Gauge tenants;
  observability::Gauge ready;
  observability::Gauge revision;
  observability::Counter entries;
  observability::Counter invalid;
};

}  // namespace

struct RegistryView::Impl {
  Impl(const Options& options, observability::Metrics& registry)
      : metrics(registry),
        state(options.types, options.lists),
        follower(options.kafka, options.topic,
                 {.on_again = [this] { begin_reload(); },
                  .on_record = [this](const kafka::Record& record) { take(record); },
                  .on_complete = [this] { complete(); }}) {
    registry.on_collect([this] { refresh(); });
  }

  void refresh() const;
  void take(const kafka::Record& record);
  void begin_reload();
  void complete();

  ViewMetrics metrics;
  State state;
  ChangeSignal changed;
  observability::Logger log{"registry_view"};
  observability::LogLimiter invalid;
  bool reloading = false;         // follower's thread
  kafka::TopicFollower follower;  // last: its thread uses all of the above
};

void RegistryView::Impl::refresh() const {
  metrics.devices.set(static_cast<double>(state.devices()));
  metrics.granted_devices.set(static_cast<double>(state.grants().devices()));
  metrics.authorities.set(static_cast<double>(state.grants().authorities()));
  metrics.api_keys.set(static_cast<double>(state.api_keys()));
  metrics.tenants.set(static_cast<double>(state.tenants()));
  metrics.ready.set(follower.ready() ? 1 : 0);
  metrics.revision.set(static_cast<double>(state.revision()));
}

void RegistryView::Impl::take(const kafka::Record& record) {
  metrics.entries.add();
  const Status applied = apply(state, record.key(),
                               record.is_tombstone() ? std::nullopt : std::optional<std::string_view>(record.value()));
  if (applied.ok()) return changed.notify();
  metrics.invalid.add();
  log.limited(invalid, observability::Level::kError, "entry of the registry ignored",
              {{"offset", record.offset()}, {"error", applied.error().message}});
}

void RegistryView::Impl::begin_reload() {
  state.begin_reload();
  reloading = true;
}

void RegistryView::Impl::complete() {
  if (reloading) {
    state.end_reload();
    reloading = false;
    log.warn("the registry's topic was read again from its beginning", {{"devices", state.devices()}});
    return;
  }
  log.info("copy of the registry complete", {{"devices", state.devices()}, {"api_keys", state.api_keys()}});
}

RegistryView::RegistryView(const Options& options, observability::Metrics& metrics)
    : impl_(std::make_unique<Impl>(options, metrics)) {}

RegistryView::~RegistryView() { stop(); }

void RegistryView::on_revocation(std::function<void(const Revocation&)> callback) {
  impl_->state.on_revocation(std::move(callback));
}

void RegistryView::start() { impl_->follower.start(); }

void RegistryView::stop() { impl_->follower.stop(); }

bool RegistryView::ready() const { return impl_->follower.ready(); }

bool RegistryView::connected() const { return impl_->follower.connected(); }

std::string RegistryView::detail() const {
  const State& state = impl_->state;
  return std::to_string(state.devices()) + " devices, " + std::to_string(state.api_keys()) + " API keys, revision " +
         std::to_string(state.revision()) + (ready() ? "" : ", not read to the end yet") +
         (connected() ? "" : ", Kafka is away");
}

std::optional<Device> RegistryView::find(std::string_view tenant, std::string_view device) const {
  return impl_->state.find(tenant, device);
}

bool RegistryView::wait_for(std::string_view tenant, std::string_view device,
                            std::chrono::steady_clock::time_point deadline, const std::stop_token& stop) const {
  return impl_->changed.wait(deadline, stop, [&] { return find(tenant, device).has_value(); });
}

std::optional<Device> RegistryView::find_by_key(std::int32_t device_key) const {
  return impl_->state.find_by_key(device_key);
}

std::optional<Device> RegistryView::find_by_token(const Sha256& token_sha256) const {
  return impl_->state.find_by_token(token_sha256);
}

std::vector<std::int32_t> RegistryView::device_keys(std::string_view tenant, std::int32_t after,
                                                    std::size_t most) const {
  return impl_->state.lists().after(tenant, after, most);
}

std::optional<Sha256> RegistryView::newest_token(std::string_view tenant, std::string_view device) const {
  const auto found = impl_->state.find(tenant, device);
  if (!found || !found->enabled) return std::nullopt;
  return impl_->state.newest_token(tenant, device);
}

bool RegistryView::is_valid(std::string_view tenant, std::string_view device, const Sha256& token_sha256) const {
  const auto found = impl_->state.find_with_token(tenant, device, token_sha256);
  return found && found->enabled;
}

bool RegistryView::tenant_enabled(std::string_view tenant) const { return impl_->state.tenant_enabled(tenant); }

LimitsOf RegistryView::limits(std::string_view tenant, std::string_view device) const {
  return impl_->state.limits().of(tenant, device);
}

std::uint64_t RegistryView::limits_generation() const { return impl_->state.limits().generation(); }

DeviceTypePtr RegistryView::device_type(std::string_view tenant, std::string_view device) const {
  return impl_->state.device_type(tenant, device);
}

std::uint64_t RegistryView::types_generation() const { return impl_->state.types().generation(); }

std::vector<RetentionRule> RegistryView::retention_rules(std::string_view tenant) const {
  return impl_->state.retention().rules(tenant);
}

RetentionPlan RegistryView::retention_plan(std::vector<RetentionRule> rules) const {
  // Before the devices: one that comes meanwhile is beyond it.
  const std::int32_t highest_key = highest_device_key();
  std::vector<RetainedDevice> devices = impl_->state.devices_under(rules);
  return {std::move(rules), std::move(devices), highest_key};
}

DeviceGrantsPtr RegistryView::grants(std::string_view tenant, std::string_view device) const {
  return impl_->state.grants().grants(tenant, device);
}

std::vector<Holder> RegistryView::holders(const Sha256& digest, CredentialKind kind) const {
  return impl_->state.grants().holders(digest, kind);
}

AuthorityPtr RegistryView::authority(std::string_view tenant, std::string_view name) const {
  return impl_->state.grants().authority(tenant, name);
}

std::vector<AuthorityPtr> RegistryView::authorities(std::string_view tenant, std::string_view subject) const {
  return impl_->state.grants().authorities(tenant, subject);
}

TenantPolicyPtr RegistryView::policy(std::string_view tenant) const { return impl_->state.grants().policy(tenant); }

std::uint64_t RegistryView::grants_generation() const { return impl_->state.grants().generation(); }

Result<rpc::Caller> RegistryView::verify(const Sha256& key_sha256, TimeUs now) {
  const auto key = impl_->state.find_api_key(key_sha256);
  if (!key && !ready())
    return Error{ErrorKind::kUnavailable, "API keys are not known yet: the registry has not been read"};
  const bool valid = key && key->enabled && (key->expires_at_us == 0 || now < key->expires_at_us) &&
                     (key->caller.is_platform() || tenant_enabled(key->caller.tenant));
  if (!valid) return Error{ErrorKind::kUnauthenticated, "unknown, disabled or expired API key"};
  return key->caller;
}

std::int32_t RegistryView::highest_device_key() const { return impl_->state.highest_device_key(); }

std::int64_t RegistryView::revision() const { return impl_->state.revision(); }

std::size_t RegistryView::devices() const { return impl_->state.devices(); }

}  // namespace millrace::registry_view
