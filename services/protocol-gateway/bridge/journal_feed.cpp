#include "bridge/journal_feed.hpp"

#include <utility>

#include <millrace/base/ids.hpp>

namespace millrace::gateway {
namespace {

using std::chrono::milliseconds;

// Whatever nobody announces (the registry's copy is complete, the disk takes again) is looked at this often.
constexpr milliseconds kLookAgain{100};
constexpr std::size_t kCommandsAtOnce = 256;

}  // namespace

JournalFeed::JournalFeed(JournalFeedOptions options, journal::Journal& journal, IngestWorker& worker,
                         RefusedPayloads& refused, const BridgeDevices& devices, SendCommandEvents send,
                         const GatewayMetrics& gateway_metrics, const BridgeMetrics& metrics)
    : options_(std::move(options)),
      journal_(journal),
      worker_(worker),
      refused_(refused),
      devices_(devices),
      send_(std::move(send)),
      gateway_metrics_(gateway_metrics),
      metrics_(metrics),
      to_replay_(journal.recovered().entries),
      window_(options_.most_entries, options_.most_bytes) {}

void JournalFeed::start() {
  thread_ = std::jthread([this](const std::stop_token& stop) { run(stop); });
}

void JournalFeed::stop() {
  if (thread_.joinable()) {
    thread_.request_stop();
    thread_.join();
  }
  confirm();
}

void JournalFeed::wake() {
  const std::lock_guard lock(mutex_);
  if (std::exchange(woken_, true)) return;
  changed_.notify_all();
}

bool JournalFeed::drain(runtime::Deadline deadline) {
  std::unique_lock lock(mutex_);
  while (!idle_ || woken_ || window_.size() != 0) {
    if (std::chrono::steady_clock::now() >= deadline || !worker_.accepting() || !devices_.ready()) return false;
    changed_.wait_for(lock, kLookAgain);
  }
  return true;
}

void JournalFeed::settle(std::uint64_t token, const Outcome& outcome) {
  switch (outcome.kind) {
    case Outcome::Kind::kAcknowledged:
    case Outcome::Kind::kInLog:
    case Outcome::Kind::kStored:
    case Outcome::Kind::kNotStored:
    case Outcome::Kind::kKeptAsRefused:
      return mark(token, true);
    case Outcome::Kind::kRefused:
      // What Kafka will never take is counted by the publisher; what it did not take now is handed on again.
      return mark(token, !is_retryable(outcome.error.kind));
    case Outcome::Kind::kUnknown:
      return mark(token, false);
  }
}

void JournalFeed::mark(std::uint64_t token, bool done) {
  const std::lock_guard lock(mutex_);
  if (done) {
    window_.done(token);
  } else {
    window_.again(token);
  }
}

void JournalFeed::run(const std::stop_token& stop) {
  journal::Reader reader(journal_);
  while (!stop.stop_requested()) {
    confirm();
    if (step(reader) == Step::kWentOn) continue;
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, stop, kLookAgain, [this] { return woken_; });
    if (std::exchange(woken_, false)) idle_ = false;  // until the journal's end is seen again
  }
}

// The window is forgotten before the journal keeps its checkpoint; a failed write is made up for by the next.
void JournalFeed::confirm() {
  std::optional<journal::Position> done;
  std::size_t left = 0;
  {
    const std::lock_guard lock(mutex_);
    done = window_.release();
    left = window_.size();
    if (left == 0) changed_.notify_all();  // whoever drains
  }
  metrics_.handed_on.set(static_cast<double>(left));
  if (!done) return;
  if (auto kept = journal_.confirm(*done); !kept.ok()) {
    log_.limited(limiter_, observability::Level::kWarn, "the journal's checkpoint could not be written",
                 {{"error", kept.error().message}});
  }
}

// One entry, or all commands that were gathered once there is nothing else to do.
JournalFeed::Step JournalFeed::step(journal::Reader& reader) {
  if (!worker_.accepting() || !devices_.ready()) return Step::kWait;
  if (commands_.size() >= kCommandsAtOnce) return send_commands();
  std::uint64_t token = 0;
  if (take_next(reader, token) == Step::kWait) return commands_.empty() ? Step::kWait : send_commands();
  const journal::Entry* entry = nullptr;
  {
    // Entries of a deque stay where they are while others are added or leave at its front.
    const std::lock_guard lock(mutex_);
    entry = &window_.entry(token);
  }
  return hand_on(token, *entry);
}

JournalFeed::Step JournalFeed::take_next(journal::Reader& reader, std::uint64_t& token) {
  {
    const std::lock_guard lock(mutex_);
    if (const auto again = window_.take_again()) {
      token = *again;
      return Step::kWentOn;
    }
    if (window_.full()) return Step::kWait;
  }
  auto next = reader.next();
  if (!next.ok()) {
    runtime::request_failure("the bridge's journal cannot be read: " + next.error().message);
    return Step::kWait;
  }
  const std::lock_guard lock(mutex_);
  idle_ = !next->has_value();
  if (idle_) {
    changed_.notify_all();
    return Step::kWait;
  }
  token = window_.add(std::move(**next));
  if (to_replay_ > 0) {
    --to_replay_;
    metrics_.replayed.add();
  }
  return Step::kWentOn;
}

JournalFeed::Step JournalFeed::hand_on(std::uint64_t token, const journal::Entry& entry) {
  const auto message = decode_bridge_entry(entry.body);
  if (!message.ok()) {
    log_.error("an entry of the journal is no message", {{"error", message.error().message}});
    mark(token, true);
    return Step::kWentOn;
  }
  const telemetry::IngestId id{entry.run, entry.counter};
  if (message->use == BridgeUse::kCommand) {
    commands_.push_back(command_event(options_.command_topic, *message, id));
    command_tokens_.push_back(token);
    return Step::kWentOn;
  }
  const Status taken = hand_on_telemetry(token, *message, id);
  if (taken.ok()) return Step::kWentOn;
  if (is_retryable(taken.error().kind)) {
    mark(token, false);
    return Step::kWait;
  }
  gateway_metrics_.ingested(telemetry::Protocol::kBridge, IngestResult::kUndeliverable).add();
  log_.limited(limiter_, observability::Level::kWarn, "a bridged message cannot be taken",
               {{"tenant", message->tenant}, {"device", message->device}, {"error", taken.error().message}});
  mark(token, true);
  return Step::kWentOn;
}

Status JournalFeed::hand_on_telemetry(std::uint64_t token, const BridgeEntry& entry, const telemetry::IngestId& id) {
  auto device = devices_.find(entry.tenant, entry.device);
  auto identity = std::make_shared<Identity>();
  identity->key = record_key(entry.tenant, entry.device);
  const Waiter waiter{shared_from_this(), token};
  if (!device) {
    identity->device.tenant.assign(entry.tenant);
    identity->device.device.assign(entry.device);
    auto error = std::make_shared<telemetry::PayloadError>(telemetry::PayloadError{
        telemetry::PayloadFault::kUnknownDevice, "the device is not in the registry, or it is disabled", {}, {}});
    return refused_.keep({std::move(identity), telemetry::Protocol::kBridge, std::string(entry.payload),
                          std::string(entry.topic), std::move(error), waiter});
  }
  identity->device = std::move(*device);
  Message message{.identity = std::move(identity),
                  .protocol = telemetry::Protocol::kBridge,
                  .qos = entry.qos,
                  .topic = entry.topic,
                  .content_type = entry.content_type,
                  .payload = entry.payload,
                  .metric_prefix = entry.metric_prefix,
                  .traceparent = entry.traceparent,
                  .facts = {},
                  .kept = Message::Kept{id, entry.taken}};
  message.facts.message_id.assign(entry.message_id);
  const Submitted submitted = worker_.submit(message, waiter);
  return submitted.ok() ? Status() : Status(submitted.error());
}

JournalFeed::Step JournalFeed::send_commands() {
  if (auto sent = send_(commands_); !sent.ok()) {
    log_.limited(limiter_, observability::Level::kWarn, "command events could not be written yet",
                 {{"error", sent.error().message}});
    return Step::kWait;
  }
  metrics_.command_events.add(static_cast<double>(commands_.size()));
  for (const std::uint64_t token : command_tokens_) mark(token, true);
  commands_.clear();
  command_tokens_.clear();
  return Step::kWentOn;
}

}  // namespace millrace::gateway
