#include "presence/state_log.hpp"

#include <utility>
#include <vector>

#include <millrace/base/backoff.hpp>

namespace millrace::gateway {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr milliseconds kTick{100};

}  // namespace

StateLog::StateLog(StateLogOptions options) : options_(std::move(options)) {}

StateLog::~StateLog() { stop(); }

void StateLog::start() {
  supervisor_ = std::jthread([this](const std::stop_token& stop) { supervise(stop); });
}

void StateLog::stop() {
  accepting_ = false;
  if (supervisor_.joinable()) {
    supervisor_.request_stop();
    supervisor_.join();
  }
  disconnect();
  std::deque<std::unique_ptr<Entry>> left;
  {
    const std::lock_guard lock(mutex_);
    left.swap(window_);
  }
  for (const auto& entry : left) {
    if (!entry->settled && entry->done) {
      entry->done(Error{ErrorKind::kUnknownOutcome, "the gateway was stopped before Kafka answered"});
    }
  }
}

Status StateLog::drain(runtime::Deadline deadline) {
  std::unique_lock lock(mutex_);
  if (changed_.wait_until(lock, deadline, [this] { return window_.empty(); })) return {};
  return Error{ErrorKind::kUnknownOutcome,
               std::to_string(window_.size()) + " records of " + options_.topic + " have no delivery report"};
}

// A std::string_view without data is how Kafka's producer is told that a record has no value.
Status StateLog::produce(kafka::Producer& producer, Entry& entry) {
  const std::string_view value = entry.value ? std::string_view(*entry.value) : std::string_view();
  return producer.produce(entry.partition, entry.key, value, &entry);
}

Status StateLog::write(int partition, std::string key, std::optional<std::string> value, Done done) {
  const std::lock_guard lock(mutex_);
  if (partitions_ == 0 || window_.size() >= options_.max_records) {
    return Error{ErrorKind::kUnavailable, "Kafka cannot be reached"};
  }
  window_.push_back(std::make_unique<Entry>(
      Entry{partition, std::move(key), std::move(value), std::move(done), steady_clock::now(), false}));
  if (usable_ == nullptr) return {};
  Status produced = produce(*usable_, *window_.back());
  // After a fatal error the record waits for the next producer with those before it.
  if (produced.ok() || produced.error().kind == ErrorKind::kConflict) return {};
  window_.pop_back();
  return produced;
}

void StateLog::on_reports(std::span<const kafka::DeliveryReport> reports) {
  std::vector<std::pair<Done, Result<kafka::RecordCoordinate>>> answers;
  answers.reserve(reports.size());
  {
    const std::lock_guard lock(mutex_);
    for (const kafka::DeliveryReport& report : reports) {
      auto& entry = *static_cast<Entry*>(report.opaque);
      entry.settled = true;
      if (report.delivery == kafka::Delivery::kPersisted) {
        answers.emplace_back(std::move(entry.done), kafka::RecordCoordinate{report.partition, report.offset});
        continue;
      }
      const bool surely = report.delivery == kafka::Delivery::kNotPersisted;
      log_.limited(limiter_, observability::Level::kWarn, "a record was not confirmed",
                   {{"topic", options_.topic}, {"partition", report.partition}, {"surely not there", surely}});
      answers.emplace_back(std::move(entry.done), Error{surely ? report.reason : ErrorKind::kUnknownOutcome,
                                                        "Kafka did not confirm the record"});
    }
    while (!window_.empty() && window_.front()->settled) window_.pop_front();
  }
  changed_.notify_all();
  for (const auto& [done, result] : answers) {
    if (done) done(result);
  }
}

void StateLog::supervise(const std::stop_token& stop) {
  Backoff backoff(milliseconds{100}, milliseconds{2000});
  while (!stop.stop_requested()) {
    milliseconds pause = kTick;
    bool fatal = false;
    {
      const std::lock_guard lock(mutex_);
      fatal = std::exchange(fatal_, false);
    }
    if (fatal) disconnect();
    if (!producer_) {
      if (connect()) {
        backoff.reset();
      } else {
        pause = backoff.next();
      }
    }
    update_accepting();
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, stop, pause, [this] { return fatal_; });
  }
}

// Makes a producer, learns the partitions, produces again what the last one left without a report.
bool StateLog::connect() {
  producer_ = std::make_unique<kafka::Producer>(
      options_.kafka, kafka::ProducerOptions{.topic = options_.topic, .linger_ms = options_.linger_ms},
      [this](std::span<const kafka::DeliveryReport> reports) { on_reports(reports); },
      [this](std::string_view reason) {
        log_.warn("fatal producer error; records without a report are produced again",
                  {{"topic", options_.topic}, {"reason", reason}});
        const std::lock_guard lock(mutex_);
        fatal_ = true;
        changed_.notify_all();
      });
  const auto partitions = producer_->warm(options_.metadata_timeout);
  Status status = partitions.ok() ? Status() : Status(partitions.error());
  if (status.ok() && partitions_ != 0 && partitions_ != *partitions) {
    runtime::request_failure("the partition count of " + options_.topic +
                             " has changed, which breaks the order of devices");
    status = Error{ErrorKind::kCorrupt, "the partition count has changed"};
  }
  if (status.ok()) {
    const std::lock_guard lock(mutex_);
    for (auto& entry : window_) {
      if (status.ok() && !entry->settled) status = produce(*producer_, *entry);
    }
    if (status.ok()) usable_ = producer_.get();
  }
  if (!status.ok()) {
    log_.limited(limiter_, observability::Level::kWarn, "a topic cannot be written yet",
                 {{"topic", options_.topic}, {"error", status.error().message}});
    disconnect();
    return false;
  }
  partitions_.store(*partitions, std::memory_order_release);
  return true;
}

void StateLog::disconnect() {
  {
    const std::lock_guard lock(mutex_);
    usable_ = nullptr;
  }
  producer_.reset();
}

void StateLog::update_accepting() {
  const auto limit = steady_clock::now() - options_.stall_after;
  const std::lock_guard lock(mutex_);
  const bool stalled = !window_.empty() && window_.front()->taken < limit;
  const bool now = usable_ != nullptr && !stalled && window_.size() < options_.max_records;
  accepting_.store(now, std::memory_order_relaxed);
}

}  // namespace millrace::gateway
