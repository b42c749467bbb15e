#include "log/alert_reader.hpp"

#include <millrace/base/backoff.hpp>

#include "log/event_decoder.hpp"

namespace millrace::notifier {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kPollTimeout{200};
constexpr std::chrono::seconds kGoodRun{30};
constexpr std::size_t kPrefetchBytes = 16 * 1024 * 1024;

}  // namespace

AlertReader::AlertReader(const Config& config, const WebhookTable& webhooks, ProgressStore& store,
                         Dispatcher& dispatcher, const NotifierMetrics& metrics)
    : config_(config), webhooks_(webhooks), store_(store), dispatcher_(dispatcher), metrics_(metrics) {}

AlertReader::~AlertReader() = default;

void AlertReader::start() {
  thread_ = std::jthread([this](const std::stop_token& stop) { run(stop); });
}

void AlertReader::stop_intake() { taking_ = false; }

void AlertReader::stop() {
  thread_.request_stop();
  if (thread_.joinable()) thread_.join();
}

AlertReader::State AlertReader::state() const {
  const std::scoped_lock lock(mutex_);
  return state_;
}

void AlertReader::note(bool ok, std::string detail) {
  const std::scoped_lock lock(mutex_);
  state_ = {ok, std::move(detail)};
}

void AlertReader::run(const std::stop_token& stop) {
  note(false, "waits for the webhooks");
  if (!webhooks_.wait_ready(stop)) return;
  note(false, "waits for partitions");
  Backoff backoff{milliseconds{200}, milliseconds{3'000}};
  while (!stop.stop_requested()) {
    kafka::ConsumerOptions options;
    options.group_id = config_.group;
    options.group_instance_id = config_.instance;
    options.session_timeout = config_.session_timeout;
    options.prefetch_bytes = kPrefetchBytes;
    const auto begun = Clock::now();
    {
      kafka::Consumer consumer(config_.kafka, options);
      kafka::RebalanceCallbacks callbacks;
      callbacks.on_assigned = [this](std::span<const kafka::TopicPartition> given) { return assigned(given); };
      callbacks.on_revoked = [this](std::span<const kafka::TopicPartition>, kafka::Revocation how) { revoked(how); };
      if (const Status joined = consumer.subscribe({config_.topics.alerts()}, std::move(callbacks)); joined.ok()) {
        read(consumer, stop);
      } else {
        note(false, joined.error().message);
      }
      consumer.close();
    }
    revoked(kafka::Revocation::kOrderly);
    if (Clock::now() - begun > kGoodRun) backoff.reset();
    std::unique_lock lock(mutex_);
    wake_.wait_for(lock, stop, backoff.next(), [] { return false; });
  }
}

void AlertReader::read(kafka::Consumer& consumer, const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    const kafka::Polled polled = consumer.poll(kPollTimeout);
    switch (polled.kind) {
      case kafka::Polled::Kind::kNothing:
        break;
      case kafka::Polled::Kind::kRecord:
        if (taking_) take(polled.record);
        break;
      case kafka::Polled::Kind::kEndOfPartition:
        if (taking_) dispatcher_.pass(polled.position.where.partition, polled.position.offset);
        break;
      case kafka::Polled::Kind::kFault:
        if (!on_fault(polled)) return;
        break;
    }
  }
}

void AlertReader::take(const kafka::Record& record) {
  if (record.is_tombstone()) return dispatcher_.pass(record.partition(), record.offset() + 1);
  auto event = decode_event({record.partition(), record.offset(), record.timestamp_us()}, record.key(), record.value());
  if (event.ok()) return dispatcher_.take(std::move(*event));
  metrics_.invalid.add();
  log_.limited(invalid_, observability::Level::kError, "record of alerts passed over",
               {{"partition", record.partition()}, {"offset", record.offset()}, {"error", event.error().message}});
  dispatcher_.pass(record.partition(), record.offset() + 1);
}

bool AlertReader::on_fault(const kafka::Polled& polled) {
  switch (polled.fault) {
    case kafka::Fault::kTransient:
    case kafka::Fault::kUnknownTopic:
    case kafka::Fault::kPollTooSlow:
      log_.limited(faults_, observability::Level::kWarn, "Kafka", {{"error", polled.message}});
      return true;
    case kafka::Fault::kFenced:
      note(false, "another notifier has the same KAFKA_INSTANCE");
      log_.error("another notifier has the same static member id", {{"error", polled.message}});
      return false;
    case kafka::Fault::kOffsetOutOfRange:
    case kafka::Fault::kFatal:
      note(false, polled.message);
      log_.limited(faults_, observability::Level::kWarn, "the consumer cannot go on and is made anew",
                   {{"error", polled.message}});
      return false;
  }
  return false;
}

Result<std::vector<kafka::Position>> AlertReader::assigned(std::span<const kafka::TopicPartition> given) {
  revoked(kafka::Revocation::kOrderly);
  std::vector<std::int32_t> numbers;
  for (const kafka::TopicPartition& one : given) numbers.push_back(one.partition);
  std::vector<kafka::Position> positions;
  if (numbers.empty()) {
    note(true, "no partition is assigned: another notifier has them");
    return positions;
  }
  const auto kept = store_.read(numbers);
  if (!kept.ok()) {
    note(false, kept.error().message);
    return kept.error();
  }
  for (const auto& [partition, saved] : *kept) {
    positions.push_back({{config_.topics.alerts(), partition}, dispatcher_.open(partition, saved)});
  }
  partitions_ = std::move(numbers);
  note(true, std::to_string(partitions_.size()) + " partitions");
  log_.info("partitions taken", {{"partitions", partitions_.size()}});
  return positions;
}

// What another notifier reads next is written first. It is true whoever owns the partitions by now, so it does no harm
// where they were lost.
void AlertReader::revoked(kafka::Revocation how) {
  if (partitions_.empty()) return;
  const Status written = store_.write([this] { return dispatcher_.save(partitions_); });
  if (!written.ok()) {
    log_.warn("positions were not written; some events will be sent again",
              {{"partitions", partitions_.size()}, {"error", written.error().message}});
  }
  for (const std::int32_t partition : partitions_) dispatcher_.close(partition);
  log_.info("partitions given back", {{"partitions", partitions_.size()}, {"lost", how == kafka::Revocation::kLost}});
  partitions_.clear();
  note(false, "waits for partitions");
}

}  // namespace millrace::notifier
