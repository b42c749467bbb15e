#include "acknowledged/acknowledged_keeper.hpp"

#include <algorithm>
#include <utility>
#include <vector>

#include <millrace/base/digest.hpp>
#include <millrace/storage/v1/ledger.pb.h>

namespace millrace::writer {
namespace {

using postgres::Params;

constexpr std::chrono::milliseconds kInterval{1'000};
// Rows of one statement.
constexpr std::size_t kAtOnce = 2'000;

}  // namespace

AcknowledgedKeeper::AcknowledgedKeeper(const Config& config)
    : config_(config),
      follower_(
          config.kafka, config.topics.ledger(),
          {.on_again = {}, .on_record = [this](const kafka::Record& record) { take(record); }, .on_complete = {}}) {}

AcknowledgedKeeper::~AcknowledgedKeeper() { stop(); }

void AcknowledgedKeeper::start() {
  thread_ = std::jthread([this](const std::stop_token& stop) { run(stop); });
  follower_.start();
}

void AcknowledgedKeeper::stop() {
  follower_.stop();
  if (!thread_.joinable()) return;
  thread_.request_stop();
  thread_.join();
}

void AcknowledgedKeeper::take(const kafka::Record& record) {
  if (record.is_tombstone()) return;
  storage::v1::Acknowledged said;
  if (!said.ParseFromArray(record.value().data(), static_cast<int>(record.value().size()))) {
    log_.limited(limiter_, observability::Level::kError, "an entry of the ledger ignored",
                 {{"offset", record.offset()}});
    return;
  }
  const bool refused = said.topic() == config_.topics.telemetry_dead();
  if (!refused && said.topic() != config_.topics.telemetry()) return;
  const std::scoped_lock lock(mutex_);
  Said& kept = waiting_[{refused ? Kind::kRefused : Kind::kAcknowledged,
                         {said.hour_us(), said.partition(), said.generation(), said.start()}}];
  kept.records = std::max(kept.records, said.records());
  kept.highest_offset = std::max(kept.highest_offset, said.highest_offset());
}

void AcknowledgedKeeper::put_back(const Waiting& some) {
  const std::scoped_lock lock(mutex_);
  for (const auto& [key, said] : some) {
    Said& kept = waiting_[key];
    kept.records = std::max(kept.records, said.records);
    kept.highest_offset = std::max(kept.highest_offset, said.highest_offset);
  }
}

void AcknowledgedKeeper::run(const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    Waiting some;
    {
      std::unique_lock lock(mutex_);
      changed_.wait_for(lock, stop, kInterval, [] { return false; });
      while (!waiting_.empty() && some.size() < kAtOnce) some.insert(waiting_.extract(waiting_.begin()));
    }
    if (some.empty()) continue;
    const Status done = store(some);
    if (done) continue;
    put_back(some);
    connection_.reset();
    log_.limited(limiter_, observability::Level::kWarn, "what was acknowledged could not be written yet",
                 {{"error", done.error().message}});
  }
}

Status AcknowledgedKeeper::store(const Waiting& some) {
  if (!connection_ || !connection_->usable()) {
    auto opened = postgres::Connection::open(config_.database);
    if (!opened) return opened.error();
    connection_ = std::move(*opened);
  }
  for (const Kind kind : {Kind::kAcknowledged, Kind::kRefused}) {
    if (auto done = store(kind, some); !done) return done;
  }
  return {};
}

Status AcknowledgedKeeper::store(Kind kind, const Waiting& some) {
  std::vector<TimeUs> hours;
  std::vector<std::int32_t> parts;
  std::vector<std::int32_t> generations;
  std::vector<std::string> starts;
  std::vector<std::int64_t> records;
  std::vector<std::int64_t> highest;
  for (const auto& [of, said] : some) {
    const auto& [its_kind, key] = of;
    if (its_kind != kind) continue;
    hours.push_back(std::get<0>(key));
    parts.push_back(std::get<1>(key));
    generations.push_back(std::get<2>(key));
    starts.push_back(to_hex(std::get<3>(key)));
    records.push_back(said.records);
    highest.push_back(said.highest_offset);
  }
  if (hours.empty()) return {};
  const std::string table = kind == Kind::kRefused ? "storage.ledger_refused" : "storage.ledger_acknowledged";
  auto done = connection_->exec(
      "INSERT INTO " + table +
          " AS l (hour, part, generation, start, records, highest_offset)"
          " SELECT h, p, g, decode(s, 'hex'), r, o FROM unnest($1::timestamptz[], $2::int4[], $3::int4[], $4::text[],"
          " $5::int8[], $6::int8[]) AS n(h, p, g, s, r, o) ORDER BY 1, 2, 3, 4"
          " ON CONFLICT (hour, part, generation, start) DO UPDATE SET records = greatest(l.records, excluded.records),"
          " highest_offset = greatest(l.highest_offset, excluded.highest_offset)"
          " WHERE l.records < excluded.records",
      Params{}
          .timestamptz_array(hours)
          .int4_array(parts)
          .int4_array(generations)
          .text_array(starts)
          .int8_array(records)
          .int8_array(highest));
  return done ? Status{} : Status{done.error()};
}

}  // namespace millrace::writer
