#include "ingest/dead_letters.hpp"

#include <millrace/base/backoff.hpp>
#include <millrace/base/time.hpp>

namespace millrace::gateway {
namespace {

using std::chrono::milliseconds;

kafka::OutgoingRecord record_of(const std::string& topic, const RefusedPayloads::Refused& refused) {
  const registry_view::Device& device = refused.identity->device;
  return {.topic = topic,
          .key = refused.identity->key,
          .value = refused.payload,
          .headers = {{"tenant", device.tenant},
                      {"device", device.device},
                      {"refused", "true"},
                      {"reason", std::string(to_string(refused.error->fault))},
                      {"detail", refused.error->message},
                      {"topic", refused.topic},
                      {"attempt", "1"},
                      {"time_us", std::to_string(now_us())}}};
}

}  // namespace

DeadLetters::DeadLetters(DeadLetterOptions options, GatewayMetrics& metrics, Settle settle)
    : options_(std::move(options)), metrics_(metrics), settle_(std::move(settle)) {}

DeadLetters::~DeadLetters() { stop(); }

void DeadLetters::start() {
  thread_ = std::jthread([this](const std::stop_token& stop) { run(stop); });
}

void DeadLetters::stop() {
  if (thread_.joinable()) {
    thread_.request_stop();
    thread_.join();
  }
  std::vector<Settlement> unknown;
  {
    const std::lock_guard lock(mutex_);
    for (Refused& refused : queue_) unknown.push_back({std::move(refused.waiter), Outcome{}});
    queue_.clear();
  }
  if (!unknown.empty()) settle_(std::move(unknown));
}

Status DeadLetters::keep(Refused refused) {
  const std::lock_guard lock(mutex_);
  if (queue_.size() >= options_.max_queued || bytes_ + refused.payload.size() > options_.max_queued_bytes) {
    return Error{ErrorKind::kThrottled, "too many refused payloads are waiting to be kept; send valid ones, or later"};
  }
  metrics_.invalid(refused.error->fault).add();
  metrics_.ingested(refused.protocol, IngestResult::kInvalid).add();
  bytes_ += refused.payload.size();
  queue_.push_back(std::move(refused));
  metrics_.refused_queue.set(static_cast<double>(queue_.size()));
  changed_.notify_all();
  return {};
}

Status DeadLetters::drain(std::chrono::steady_clock::time_point deadline) {
  std::unique_lock lock(mutex_);
  if (changed_.wait_until(lock, deadline, [this] { return queue_.empty() && writing_ == 0; })) return {};
  return Error{ErrorKind::kUnknownOutcome, std::to_string(queue_.size() + writing_) + " refused payloads are not kept"};
}

void DeadLetters::collect_kept(std::vector<AckLedger::Counted>& out) {
  const std::lock_guard lock(mutex_);
  std::vector<AckTally::Hour> hours;
  for (auto& [partition, tally] : kept_) {
    tally.take_changed(hours);
    for (const AckTally::Hour& hour : hours) out.push_back({partition, hour, true});
    hours.clear();
  }
}

std::vector<RefusedPayloads::Refused> DeadLetters::take(const std::stop_token& stop) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, stop, [this] { return !queue_.empty(); });
  std::vector<Refused> batch;
  while (!queue_.empty() && batch.size() < options_.batch) {
    bytes_ -= queue_.front().payload.size();
    batch.push_back(std::move(queue_.front()));
    queue_.pop_front();
  }
  writing_ = batch.size();
  metrics_.refused_queue.set(static_cast<double>(queue_.size()));
  return batch;
}

bool DeadLetters::write(kafka::SyncProducer& producer, std::vector<Refused>& batch) {
  std::vector<kafka::OutgoingRecord> records;
  for (const Refused& refused : batch) records.push_back(record_of(options_.topic, refused));
  const auto written = producer.send(records);
  if (!written.ok()) {
    log_.limited(limiter_, observability::Level::kWarn, "refused payloads could not be kept yet",
                 {{"error", written.error().message}});
    return false;
  }
  {
    const std::lock_guard lock(mutex_);
    for (const kafka::RecordCoordinate& at : *written) kept_[at.partition].add(now_us(), 0, at.offset);
  }
  std::vector<Settlement> settlements;
  for (std::size_t i = 0; i < batch.size(); ++i) {
    const kafka::RecordCoordinate& at = (*written)[i];
    settlements.push_back({std::move(batch[i].waiter),
                           {Outcome::Kind::kKeptAsRefused, {at.partition, at.offset, 0, true}, {}, batch[i].error}});
  }
  settle_(std::move(settlements));
  return true;
}

void DeadLetters::run(const std::stop_token& stop) {
  kafka::SyncProducer producer(options_.kafka, options_.timeout);
  Backoff backoff(milliseconds{100}, milliseconds{2000});
  while (!stop.stop_requested()) {
    std::vector<Refused> batch = take(stop);
    while (!batch.empty() && !write(producer, batch)) {
      std::unique_lock lock(mutex_);
      changed_.wait_for(lock, stop, backoff.next(), [] { return false; });
      if (!stop.stop_requested()) continue;
      lock.unlock();
      std::vector<Settlement> unknown;
      for (Refused& refused : batch) unknown.push_back({std::move(refused.waiter), Outcome{}});
      settle_(std::move(unknown));
      break;
    }
    backoff.reset();
    const std::lock_guard lock(mutex_);
    writing_ = 0;
    changed_.notify_all();
  }
}

}  // namespace millrace::gateway
