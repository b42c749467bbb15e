#include "log/log_reader.hpp"

#include <algorithm>

namespace millrace::writer {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

// How long a full batch waits before the partitions are paused: short beside the time after which a member that does
// not poll is taken for dead.
constexpr std::chrono::seconds kPauseAfter{2};

}  // namespace

LogReader::LogReader(const Config& config, Handover& handover, NameTable& names, const WriterMetrics& metrics,
                     DeviceCheck check)
    : config_(config),
      handover_(handover),
      metrics_(metrics),
      store_(config.database, config.topics.telemetry()),
      taker_(names, std::move(check)),
      opener_(config, store_, taker_, metrics),
      keeper_(config, metrics) {}

LogReader::~LogReader() {
  leaving_ = true;
  stopping_ = true;
}

void LogReader::start() {
  keeper_.start();
  thread_ = std::jthread([this] { run(); });
}

void LogReader::stop_intake() { stopping_ = true; }

void LogReader::join() {
  leaving_ = true;
  if (thread_.joinable()) thread_.join();
}

LogReader::State LogReader::state() const {
  const std::scoped_lock lock(state_mutex_);
  if (!stopped_.empty()) return {false, stopped_.begin()->second};
  return state_;
}

void LogReader::note(bool connected, std::string detail) {
  const std::scoped_lock lock(state_mutex_);
  state_ = {connected, std::move(detail)};
}

void LogReader::run() {
  Backoff backoff{milliseconds{200}, milliseconds{3'000}};
  // A consumer that ends while the service stops is not replaced: there is nothing left to drain.
  while (!leaving_ && !stopping_) {
    kafka::ConsumerOptions options;
    options.group_id = config_.group;
    options.group_instance_id = config_.instance;
    options.session_timeout = config_.session_timeout;
    options.isolation = kafka::Isolation::kReadUncommitted;  // `telemetry` is never transactional
    options.prefetch_bytes = config_.prefetch_bytes;
    options.in_bulk();
    {
      kafka::Consumer consumer(config_.kafka, options);
      losses_seen_ = 0;
      paused_ = false;
      kafka::RebalanceCallbacks callbacks;
      callbacks.on_assigned = [this](std::span<const kafka::TopicPartition> partitions) {
        return assigned(partitions);
      };
      callbacks.on_revoked = [this](std::span<const kafka::TopicPartition>, kafka::Revocation) { revoked(); };
      if (auto joined = consumer.subscribe({config_.topics.telemetry()}, std::move(callbacks)); joined) {
        const auto begun = steady_clock::now();
        read(consumer);
        if (steady_clock::now() - begun > std::chrono::seconds{30}) backoff.reset();
      } else {
        note(false, joined.error().message);
      }
      if (leaving_) save_last_copies();
      consumer.close();
    }
    revoked();
    const auto until = steady_clock::now() + backoff.next();
    while (!leaving_ && !stopping_ && steady_clock::now() < until) std::this_thread::sleep_for(milliseconds{10});
  }
  drained_ = true;
}

void LogReader::read(kafka::Consumer& consumer) {
  while (!leaving_) {
    if (!step(consumer)) return;
  }
}

// One poll and what follows from it; false: end this consumer.
bool LogReader::step(kafka::Consumer& consumer) {
  if (auto why = handover_.take_reset_request()) {
    if (auto opened = reopen(consumer, *why); !opened) {
      log_.warn("cannot open the partitions again", {{"error", opened.error().message}});
      return false;
    }
  }
  if (wait_while_full()) {
    keep_house(consumer);
    return true;
  }
  flow(consumer);
  kafka::Polled polled = consumer.poll(milliseconds{batch_.empty() ? 50 : 1});
  if (consumer.connection_losses() != losses_seen_ && polled.kind == kafka::Polled::Kind::kRecord) {
    // What comes now may come from another log. The record is read again after a seek if it is.
    if (!is_same_log(consumer)) return false;
    losses_seen_ = consumer.connection_losses();
  }
  switch (polled.kind) {
    case kafka::Polled::Kind::kRecord:
      take(consumer, std::move(polled.record));
      break;
    case kafka::Polled::Kind::kFault:
      if (!on_fault(polled)) return false;
      if (polled.fault == kafka::Fault::kOffsetOutOfRange) stop_partition(consumer, polled.position.where.partition);
      break;
    case kafka::Polled::Kind::kEndOfPartition:
    case kafka::Polled::Kind::kNothing:
      break;
  }
  hand_over_if_due();
  keep_house(consumer);
  return true;
}

void LogReader::keep_house(kafka::Consumer& consumer) {
  const auto now = steady_clock::now();
  if (now - housekeeping_ <= milliseconds{500}) return;
  housekeeping_ = now;
  forget_committed();
  keeper_.step(partitions_, committed_);
  note_lag(consumer);
  look_for_decisions();
}

void LogReader::take(kafka::Consumer& consumer, kafka::Record record) {
  if (stopping_) return;
  const std::int32_t partition = record.partition();
  const auto found = partitions_.find(partition);
  if (found == partitions_.end() || found->second.stopped) return;
  taker_.take(std::move(record), found->second, batch_);
  if (found->second.stopped) stop_partition(consumer, partition);
}

bool LogReader::is_full() const {
  return batch_.rows.size() >= config_.max_batch_rows || batch_.bytes >= config_.max_batch_bytes;
}

bool LogReader::is_batch_due() const {
  return is_full() || stopping_ || steady_clock::now() - batch_.first >= config_.batch_linger;
}

void LogReader::hand_over_if_due() {
  if (!batch_.empty() && handover_.is_hungry() && is_batch_due()) {
    batch_.epoch = epoch_;
    handover_.put(std::move(batch_));
    batch_ = {};
  }
  if (stopping_ && batch_.empty()) drained_ = true;
}

// Waits for the committing thread with a full batch. Pausing throws away what the library has fetched ahead, to be
// fetched again for the next batch: it is left to flow(), where the wait becomes long.
bool LogReader::wait_while_full() {
  if (!is_full() || stopping_) {
    full_since_.reset();
    return false;
  }
  const auto now = steady_clock::now();
  if (!full_since_) full_since_ = now;
  if (now - *full_since_ >= kPauseAfter) return false;
  handover_.wait_hungry(now + milliseconds{50});
  hand_over_if_due();
  return true;
}

// A batch that stays full stops the flow; polling goes on, so that the group keeps this member.
void LogReader::flow(kafka::Consumer& consumer) {
  const bool full = is_full() || stopping_;
  if (full == paused_) return;
  std::vector<kafka::TopicPartition> flowing;
  for (const auto& [partition, state] : partitions_) {
    if (!state.stopped) flowing.push_back({config_.topics.telemetry(), partition});
  }
  const Status done = full ? consumer.pause(flowing) : consumer.resume(flowing);
  if (done) paused_ = full;
}

Result<std::vector<kafka::Position>> LogReader::assigned(std::span<const kafka::TopicPartition> partitions) {
  const auto begun = steady_clock::now();
  revoked();
  std::vector<std::int32_t> numbers;
  for (const kafka::TopicPartition& one : partitions) numbers.push_back(one.partition);
  if (numbers.empty()) {
    note(true, "no partition is assigned: another writer has them");
    return std::vector<kafka::Position>{};
  }
  auto opened = opener_.open(numbers, [this] { return leaving_.load() || stopping_.load(); });
  if (!opened) {
    store_.disconnect();
    note(false, opened.error().message);
    log_.limited(limiter_, observability::Level::kWarn, "cannot take partitions", {{"error", opened.error().message}});
    return opened.error();
  }
  partitions_ = std::move(opened->partitions);
  std::vector<kafka::Position> positions;
  {
    const std::scoped_lock lock(state_mutex_);
    stopped_.clear();
    for (const auto& [partition, state] : partitions_) {
      if (state.stopped)
        stopped_[partition] = *state.stopped;
      else
        positions.push_back({{config_.topics.telemetry(), partition}, state.next_offset});
    }
    for (const auto& [partition, why] : stopped_)
      log_.error("partition stopped", {{"partition", partition}, {"reason", why}});
    state_ = {true, std::to_string(partitions_.size()) + " partitions"};
  }
  committed_.clear();
  for (const auto& [partition, one] : opened->opening.partitions) committed_[partition] = one.next_offset;
  opened->opening.epoch = epoch_;
  handover_.put(std::move(opened->opening));
  paused_ = false;
  const double seconds = std::chrono::duration<double>(steady_clock::now() - begun).count();
  metrics_.opening_seconds.observe(seconds);
  metrics_.partitions.set(static_cast<double>(partitions_.size()));
  metrics_.stopped_partitions.set(static_cast<double>(partitions_.size() - positions.size()));
  log_.info("partitions taken", {{"partitions", partitions_.size()}, {"seconds", seconds}});
  return positions;
}

void LogReader::revoked() {
  epoch_ = handover_.begin_epoch();
  batch_ = {};
  keeper_.forget();
  partitions_.clear();
  metrics_.partitions.set(0);
}

// Everything from the database again: the other thread gave a batch up.
Status LogReader::reopen(kafka::Consumer& consumer, const std::string& why) {
  log_.warn("reading the offsets again", {{"reason", why}});
  std::vector<kafka::TopicPartition> partitions = consumer.assignment();
  // Stopped ones were never assigned; their state may have changed with an operator's decision.
  for (const auto& [partition, state] : partitions_) {
    const kafka::TopicPartition where{config_.topics.telemetry(), partition};
    if (std::find(partitions.begin(), partitions.end(), where) == partitions.end()) partitions.push_back(where);
  }
  auto positions = assigned(partitions);
  if (!positions) return positions.error();
  return consumer.assign(*positions);
}

bool LogReader::is_same_log(kafka::Consumer& consumer) {
  metrics_.connection_losses.add();
  Backoff backoff{milliseconds{100}, milliseconds{2'000}};
  while (!leaving_ && !stopping_) {
    const Status checked = opener_.verify(partitions_);
    if (checked) {
      for (const auto& [partition, state] : partitions_) {
        if (state.stopped) stop_partition(consumer, partition);
      }
      return true;
    }
    note(false, checked.error().message);
    log_.limited(limiter_, observability::Level::kWarn, "cannot check the log after a lost connection",
                 {{"error", checked.error().message}});
    std::this_thread::sleep_for(backoff.next());
  }
  return false;
}

void LogReader::stop_partition(kafka::Consumer& consumer, std::int32_t partition) {
  const auto found = partitions_.find(partition);
  if (found == partitions_.end()) return;
  if (!found->second.stopped) {
    found->second.stopped = "partition " + std::to_string(partition) + ": the next offset " +
                            std::to_string(found->second.next_offset) + " is not in the log" + how_to_go_on(partition);
  }
  const kafka::TopicPartition where{config_.topics.telemetry(), partition};
  if (auto paused = consumer.pause(std::span(&where, 1)); !paused) {
    log_.warn("cannot pause a partition", {{"error", paused.error().message}});
  }
  const std::scoped_lock lock(state_mutex_);
  if (!stopped_.contains(partition)) {
    log_.error("partition stopped", {{"partition", partition}, {"reason", *found->second.stopped}});
    stopped_[partition] = *found->second.stopped;
    metrics_.stopped_partitions.set(static_cast<double>(stopped_.size()));
  }
}

// False: end this consumer and make another.
bool LogReader::on_fault(const kafka::Polled& polled) {
  switch (polled.fault) {
    case kafka::Fault::kTransient:
    case kafka::Fault::kUnknownTopic:
      log_.limited(limiter_, observability::Level::kWarn, "Kafka", {{"error", polled.message}});
      return true;
    case kafka::Fault::kOffsetOutOfRange:
    case kafka::Fault::kPollTooSlow:
      return true;
    case kafka::Fault::kFenced:
      note(false, "another writer has the same KAFKA_INSTANCE");
      log_.error("another writer has the same static member id", {{"error", polled.message}});
      return false;
    case kafka::Fault::kFatal:
      log_.limited(limiter_, observability::Level::kWarn, "the consumer cannot go on and is made anew",
                   {{"error", polled.message}});
      return false;
  }
  return false;
}

void LogReader::forget_committed() {
  for (const auto& [partition, next] : handover_.take_committed()) {
    const auto found = partitions_.find(partition);
    if (found == partitions_.end()) continue;
    found->second.rules.forget_before(next);
    committed_[partition] = next;
  }
}

// Before the group hears that this member leaves, so that the next one finds them.
void LogReader::save_last_copies() {
  forget_committed();
  keeper_.finish(partitions_, committed_);
}

// A stopped partition goes on once an operator has given it a new generation.
void LogReader::look_for_decisions() {
  constexpr std::chrono::seconds kPeriod{2};
  const auto now = steady_clock::now();
  const bool waits = std::any_of(partitions_.begin(), partitions_.end(),
                                 [](const auto& one) { return one.second.stopped.has_value(); });
  if (!waits || now - decisions_ < kPeriod) return;
  decisions_ = now;
  const Status connected = store_.connect();
  const auto rows = connected ? store_.offsets() : Result<std::map<std::int32_t, OffsetRow>>(connected.error());
  if (!rows) {
    store_.disconnect();
    log_.limited(limiter_, observability::Level::kWarn, "cannot look for an operator's decision",
                 {{"error", rows.error().message}});
    return;
  }
  for (const auto& [partition, state] : partitions_) {
    const auto row = rows->find(partition);
    if (!state.stopped || row == rows->end() || row->second.generation == state.generation) continue;
    handover_.request_reset("partition " + std::to_string(partition) + " has a new generation");
    return;
  }
}

void LogReader::note_lag(const kafka::Consumer& consumer) {
  double records = 0;
  double seconds = 0;
  for (const auto& [partition, state] : partitions_) {
    const auto marks = consumer.cached_watermarks({config_.topics.telemetry(), partition});
    if (!marks || marks->high < 0) continue;
    const std::int64_t behind = std::max<std::int64_t>(0, marks->high - committed_[partition]);
    records += static_cast<double>(behind);
    if (behind > 0 && state.rules.log_time() > 0) {
      seconds =
          std::max(seconds, static_cast<double>(now_us() - state.rules.log_time()) / static_cast<double>(kUsPerSecond));
    }
  }
  metrics_.lag_records.set(records);
  metrics_.lag_seconds.set(seconds);
}

}  // namespace millrace::writer
