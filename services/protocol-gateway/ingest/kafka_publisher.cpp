#include "ingest/kafka_publisher.hpp"

#include <algorithm>
#include <cstring>
#include <iterator>

#include <millrace/base/backoff.hpp>
#include <millrace/base/ids.hpp>

#include "ingest/ingest_worker.hpp"

namespace millrace::gateway {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr TimeUs kMaxClockSkewUs = 2 * kUsPerSecond;
constexpr milliseconds kSupervisorTick{100};

// Spare records: about 12 MB at most.
constexpr std::size_t kMostSpare = 16'384;
constexpr std::size_t kMostSpareValueBytes = 1024;
constexpr std::size_t kSpareAtOnce = 64;

std::size_t cost_of(const InFlight& record) { return record.value.size() + kInFlightOverhead; }

// As new, but for the memory of its value.
void make_spare(InFlight& record) {
  std::string value = std::move(record.value);
  value.clear();
  record = {};
  if (value.capacity() <= kMostSpareValueBytes) record.value = std::move(value);
}

}  // namespace

KafkaPublisher::KafkaPublisher(PublisherOptions options, GatewayMetrics& metrics,
                               const telemetry_log::LogGenerations& generations, Settle settle)
    : options_(std::move(options)), metrics_(metrics), generations_(generations), settle_(std::move(settle)) {
  const std::string bits = random_bytes(start_id_.size());
  std::memcpy(start_id_.data(), bits.data(), start_id_.size());
}

KafkaPublisher::~KafkaPublisher() { stop(); }

void KafkaPublisher::start() {
  supervisor_ = std::jthread([this](const std::stop_token& stop) { supervise(stop); });
}

// The counter is drawn and the record handed to librdkafka under one lock: counter order is produce order. A record
// that librdkafka does not take gives its counter back.
Status KafkaPublisher::submit(std::unique_ptr<InFlight> record) {
  if (!connected_.load(std::memory_order_acquire)) {
    return Error{ErrorKind::kUnavailable, "Kafka cannot be reached"};
  }
  if (record->until_stored && answers_ != nullptr && answers_->full()) {
    return Error{ErrorKind::kUnavailable,
                 "too many answers wait for the database; send it again later, or with the ack level 'bus'"};
  }
  const int index = partition_of(record->identity->key, static_cast<int>(partitions_.size()));
  Partition& partition = *partitions_[static_cast<std::size_t>(index)];
  const std::size_t cost = cost_of(*record);
  if (record->until_stored && answers_ != nullptr) record->mark = answers_->mark(index);
  const std::lock_guard lock(partition.mutex);
  record->partition = index;
  const bool named = record->named;
  if (!named) {
    record->counter = partition.next_counter;
    telemetry::set_ingest_counter(record->value, record->counter);
  }
  if (partition.producer != nullptr) {
    const Status produced = partition.producer->produce(index, record->identity->key, record->value, record.get());
    // After a fatal error the record waits for the next producer with those before it.
    if (!produced.ok() && produced.error().kind != ErrorKind::kConflict) return produced;
  }
  if (!named) ++partition.next_counter;
  bytes_.fetch_add(cost, std::memory_order_relaxed);
  records_.fetch_add(1, std::memory_order_relaxed);
  partition.window.push_back(std::move(record));
  const std::size_t taken = in_flight_bytes();
  if (taken >= options_.max_in_flight_bytes) accepting_.store(false, std::memory_order_relaxed);
  if (taken >= options_.max_in_flight_bytes / 2) crowded_.store(true, std::memory_order_relaxed);
  return {};
}

void KafkaPublisher::on_reports(std::span<const kafka::DeliveryReport> reports) {
  std::vector<Settlement> settlements;
  settlements.reserve(reports.size());
  std::vector<StoredAnswers::Held> held;
  std::vector<std::unique_ptr<InFlight>> freed;
  freed.reserve(reports.size());
  count_accepted(reports);
  const TimeUs now = now_us();
  const auto clock = steady_clock::now();
  for (const kafka::DeliveryReport& report : reports) {
    auto& record = *static_cast<InFlight*>(report.opaque);
    Partition& partition = *partitions_[static_cast<std::size_t>(record.partition)];
    if (report.delivery == kafka::Delivery::kPersisted) {
      check_clock(record, report.broker_time_us, now);
      metrics_.processing_seconds.observe(std::chrono::duration<double>(clock - record.taken).count());
    }
    const std::lock_guard lock(partition.mutex);
    Settlement settlement{std::move(record.waiter), settle_record(record, report)};
    if (report.delivery == kafka::Delivery::kPersisted) {
      partition.acknowledged.add(report.broker_time_us, settlement.outcome.receipt.generation, report.offset);
    }
    if (record.until_stored && answers_ != nullptr && settlement.outcome.kind == Outcome::Kind::kAcknowledged) {
      held.push_back({std::move(settlement), record.mark});
    } else {
      settlements.push_back(std::move(settlement));
    }
    record.settled = true;
    release(partition, freed);
  }
  settle_(std::move(settlements));
  if (!held.empty()) answers_->hold(std::move(held));
  keep_spare(std::move(freed));
}

void KafkaPublisher::count_accepted(std::span<const kafka::DeliveryReport> reports) {
  const auto protocol_of = [](const kafka::DeliveryReport& report) {
    return static_cast<const InFlight*>(report.opaque)->protocol;
  };
  std::size_t count = 0;
  for (std::size_t i = 0; i < reports.size(); ++i) {
    if (reports[i].delivery == kafka::Delivery::kPersisted) ++count;
    const bool run_ends = i + 1 == reports.size() || protocol_of(reports[i + 1]) != protocol_of(reports[i]);
    if (!run_ends || count == 0) continue;
    metrics_.ingested(protocol_of(reports[i]), IngestResult::kAccepted).add(static_cast<double>(count));
    count = 0;
  }
}

void KafkaPublisher::keep_spare(std::vector<std::unique_ptr<InFlight>> freed) {
  for (auto& record : freed) make_spare(*record);
  const std::lock_guard lock(spare_mutex_);
  const std::size_t room = kMostSpare - spare_.size();
  const std::size_t kept = std::min(freed.size(), room);
  spare_.insert(spare_.end(), std::make_move_iterator(freed.begin()),
                std::make_move_iterator(freed.begin() + static_cast<std::ptrdiff_t>(kept)));
}

void KafkaPublisher::take_spare(std::vector<std::unique_ptr<InFlight>>& spare) {
  const std::lock_guard lock(spare_mutex_);
  const auto first = spare_.end() - static_cast<std::ptrdiff_t>(std::min(spare_.size(), kSpareAtOnce));
  spare.insert(spare.end(), std::make_move_iterator(first), std::make_move_iterator(spare_.end()));
  spare_.erase(first, spare_.end());
}

Outcome KafkaPublisher::settle_record(InFlight& record, const kafka::DeliveryReport& report) {
  Outcome outcome;
  switch (report.delivery) {
    case kafka::Delivery::kPersisted:
      outcome.kind = Outcome::Kind::kAcknowledged;
      outcome.receipt = {report.partition, report.offset, generations_.of(report.partition), false};
      break;
    case kafka::Delivery::kNotPersisted:
      outcome.kind = Outcome::Kind::kRefused;
      outcome.error = {report.reason, "Kafka did not take the record"};
      metrics_.ingested(record.protocol, IngestResult::kUndeliverable).add();
      log_.limited(limiter_, observability::Level::kWarn, "a record was not persisted",
                   {{"partition", record.partition}, {"reason", to_string(report.reason)}});
      break;
    case kafka::Delivery::kPossibly:
      outcome.kind = Outcome::Kind::kUnknown;
      metrics_.ingested(record.protocol, IngestResult::kUnknown).add();
      log_.limited(limiter_, observability::Level::kWarn, "the outcome of a record is unknown",
                   {{"partition", record.partition}});
      break;
  }
  return outcome;
}

// Frees settled records at the front; one behind an unsettled one waits for it.
void KafkaPublisher::release(Partition& partition, std::vector<std::unique_ptr<InFlight>>& freed) {
  while (!partition.window.empty() && partition.window.front()->settled) {
    bytes_.fetch_sub(cost_of(*partition.window.front()), std::memory_order_relaxed);
    records_.fetch_sub(1, std::memory_order_relaxed);
    freed.push_back(std::move(partition.window.front()));
    partition.window.pop_front();
  }
}

// The broker stamped the record between `ingest_time` and now: what lies outside is skew.
void KafkaPublisher::check_clock(const InFlight& record, TimeUs broker_time, TimeUs now) {
  if (broker_time <= 0) return;
  TimeUs skew = 0;
  if (broker_time > now) skew = now - broker_time;
  // The broker's stamp is cut to milliseconds.
  if (broker_time + 1000 < record.ingest_time) skew = record.ingest_time - broker_time;
  clock_skew_us_.store(skew, std::memory_order_relaxed);
}

void KafkaPublisher::supervise(const std::stop_token& stop) {
  Backoff backoff(milliseconds{100}, milliseconds{2000});
  while (!stop.stop_requested()) {
    milliseconds pause = kSupervisorTick;
    bool fatal = false;
    {
      const std::lock_guard lock(mutex_);
      fatal = std::exchange(fatal_, false);
    }
    if (fatal) {
      detach();
      producer_.reset();
      metrics_.producer_restarts.add();
    }
    if (!producer_) {
      if (connect()) {
        backoff.reset();
      } else {
        pause = backoff.next();
      }
    }
    update_accepting();
    std::unique_lock lock(mutex_);
    wake_.wait_for(lock, stop, pause, [this] { return fatal_; });
  }
}

// Makes a producer, learns the partitions, produces again what the last one left without a report.
bool KafkaPublisher::connect() {
  producer_ = std::make_unique<kafka::Producer>(
      options_.kafka, kafka::ProducerOptions{.topic = options_.topic, .linger_ms = options_.linger_ms},
      [this](std::span<const kafka::DeliveryReport> reports) { on_reports(reports); },
      [this](std::string_view reason) {
        log_.warn("fatal producer error; records without a report are produced again", {{"reason", reason}});
        const std::lock_guard lock(mutex_);
        fatal_ = true;
        wake_.notify_all();
      });
  const auto partitions = producer_->warm(options_.metadata_timeout);
  if (!partitions.ok()) {
    log_.limited(limiter_, observability::Level::kWarn, "Kafka cannot be used yet",
                 {{"error", partitions.error().message}});
    producer_.reset();
    return false;
  }
  if (partitions_.empty()) {
    for (int i = 0; i < *partitions; ++i) partitions_.push_back(std::make_unique<Partition>());
  } else if (partitions_.size() != static_cast<std::size_t>(*partitions)) {
    runtime::request_failure("the partition count of " + options_.topic +
                             " has changed, which breaks the order of devices");
    producer_.reset();
    return false;
  }
  if (!produce_again()) {
    detach();
    producer_.reset();
    return false;
  }
  connected_.store(true, std::memory_order_release);
  log_.info("connected to Kafka", {{"topic", options_.topic}, {"partitions", *partitions}});
  return true;
}

void KafkaPublisher::detach() {
  for (auto& partition : partitions_) {
    const std::lock_guard lock(partition->mutex);
    partition->producer = nullptr;
  }
}

bool KafkaPublisher::produce_again() {
  std::size_t again = 0;
  for (auto& partition : partitions_) {
    const std::lock_guard lock(partition->mutex);
    for (auto& record : partition->window) {
      if (record->settled) continue;
      const Status produced = producer_->produce(record->partition, record->identity->key, record->value, record.get());
      if (!produced.ok()) {
        log_.error("a record could not be produced again", {{"error", produced.error().message}});
        return false;
      }
      ++again;
    }
    partition->producer = producer_.get();
  }
  if (again > 0) log_.warn("records were produced again", {{"records", again}});
  return true;
}

bool KafkaPublisher::stalled() const {
  const auto limit = steady_clock::now() - options_.stall_after;
  return std::any_of(partitions_.begin(), partitions_.end(), [&](const auto& partition) {
    const std::lock_guard lock(partition->mutex);
    return !partition->window.empty() && partition->window.front()->taken < limit;
  });
}

// Closed at the limit (by submit() too), opened again below three quarters, so that it does not flutter.
void KafkaPublisher::update_accepting() {
  const std::size_t bytes = in_flight_bytes();
  const bool was = accepting_.load(std::memory_order_relaxed);
  const std::size_t limit = was ? options_.max_in_flight_bytes : options_.max_in_flight_bytes / 4 * 3;
  const bool is_stalled = stalled();
  const bool can_acknowledge = connected_.load() && producer_ != nullptr && generations_.ready();
  const bool now = can_acknowledge && !is_stalled && bytes < limit;
  metrics_.stalled.set(is_stalled ? 1 : 0);
  metrics_.in_flight_bytes.set(static_cast<double>(bytes));
  // Set by submit() alone; taken away with some distance, so that it does not flutter.
  const bool room_again = crowded_.load(std::memory_order_relaxed) && bytes < options_.max_in_flight_bytes / 8 * 3;
  if (room_again) crowded_.store(false, std::memory_order_relaxed);
  if (was == now) {
    if (now && room_again && on_accepting_) on_accepting_();
    return;
  }
  if (!now) log_.warn("no new messages are taken", {{"stalled", is_stalled}, {"in_flight_bytes", bytes}});
  if (now) log_.info("messages are taken", {{"in_flight_bytes", bytes}});
  accepting_.store(now, std::memory_order_relaxed);
  if (now && on_accepting_) on_accepting_();
}

Status KafkaPublisher::drain(runtime::Deadline deadline) {
  std::unique_lock lock(mutex_);
  while (records_.load() > 0) {
    if (steady_clock::now() >= deadline) {
      return Error{ErrorKind::kUnknownOutcome, std::to_string(records_.load()) + " records have no delivery report"};
    }
    wake_.wait_for(lock, milliseconds{5});
  }
  return {};
}

void KafkaPublisher::stop() {
  accepting_.store(false);
  if (supervisor_.joinable()) {
    supervisor_.request_stop();
    supervisor_.join();
  }
  detach();
  producer_.reset();
  std::vector<Settlement> unknown;
  for (auto& partition : partitions_) {
    const std::lock_guard lock(partition->mutex);
    for (auto& record : partition->window) {
      if (!record->settled) unknown.push_back({std::move(record->waiter), Outcome{}});
    }
    partition->window.clear();
  }
  if (!unknown.empty()) settle_(std::move(unknown));
}

void KafkaPublisher::collect_acknowledged(std::vector<AckLedger::Counted>& out) {
  if (!connected_.load(std::memory_order_acquire)) return;
  std::vector<AckTally::Hour> hours;
  for (std::size_t i = 0; i < partitions_.size(); ++i) {
    {
      const std::lock_guard lock(partitions_[i]->mutex);
      partitions_[i]->acknowledged.take_changed(hours);
    }
    for (const AckTally::Hour& hour : hours) out.push_back({static_cast<std::int32_t>(i), hour});
    hours.clear();
  }
}

runtime::CheckResult KafkaPublisher::kafka_check() const {
  if (!connected_.load()) return {false, "no connection to Kafka yet"};
  if (!accepting()) return {false, "delivery reports do not come; nothing new is taken"};
  return {true, std::to_string(in_flight_bytes()) + " bytes in flight"};
}

runtime::CheckResult KafkaPublisher::clock_check() const {
  const TimeUs skew = clock_skew_us_.load(std::memory_order_relaxed);
  const bool ok = std::abs(skew) <= kMaxClockSkewUs;
  return {ok, ok ? "agrees with the broker's" : "is " + std::to_string(skew / 1000) + " ms ahead of the broker's"};
}

}  // namespace millrace::gateway
