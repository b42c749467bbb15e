#include "tail/tail_hub.hpp"

#include <algorithm>

#include <millrace/base/backoff.hpp>
#include <millrace/base/ids.hpp>
#include <millrace/telemetry/receipt.hpp>

namespace millrace::query_api {
namespace {

using std::chrono::milliseconds;
constexpr milliseconds kTimeout{5'000};
constexpr milliseconds kPoll{100};

kafka::ConsumerOptions consumer_options() {
  kafka::ConsumerOptions options;
  options.prefetch_bytes = 16 << 20;
  options.fetch_wait = milliseconds{100};
  return options;
}

/// Of those who want one device of a tenant; of those who want all of them without a device. No id holds a zero.
std::string key_of(std::string_view tenant, std::string_view device) {
  return std::string(tenant).append(1, '\0').append(device);
}

std::vector<std::string> keys_of(const TailFilter& filter) {
  if (filter.devices.empty()) return {key_of(filter.tenant, {})};
  std::vector<std::string> keys;
  for (const std::string& device : filter.devices) keys.push_back(key_of(filter.tenant, device));
  return keys;
}

}  // namespace

TailHub::TailHub(TailOptions options, observability::Metrics& metrics)
    : options_(std::move(options)),
      readers_gauge_(metrics.gauge("millrace_query_tail_readers", "Tail calls that are open.")),
      readings_total_(
          metrics.counter("millrace_query_tail_readings_total", "Readings handed to tails, missed ones included.")) {}

TailHub::~TailHub() { stop(); }

void TailHub::start() {
  thread_ = std::jthread([this](const std::stop_token& stop) { run(stop); });
}

void TailHub::stop() {
  if (!thread_.joinable()) return;
  thread_.request_stop();
  thread_.join();
}

Result<std::shared_ptr<TailReader>> TailHub::add(TailFilter filter) {
  auto reader = std::make_shared<TailReader>(std::move(filter), options_.queue_readings, options_.queue_bytes);
  const std::lock_guard lock(mutex_);
  if (count_ >= options_.most_readers) {
    return Error{ErrorKind::kThrottled,
                 "as many tails are open as may be (" + std::to_string(options_.most_readers) + "); try again later"};
  }
  ++count_;
  readers_gauge_.set(static_cast<double>(count_));
  for (const std::string& key : keys_of(reader->filter())) by_device_[key].push_back(reader);
  // No callback is set yet, so nothing is called under the lock.
  if (following_) reader->set_live();
  changed_.notify_all();
  return reader;
}

void TailHub::remove(const std::shared_ptr<TailReader>& reader) {
  const std::lock_guard lock(mutex_);
  bool known = false;
  for (const std::string& key : keys_of(reader->filter())) {
    const auto readers = by_device_.find(key);
    if (readers == by_device_.end()) continue;
    known = std::erase(readers->second, reader) != 0 || known;
    if (readers->second.empty()) by_device_.erase(readers);
  }
  if (!known) return;
  --count_;
  readers_gauge_.set(static_cast<double>(count_));
}

void TailHub::run(const std::stop_token& stop) {
  Backoff backoff(milliseconds{100}, milliseconds{5'000});
  while (!stop.stop_requested()) {
    {
      std::unique_lock lock(mutex_);
      if (!changed_.wait(lock, stop, [this] { return count_ > 0; })) return;
    }
    kafka::Consumer consumer(options_.kafka, consumer_options());
    if (const Status opened = open(consumer); !opened.ok()) {
      log_.limited(limiter_, observability::Level::kWarn, "log cannot be followed",
                   {{"error", opened.error().message}});
      std::unique_lock lock(mutex_);
      changed_.wait_for(lock, stop, backoff.next(), [] { return false; });
      continue;
    }
    backoff.reset();
    set_all_live();
    follow(consumer, stop);
    const std::lock_guard lock(mutex_);
    following_ = false;
  }
}

Status TailHub::open(kafka::Consumer& consumer) {
  const auto partitions = consumer.partitions(options_.topic, kTimeout);
  if (!partitions.ok()) return partitions.error();
  std::vector<kafka::Position> positions;
  for (int partition = 0; partition < partitions.value(); ++partition) {
    const kafka::TopicPartition where{options_.topic, partition};
    const auto log = consumer.watermarks(where, kTimeout);
    if (!log.ok()) return log.error();
    positions.push_back({where, log->high});
  }
  return consumer.assign(positions);
}

void TailHub::set_all_live() {
  Readers all;
  {
    const std::lock_guard lock(mutex_);
    following_ = true;
    for (const auto& [key, readers] : by_device_) all.insert(all.end(), readers.begin(), readers.end());
  }
  for (const auto& reader : all) reader->set_live();
}

void TailHub::follow(kafka::Consumer& consumer, const std::stop_token& stop) {
  while (!stop.stop_requested() && !nobody()) {
    const kafka::Polled polled = consumer.poll(kPoll);
    if (polled.kind == kafka::Polled::Kind::kRecord) {
      deliver(polled.record);
    } else if (polled.kind == kafka::Polled::Kind::kFault && polled.fault != kafka::Fault::kTransient) {
      log_.limited(limiter_, observability::Level::kWarn, "following begins anew at the log's end",
                   {{"error", polled.message}});
      return;
    }
  }
}

bool TailHub::nobody() const {
  const std::lock_guard lock(mutex_);
  return count_ == 0;
}

TailHub::Readers TailHub::readers_of(std::string_view tenant, std::string_view device) const {
  Readers wanted;
  const std::lock_guard lock(mutex_);
  for (const std::string& key : {key_of(tenant, device), key_of(tenant, {})}) {
    const auto found = by_device_.find(key);
    if (found != by_device_.end()) wanted.insert(wanted.end(), found->second.begin(), found->second.end());
  }
  return wanted;
}

void TailHub::deliver(const kafka::Record& record) {
  const auto key = parse_record_key(record.key());
  if (!key.ok()) return;
  const Readers readers = readers_of(key->first, key->second);
  if (readers.empty() || !codec_.decode(record.value(), batch_).ok()) return;
  const telemetry::Receipt receipt{.partition = record.partition(), .offset = record.offset()};
  const std::string receipt_text = receipt.to_string();
  for (std::size_t i = 0; i < batch_.points.size(); ++i) {
    const telemetry::Point& point = batch_.points[i];
    // As the writer stamps points without a time, up to its step aside where that microsecond is taken.
    const TimeUs time = telemetry::device_time(batch_, point).value_or(batch_.ingest_time + static_cast<TimeUs>(i));
    for (const auto& reader : readers) {
      if (!reader->filter().wants_metric(point.metric)) continue;
      reader->offer({batch_.device, point.metric, time, point.value, receipt_text});
      readings_total_.add();
    }
  }
}

}  // namespace millrace::query_api
