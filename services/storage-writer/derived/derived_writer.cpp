#include "derived/derived_writer.hpp"

#include <algorithm>

#include <millrace/kafka/admin.hpp>

#include "derived/derived_decode.hpp"

namespace millrace::writer {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr milliseconds kAnswer{10'000};        // one question to the broker
constexpr milliseconds kMarkersLinger{1'000};  // positions behind transaction markers hurry nobody
constexpr std::size_t kPrefetchBytes = 16 << 20;
constexpr std::size_t kMostBytes = 16 << 20;

}  // namespace

DerivedWriter::DerivedWriter(const Config& config, const WriterMetrics& metrics)
    : config_(config),
      metrics_(metrics),
      store_(config.database, config.max_partitions),
      producer_(config.kafka, kAnswer),
      retry_(milliseconds{50}, milliseconds{2'000}) {}

DerivedWriter::~DerivedWriter() { join(); }

void DerivedWriter::start() {
  thread_ = std::jthread([this] { run(); });
}

void DerivedWriter::stop_intake() { stopping_ = true; }

void DerivedWriter::join() {
  stopping_ = true;
  leaving_ = true;
  if (thread_.joinable()) thread_.join();
}

std::string DerivedWriter::detail() const {
  const std::scoped_lock lock(detail_mutex_);
  return detail_;
}

void DerivedWriter::note(std::string detail) {
  const std::scoped_lock lock(detail_mutex_);
  detail_ = std::move(detail);
}

void DerivedWriter::run() {
  Backoff backoff{milliseconds{200}, milliseconds{3'000}};
  // A consumer that ends while the service stops is not replaced: what it held is read again at the next start.
  while (!leaving_ && !stopping_) {
    kafka::ConsumerOptions options;
    options.group_id = config_.group + "-derived";
    options.group_instance_id = config_.instance;
    options.session_timeout = config_.session_timeout;
    options.isolation = kafka::Isolation::kReadCommitted;
    options.prefetch_bytes = kPrefetchBytes;
    {
      kafka::Consumer consumer(config_.kafka, options);
      paused_ = false;
      kafka::RebalanceCallbacks callbacks;
      callbacks.on_assigned = [this](std::span<const kafka::TopicPartition> partitions) {
        return assigned(partitions);
      };
      callbacks.on_revoked = [this](std::span<const kafka::TopicPartition>, kafka::Revocation) { drop(); };
      const Status joined =
          consumer.subscribe({config_.topics.windows(), config_.topics.alerts()}, std::move(callbacks));
      if (joined) {
        const auto begun = steady_clock::now();
        read(consumer);
        if (steady_clock::now() - begun > std::chrono::seconds{30}) backoff.reset();
      } else {
        note(joined.error().message);
      }
      consumer.close();
    }
    drop();
    const auto until = steady_clock::now() + backoff.next();
    while (!leaving_ && !stopping_ && steady_clock::now() < until) std::this_thread::sleep_for(milliseconds{10});
  }
  drained_ = true;
}

void DerivedWriter::read(kafka::Consumer& consumer) {
  while (!leaving_) {
    if (!step(consumer)) return;
  }
}

// One poll and what follows from it; false: end this consumer.
bool DerivedWriter::step(kafka::Consumer& consumer) {
  flow(consumer);
  kafka::Polled polled = consumer.poll(batch_.empty() || paused_ ? milliseconds{20} : milliseconds{2});
  switch (polled.kind) {
    case kafka::Polled::Kind::kRecord:
      take(std::move(polled.record));
      break;
    case kafka::Polled::Kind::kEndOfPartition:
      // Behind the last record stand transaction markers, which nobody gives us.
      if (!stopping_) moved_on(polled.position.where, polled.position.offset);
      break;
    case kafka::Polled::Kind::kFault:
      if (!on_fault(consumer, polled)) return false;
      break;
    case kafka::Polled::Kind::kNothing:
      break;
  }
  if (!store_if_due(consumer)) return false;
  if (stopping_ && batch_.empty()) drained_ = true;
  if (const auto now = steady_clock::now(); now - housekeeping_ > milliseconds{500}) {
    housekeeping_ = now;
    note_lag(consumer);
  }
  return true;
}

// The slice that ends at `next_offset` now; none where that is no news.
DerivedBatch::Slice* DerivedWriter::moved_on(const kafka::TopicPartition& where, std::int64_t next_offset) {
  const auto part = parts_.find(where);
  if (part == parts_.end() || next_offset <= part->second.next_offset) return nullptr;
  if (batch_.empty()) batch_.first = steady_clock::now();
  const auto [slice, is_new] = batch_.slices.try_emplace(where);
  if (is_new) slice->second = {part->second.generation, part->second.next_offset, next_offset};
  slice->second.end = part->second.next_offset = next_offset;
  return &slice->second;
}

void DerivedWriter::take(kafka::Record record) {
  if (stopping_) return;
  const kafka::TopicPartition where{std::string(record.topic()), record.partition()};
  if (moved_on(where, record.offset() + 1) == nullptr) return;
  // A key that compaction is to forget; what it said stays in the database.
  if (record.is_tombstone()) return;
  // The time to wait begins with the first row, not with a marker before it.
  if (batch_.records.empty()) batch_.first = steady_clock::now();
  add_row(std::move(record));
}

void DerivedWriter::add_row(kafka::Record record) {
  // What a record holds in librdkafka beyond its bytes, and the row made of it.
  constexpr std::size_t kOverhead = 600;
  batch_.bytes += record.value().size() + kOverhead;
  const std::size_t source = batch_.records.size();
  const auto keep = [&](auto& rows, auto row) {
    if (row) {
      row->source = source;
      rows.push_back(*std::move(row));
    } else {
      batch_.dead.push_back({source, row.error().message});
    }
  };
  if (record.topic() == config_.topics.windows()) {
    keep(batch_.windows, window_of(record.value()));
  } else {
    keep(batch_.alerts, alert_of(record.value()));
  }
  batch_.records.push_back(std::move(record));
}

bool DerivedWriter::is_full() const {
  return batch_.records.size() >= config_.derived_batch_rows || batch_.bytes >= kMostBytes;
}

bool DerivedWriter::is_due() const {
  const auto now = steady_clock::now();
  if (batch_.empty() || now < next_try_) return false;
  return is_full() || stopping_ ||
         now - batch_.first >= (batch_.records.empty() ? kMarkersLinger : config_.derived_linger);
}

// A full batch stops the flow; polling goes on, so that the group keeps this member.
void DerivedWriter::flow(kafka::Consumer& consumer) {
  const bool full = is_full() || stopping_;
  if (full == paused_) return;
  std::vector<kafka::TopicPartition> flowing;
  for (const auto& [where, part] : parts_) flowing.push_back(where);
  const Status done = full ? consumer.pause(flowing) : consumer.resume(flowing);
  if (done) paused_ = full;
}

void DerivedWriter::drop() {
  batch_ = {};
  buried_in_batch_ = 0;
  parts_.clear();
  committed_.clear();
  next_try_ = {};
}

Result<std::vector<kafka::Position>> DerivedWriter::assigned(std::span<const kafka::TopicPartition> partitions) {
  drop();
  if (partitions.empty()) {
    note("no partition is assigned: another writer has them");
    return std::vector<kafka::Position>{};
  }
  if (stopping_) return Error{ErrorKind::kUnavailable, "given up: the service stops"};
  auto positions = positions_of(partitions);
  if (!positions) {
    store_.disconnect();
    note(positions.error().message);
    log_.limited(limiter_, observability::Level::kWarn, "cannot take partitions",
                 {{"error", positions.error().message}});
    return positions;
  }
  paused_ = false;
  retry_.reset();
  note(std::to_string(partitions.size()) + " partitions of windows and alerts");
  log_.info("partitions taken", {{"partitions", partitions.size()}});
  return positions;
}

Result<std::vector<kafka::Position>> DerivedWriter::positions_of(std::span<const kafka::TopicPartition> partitions) {
  if (auto connected = store_.connect(); !connected) return connected.error();
  kafka::Admin broker(config_.kafka);
  const auto cluster = broker.cluster_id(kAnswer);
  if (!cluster) return cluster.error();
  std::map<std::string, std::map<std::int32_t, OffsetRow>> rows;
  std::vector<kafka::Position> positions;
  for (const kafka::TopicPartition& where : partitions) {
    const auto log = broker.watermarks(where, kAnswer);
    if (!log) return log.error();
    if (!rows.contains(where.topic)) {
      auto read = store_.offsets(where.topic);
      if (!read) return read.error();
      rows[where.topic] = std::move(*read);
    }
    auto& known = rows[where.topic];
    if (!known.contains(where.partition)) {
      if (auto made = store_.create_offset(where, log->low, *cluster); !made) return made.error();
      // Somebody else may have been first.
      auto read = store_.offsets(where.topic);
      if (!read) return read.error();
      known = std::move(*read);
      if (!known.contains(where.partition))
        return Error{ErrorKind::kInternal, "storage.ingest_offset did not keep a row"};
    }
    const auto part = begin_of(where, known.at(where.partition), *cluster, *log);
    if (!part) return part.error();
    parts_[where] = *part;
    committed_[where] = part->next_offset;
    positions.push_back({where, part->next_offset});
  }
  return positions;
}

Result<DerivedWriter::Part> DerivedWriter::begin_of(const kafka::TopicPartition& where, const OffsetRow& row,
                                                    std::string_view cluster_id, const kafka::Watermarks& log) {
  const bool same = row.cluster_id == cluster_id;
  if (same && row.next_offset >= log.low && row.next_offset <= log.high) return Part{row.generation, row.next_offset};
  if (auto moved = store_.restart_offset(where, row, log.low, cluster_id); !moved) return moved.error();
  metrics_.derived_restarts.add();
  log_.warn("the log was cut or replaced: it is read from where it begins now", {{"topic", where.topic},
                                                                                 {"partition", where.partition},
                                                                                 {"wanted", row.next_offset},
                                                                                 {"low", log.low},
                                                                                 {"high", log.high},
                                                                                 {"same_cluster", same}});
  return Part{row.generation + 1, log.low};
}

Status DerivedWriter::reopen(kafka::Consumer& consumer, std::string_view why) {
  log_.warn("reading the offsets again", {{"reason", why}});
  const std::vector<kafka::TopicPartition> partitions = consumer.assignment();
  auto positions = assigned(partitions);
  if (!positions) return positions.error();
  return consumer.assign(*positions);
}

// False: end this consumer and make another.
bool DerivedWriter::on_fault(kafka::Consumer& consumer, const kafka::Polled& polled) {
  switch (polled.fault) {
    case kafka::Fault::kTransient:
    case kafka::Fault::kUnknownTopic:
      log_.limited(limiter_, observability::Level::kWarn, "Kafka", {{"error", polled.message}});
      return true;
    case kafka::Fault::kPollTooSlow:
      return true;
    case kafka::Fault::kOffsetOutOfRange:
      return reopen(consumer, polled.message).ok();
    case kafka::Fault::kFenced:
      note("another writer has the same KAFKA_INSTANCE");
      log_.error("another writer has the same static member id", {{"error", polled.message}});
      return false;
    case kafka::Fault::kFatal:
      log_.limited(limiter_, observability::Level::kWarn, "the consumer cannot go on and is made anew",
                   {{"error", polled.message}});
      return false;
  }
  return false;
}

void DerivedWriter::note_lag(const kafka::Consumer& consumer) {
  double records = 0;
  for (const auto& [where, next] : committed_) {
    const auto marks = consumer.cached_watermarks(where);
    if (marks) records += static_cast<double>(std::max<std::int64_t>(0, marks->high - next));
  }
  metrics_.derived_lag_records.set(records);
}

}  // namespace millrace::writer
