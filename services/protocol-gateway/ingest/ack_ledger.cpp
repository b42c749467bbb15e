#include "ingest/ack_ledger.hpp"

#include <utility>

#include <millrace/base/digest.hpp>
#include <millrace/storage/v1/ledger.pb.h>

namespace millrace::gateway {
namespace {

constexpr std::chrono::seconds kAnswer{3};

}  // namespace

AckLedger::AckLedger(Options options, const telemetry::StartId& start, Collect collect)
    : options_(std::move(options)), start_(start), collect_(std::move(collect)), producer_(options_.kafka, kAnswer) {}

AckLedger::~AckLedger() { stop(); }

void AckLedger::start() {
  thread_ = std::jthread([this](const std::stop_token& stop) { run(stop); });
}

void AckLedger::stop() {
  if (!thread_.joinable()) return;
  thread_.request_stop();
  thread_.join();
}

void AckLedger::run(const std::stop_token& stop) {
  bool published = true;
  while (!stop.stop_requested()) {
    published = publish();
    std::unique_lock lock(mutex_);
    wake_.wait_for(lock, stop, options_.interval, [] { return false; });
  }
  // Where Kafka is away the end of the service does not wait for it.
  if (published) static_cast<void>(publish());
}

bool AckLedger::publish() {
  std::vector<Counted> counted;
  collect_(counted);
  const std::string_view start(reinterpret_cast<const char*>(start_.data()), start_.size());
  for (const Counted& one : counted) {
    storage::v1::Acknowledged said;
    said.set_start(std::string(start));
    const std::string& topic = one.refused ? options_.dead : options_.telemetry;
    said.set_topic(topic);
    said.set_partition(one.partition);
    said.set_generation(one.hour.generation);
    said.set_hour_us(one.hour.hour);
    said.set_records(one.hour.records);
    said.set_highest_offset(one.hour.highest_offset);
    std::string key = to_hex(start) + "/" + topic + "/" + std::to_string(one.partition) + "/" +
                      std::to_string(one.hour.generation) + "/" + std::to_string(one.hour.hour);
    kafka::OutgoingRecord record{.topic = options_.topic, .key = key, .value = said.SerializeAsString()};
    waiting_.insert_or_assign(std::move(key), std::move(record));
  }
  if (waiting_.empty()) return true;
  std::vector<kafka::OutgoingRecord> records;
  for (const auto& [key, record] : waiting_) records.push_back(record);
  if (const auto sent = producer_.send(records); !sent) {
    log_.limited(limiter_, observability::Level::kWarn, "the ledger could not be published yet",
                 {{"error", sent.error().message}});
    return false;
  }
  waiting_.clear();
  return true;
}

}  // namespace millrace::gateway
