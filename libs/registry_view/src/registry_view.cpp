#include <condition_variable>
#include <mutex>
#include <stop_token>
#include <thread>

#include <millrace/base/backoff.hpp>
#include <millrace/kafka/consumer.hpp>
#include <millrace/observability/log.hpp>
#include <millrace/registry_view/registry_view.hpp>

#include "decode.hpp"
#include "state.hpp"

namespace millrace::registry_view {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kPollTimeout{200};
constexpr milliseconds kAskTimeout{5'000};
constexpr milliseconds kProbeTimeout{500};
constexpr std::size_t kPrefetchBytes = 16 * 1024 * 1024;

Error refused() { return {ErrorKind::kUnauthenticated, "unknown device, wrong token, or the device is disabled"}; }

struct ViewMetrics {
  explicit ViewMetrics(observability::Metrics& metrics)
      : devices(metrics.gauge("millrace_registry_view_devices", "Devices in this service's copy of the registry.")),
        api_keys(metrics.gauge("millrace_registry_view_api_keys", "API keys in the copy.")),
        tenants(metrics.gauge("millrace_registry_view_tenants", "Tenants in the copy.")),
        ready(metrics.gauge("millrace_registry_view_ready", "1 once the copy has reached the end seen at the start.")),
        revision(metrics.gauge("millrace_registry_view_revision", "Greatest revision of the registry in the copy.")),
        entries(metrics.counter("millrace_registry_view_entries_total", "Records read from the registry's topic.")),
        invalid(metrics.counter("millrace_registry_view_invalid_total", "Records of the registry's topic that make no sense.")) {}

  observability::Gauge devices;
  observability::Gauge api_keys;
  observability::Gauge tenants;
  observability::Gauge ready;
  observability::Gauge revision;
  observability::Counter entries;
  observability::Counter invalid;
};

}  // namespace

struct RegistryView::Impl {
  Impl(const Options& given, observability::Metrics& registry) : options(given), metrics(registry) {
    registry.on_collect([this] { refresh(); });
  }

  void refresh() const;
  void run(const std::stop_token& stop);
  void read(const std::stop_token& stop);
  void follow(kafka::Consumer& consumer, std::int64_t end, const std::stop_token& stop);
  void take(const kafka::Record& record);
  void reached(std::int64_t next_offset, std::int64_t end);
  void pause(const std::stop_token& stop, milliseconds how_long);

  const Options options;
  ViewMetrics metrics;
  State state;
  observability::Logger log{"registry_view"};
  observability::LogLimiter faults;
  observability::LogLimiter invalid;
  std::atomic<bool> ready{false};
  std::atomic<bool> connected{false};
  bool read_before = false;  // reader thread
  bool reloading = false;    // reader thread
  std::mutex mutex;
  std::condition_variable_any wake;
  std::jthread reader;
};

void RegistryView::Impl::refresh() const {
  metrics.devices.set(static_cast<double>(state.devices()));
  metrics.api_keys.set(static_cast<double>(state.api_keys()));
  metrics.tenants.set(static_cast<double>(state.tenants()));
  metrics.ready.set(ready ? 1 : 0);
  metrics.revision.set(static_cast<double>(state.revision()));
}

void RegistryView::Impl::pause(const std::stop_token& stop, milliseconds how_long) {
  std::unique_lock lock(mutex);
  wake.wait_for(lock, stop, how_long, [] { return false; });
}

/// Each round reads the topic from its beginning; it ends when the consumer can not go on.
void RegistryView::Impl::run(const std::stop_token& stop) {
  Backoff backoff(milliseconds{200}, milliseconds{5'000});
  while (!stop.stop_requested()) {
    const auto begin = std::chrono::steady_clock::now();
    try {
      read(stop);
    } catch (const std::exception& fault) {
      log.limited(faults, observability::Level::kError, "the reader of the registry failed", {{"error", fault.what()}});
    }
    connected = false;
    if (std::chrono::steady_clock::now() - begin > std::chrono::minutes(1)) backoff.reset();
    if (!stop.stop_requested()) pause(stop, backoff.next());
  }
}

void RegistryView::Impl::read(const std::stop_token& stop) {
  kafka::ConsumerOptions consumer_options;
  consumer_options.prefetch_bytes = kPrefetchBytes;
  consumer_options.expected_partitions = 1;
  kafka::Consumer consumer(options.kafka, consumer_options);
  const kafka::TopicPartition where{options.topic, 0};
  const auto marks = consumer.watermarks(where, kAskTimeout);
  if (!marks.ok()) {
    log.limited(faults, observability::Level::kWarn, "the registry's topic cannot be read yet",
                {{"topic", options.topic}, {"error", marks.error().message}});
    return;
  }
  const kafka::Position from{where, marks->low};
  if (const Status assigned = consumer.assign({&from, 1}); !assigned.ok()) {
    log.limited(faults, observability::Level::kWarn, "cannot read the registry's topic", {{"error", assigned.error().message}});
    return;
  }
  connected = true;
  // A second reading must also notice what is gone for good, tombstone and all.
  if (read_before) state.begin_reload();
  reloading = read_before;
  read_before = true;
  reached(marks->low, marks->high);
  follow(consumer, marks->high, stop);
}

void RegistryView::Impl::follow(kafka::Consumer& consumer, std::int64_t end, const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    const kafka::Polled polled = consumer.poll(kPollTimeout);
    switch (polled.kind) {
      case kafka::Polled::Kind::kNothing:
        // A broker that came back with nothing new says nothing by itself.
        if (!connected) connected = consumer.watermarks({options.topic, 0}, kProbeTimeout).ok();
        break;
      case kafka::Polled::Kind::kRecord:
        connected = true;
        take(polled.record);
        reached(polled.record.offset() + 1, end);
        break;
      case kafka::Polled::Kind::kEndOfPartition:
        connected = true;
        // A compacted topic may have no record at all just before its end.
        reached(polled.position.offset, end);
        break;
      case kafka::Polled::Kind::kFault:
        connected = false;
        log.limited(faults, observability::Level::kWarn, "reading the registry's topic", {{"error", polled.message}});
        if (polled.fault != kafka::Fault::kTransient) return;  // again from the beginning
        break;
    }
  }
}

void RegistryView::Impl::take(const kafka::Record& record) {
  metrics.entries.add();
  const Status applied = apply(
      state, record.key(), record.is_tombstone() ? std::nullopt : std::optional<std::string_view>(record.value()));
  if (applied.ok()) return;
  metrics.invalid.add();
  log.limited(invalid, observability::Level::kError, "entry of the registry ignored",
              {{"offset", record.offset()}, {"error", applied.error().message}});
}

void RegistryView::Impl::reached(std::int64_t next_offset, std::int64_t end) {
  if (next_offset < end) return;
  if (reloading) {
    state.end_reload();
    reloading = false;
    log.warn("the registry's topic was read again from its beginning", {{"devices", state.devices()}});
  }
  if (ready.exchange(true)) return;
  log.info("copy of the registry complete",
           {{"devices", state.devices()}, {"api_keys", state.api_keys()}, {"end", end}});
}

RegistryView::RegistryView(const Options& options, observability::Metrics& metrics)
    : impl_(std::make_unique<Impl>(options, metrics)) {}

RegistryView::~RegistryView() { stop(); }

void RegistryView::on_revocation(std::function<void(const Revocation&)> callback) {
  impl_->state.on_revocation(std::move(callback));
}

void RegistryView::start() {
  impl_->reader = std::jthread([this](const std::stop_token& stop) { impl_->run(stop); });
}

void RegistryView::stop() {
  impl_->reader.request_stop();
  if (impl_->reader.joinable()) impl_->reader.join();
}

bool RegistryView::ready() const { return impl_->ready; }

std::string RegistryView::detail() const {
  const State& state = impl_->state;
  return std::to_string(state.devices()) + " devices, " + std::to_string(state.api_keys()) + " API keys, revision " +
         std::to_string(state.revision()) + (impl_->ready ? "" : ", not read to the end yet") +
         (impl_->connected ? "" : ", Kafka is away");
}

std::optional<Device> RegistryView::find(std::string_view tenant, std::string_view device) const {
  return impl_->state.find(tenant, device);
}

std::optional<Device> RegistryView::find_by_key(std::int32_t device_key) const {
  return impl_->state.find_by_key(device_key);
}

std::optional<Device> RegistryView::find_by_token(const Sha256& token_sha256) const {
  return impl_->state.find_by_token(token_sha256);
}

Result<Device> RegistryView::authenticate(std::string_view tenant, std::string_view device,
                                          const Sha256& token_sha256) const {
  auto found = impl_->state.find_with_token(tenant, device, token_sha256);
  if (!found || !found->enabled) return refused();
  return *std::move(found);
}

Result<Device> RegistryView::authenticate(const Sha256& token_sha256) const {
  auto found = impl_->state.find_by_token(token_sha256);
  if (!found || !found->enabled) return refused();
  return *std::move(found);
}

bool RegistryView::is_valid(std::string_view tenant, std::string_view device, const Sha256& token_sha256) const {
  const auto found = impl_->state.find_with_token(tenant, device, token_sha256);
  return found && found->enabled;
}

bool RegistryView::tenant_enabled(std::string_view tenant) const { return impl_->state.tenant_enabled(tenant); }

Result<rpc::Caller> RegistryView::verify(const Sha256& key_sha256, TimeUs now) {
  const auto key = impl_->state.find_api_key(key_sha256);
  if (!key && !ready()) return Error{ErrorKind::kUnavailable, "API keys are not known yet: the registry has not been read"};
  const bool valid = key && key->enabled && (key->expires_at_us == 0 || now < key->expires_at_us) &&
                     (key->caller.is_platform() || tenant_enabled(key->caller.tenant));
  if (!valid) return Error{ErrorKind::kUnauthenticated, "unknown, disabled or expired API key"};
  return key->caller;
}

std::int32_t RegistryView::highest_device_key() const { return impl_->state.highest_device_key(); }

std::int64_t RegistryView::revision() const { return impl_->state.revision(); }

std::size_t RegistryView::devices() const { return impl_->state.devices(); }

}  // namespace millrace::registry_view
