#include "bridge/bridge.hpp"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <future>
#include <system_error>
#include <utility>

#include <millrace/base/time.hpp>

namespace millrace::gateway {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kTryAgain{100};
constexpr milliseconds kCommandTimeout{5'000};
constexpr milliseconds kStopDeadline{10'000};
constexpr std::size_t kMostFileBytes = 64ULL * 1024 * 1024;
constexpr std::size_t kFilesAtLeast = 8;

}  // namespace

struct Bridge::Devices final : BridgeDevices {
  explicit Devices(const registry_view::RegistryView& view) : registry(view) {}
  [[nodiscard]] bool ready() const override { return registry.ready(); }
  [[nodiscard]] std::optional<registry_view::Device> find(std::string_view tenant,
                                                          std::string_view device) const override {
    auto found = registry.find(tenant, device);
    if (found && !found->enabled) found.reset();
    return found;
  }
  const registry_view::RegistryView& registry;
};

Bridge::Bridge(const BridgeOptions& options, std::unique_ptr<journal::Journal> journal, observability::Metrics& metrics)
    : options_(options), metrics_(metrics), journal_(std::move(journal)) {}

Result<std::unique_ptr<Bridge>> Bridge::open(const BridgeOptions& options, RecordPublisher& publisher,
                                             RefusedPayloads& refused, MetricNames& names, Limiter& limiter,
                                             const registry_view::RegistryView& registry,
                                             const GatewayMetrics& gateway_metrics, observability::Metrics& metrics) {
  auto brokers = read_bridge_file(options.file);
  if (!brokers.ok()) return brokers.error();
  const std::string paho = options.folder + "/paho";
  std::error_code error;
  std::filesystem::create_directories(paho, error);
  if (error) return Error{ErrorKind::kUnavailable, "cannot make " + paho + ": " + error.message()};
  auto journal = journal::Journal::open({.folder = options.folder + "/journal",
                                         .file_bytes = std::min(kMostFileBytes, options.journal_bytes / kFilesAtLeast),
                                         .limit_bytes = options.journal_bytes,
                                         .durable = options.sync != BridgeSync::kNone});
  if (!journal.ok()) return journal.error();
  std::unique_ptr<Bridge> bridge(new Bridge(options, std::move(*journal), metrics));
  bridge->devices_ = std::make_unique<Devices>(registry);
  bridge->types_ = std::make_unique<RegistryTypes>(registry);
  bridge->worker_ = std::make_unique<IngestWorker>(publisher, refused, names, limiter, *bridge->types_);
  bridge->commands_ = std::make_unique<kafka::SyncProducer>(options.kafka, kCommandTimeout);
  bridge->feed_ = std::make_shared<JournalFeed>(
      JournalFeedOptions{.command_topic = options.command_topic}, *bridge->journal_, *bridge->worker_, refused,
      *bridge->devices_,
      [producer = bridge->commands_.get()](std::span<const kafka::OutgoingRecord> records) -> Status {
        auto sent = producer->send(records);
        if (!sent.ok()) return sent.error();
        return {};
      },
      gateway_metrics, bridge->metrics_);
  for (const BridgeBroker& config : *brokers) {
    auto broker = std::make_unique<Broker>(config, metrics);
    Broker* const one = broker.get();
    broker->link = std::make_unique<BrokerLink>(
        one->config, paho, [self = bridge.get(), one](const BrokerMessage& message) { self->take(*one, message); },
        one->metrics);
    bridge->brokers_.push_back(std::move(broker));
  }
  return bridge;
}

Bridge::~Bridge() { close(); }

void Bridge::start() {
  const journal::Recovered& found = journal_->recovered();
  log_.info("the journal is open",
            {{"entries to hand on", found.entries}, {"torn bytes", found.torn_bytes}, {"bytes", journal_->bytes()}});
  for (const std::string& file : found.damaged) {
    log_.error("a file of the journal is damaged; what follows its last whole entry is lost", {{"file", file}});
  }
  feed_->start();
  if (options_.sync == BridgeSync::kInterval) {
    syncing_ = std::jthread([this](const std::stop_token& stop) { sync_again_and_again(stop); });
  }
  for (auto& broker : brokers_) broker->link->start();
}

// On Paho's thread. When it returns, the broker gets its acknowledgement.
void Bridge::take(Broker& broker, const BrokerMessage& message) {
  if (message.repeated) broker.metrics.repeated.add();
  if (message.retained) return broker.metrics.taken(BridgeTaken::kRetained).add();
  const auto target = target_of(broker.config.topics, message.topic);
  if (!target || message.payload.size() > kMaxBodyBytes) {
    const auto what = target ? BridgeTaken::kTooLarge : BridgeTaken::kNoTarget;
    broker.metrics.taken(what).add();
    log_.limited(broker.limiter, observability::Level::kWarn, "a broker's message cannot be taken",
                 {{"broker", broker.config.name},
                  {"topic", message.topic},
                  {"bytes", message.payload.size()},
                  {"reason", target ? "too large" : "the topic names no device"}});
    return;
  }
  keep({.use = target->topic->use,
        .qos = message.qos,
        .taken = now_us(),
        .broker = broker.config.name,
        .tenant = target->tenant,
        .device = target->device,
        .metric_prefix = target->topic->metric_prefix,
        .topic = message.topic,
        .content_type = message.content_type,
        .message_id = message.message_id,
        .traceparent = message.traceparent,
        .payload = message.payload});
  broker.metrics.taken(BridgeTaken::kJournaled).add();
  feed_->wake();
}

// There is no way to leave a message of Paho's without acknowledging it but not to return.
void Bridge::keep(const BridgeEntry& entry) {
  while (!try_keep(entry)) journal_->wait_for_room(kTryAgain);
  if (full_.exchange(false)) metrics_.journal_full.set(0);
}

bool Bridge::try_keep(const BridgeEntry& entry) {
  Status kept;
  try {
    encode(entry, body_);
    kept = journal_->append(
        body_, stopping_.load() ? journal::Journal::Room::kBeyondLimit : journal::Journal::Room::kWithinLimit);
    // Appended and not synced: it is appended again, and is there twice, rather than acknowledged and not there.
    if (kept.ok() && options_.sync == BridgeSync::kEach) kept = journal_->sync();
  } catch (const std::exception& error) {
    kept = Error{ErrorKind::kUnavailable, error.what()};
  }
  if (kept.ok()) return true;
  if (kept.error().kind == ErrorKind::kThrottled) {
    if (!full_.exchange(true)) metrics_.journal_full.set(1);
  } else {
    metrics_.append_failures.add();
  }
  log_.limited(limiter_, observability::Level::kWarn, "the journal takes nothing; the brokers get no acknowledgement",
               {{"error", kept.error().message}});
  return false;
}

void Bridge::sync_again_and_again(const std::stop_token& stop) {
  std::mutex mutex;
  std::condition_variable_any never;
  observability::LogLimiter limiter;
  while (!stop.stop_requested()) {
    {
      std::unique_lock lock(mutex);
      never.wait_for(lock, stop, options_.sync_interval, [] { return false; });
    }
    if (auto synced = journal_->sync(); !synced.ok()) {
      log_.limited(limiter, observability::Level::kWarn, "the journal could not be put on the disk",
                   {{"error", synced.error().message}});
    }
  }
}

void Bridge::stop_intake() {
  stopping_ = true;
  std::vector<std::future<void>> ending;
  for (auto& broker : brokers_) {
    ending.push_back(std::async(std::launch::async, [link = broker->link.get()] { link->stop(); }));
  }
  const auto deadline = std::chrono::steady_clock::now() + kStopDeadline;
  for (const auto& one : ending) {
    if (one.wait_until(deadline) == std::future_status::ready) continue;
    log_.error("the journal does not take what a broker has sent; the process ends without acknowledging it");
    std::_Exit(1);
  }
}

Status Bridge::drain(runtime::Deadline deadline) {
  if (!feed_->drain(deadline)) log_.info("messages stay in the journal for the next start");
  return {};
}

void Bridge::close() {
  if (!stopping_) stop_intake();
  feed_->stop();
  if (syncing_.joinable()) {
    syncing_.request_stop();
    syncing_.join();
  }
  if (auto synced = journal_->sync(); !synced.ok()) {
    log_.warn("the journal could not be put on the disk", {{"error", synced.error().message}});
  }
}

void Bridge::report() const { metrics_.journal_bytes.set(static_cast<double>(journal_->bytes())); }

std::string Bridge::detail() const {
  std::string text;
  for (const auto& broker : brokers_) text += broker->link->detail() + "; ";
  return text + "journal: " + std::to_string(journal_->bytes()) + " of " + std::to_string(options_.journal_bytes) +
         " bytes" + (full_ ? ", full: nothing is acknowledged" : "");
}

}  // namespace millrace::gateway
