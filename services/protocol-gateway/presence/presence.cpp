#include "presence/presence.hpp"

#include <utility>

#include <boost/asio/post.hpp>

#include <millrace/base/ids.hpp>

namespace millrace::gateway {
namespace {

constexpr std::chrono::milliseconds kLookEvery{500};
constexpr std::string_view kGatewayDied = "the gateway did not say that it had closed the connection";

}  // namespace

Presence::Presence(Options options, IoThreads& threads, const GatewayMetrics& metrics)
    : gateway_(std::move(options.gateway)),
      start_(std::move(options.start)),
      metrics_(metrics),
      table_(gateway_, start_),
      log_(options.log),
      follower_(options.log.kafka, options.log.topic,
                {.on_again =
                     [this] {
                       const std::lock_guard lock(mutex_);
                       table_.clear();
                     },
                 .on_record = [this](const kafka::Record& record) { on_record(record); },
                 .on_complete =
                     [this] {
                       const std::lock_guard lock(mutex_);
                       table_.read_to_end(now_us());
                     }}),
      timer_(threads.context(0)) {}

Presence::~Presence() { stop(); }

void Presence::start() {
  log_.start();
  follower_.start();
  boost::asio::post(timer_.get_executor(), [this] { look_for_dead(); });
}

void Presence::stop() {
  follower_.stop();
  log_.stop();
}

runtime::CheckResult Presence::check() const {
  if (!follower_.ready()) return {false, "the topic is not read to its end yet"};
  if (!log_.accepting()) return {false, "Kafka does not confirm records; nobody is let in over MQTT"};
  return {true, "gateway " + gateway_};
}

Visit Presence::visit(std::string tenant, std::string device, std::string client_id) {
  Visit visit;
  visit.tenant = std::move(tenant);
  visit.device = std::move(device);
  visit.client_id = std::move(client_id);
  visit.gateway = gateway_;
  visit.start = start_;
  visit.connection = connections_.fetch_add(1, std::memory_order_relaxed) + 1;
  visit.connected = now_us();
  return visit;
}

int Presence::partition_of_visit(const Visit& visit, std::string& key) const {
  key = record_key(visit.tenant, visit.device);
  return partition_of(key, log_.partitions());
}

Status Presence::announce(const Visit& visit, OnEpoch done) {
  if (!accepting()) return Error{ErrorKind::kUnavailable, "Kafka cannot be reached"};
  PresenceRecord record;
  record.visit = visit;
  record.connected = true;
  std::string key;
  const int partition = partition_of_visit(visit, key);
  return log_.write(partition, std::move(key), encode(record),
                    [done = std::move(done)](const Result<kafka::RecordCoordinate>& where) {
                      if (!where.ok()) return done(where.error());
                      done(static_cast<std::uint64_t>(where->offset));
                    });
}

void Presence::write(const PresenceRecord& record) {
  std::string key;
  const int partition = partition_of_visit(record.visit, key);
  if (const Status written = log_.write(partition, std::move(key), encode(record), {}); !written.ok()) {
    logger_.limited(
        limiter_, observability::Level::kWarn, "a presence record was not written",
        {{"device", record_key(record.visit.tenant, record.visit.device)}, {"error", written.error().message}});
  }
}

void Presence::assert_again(const Visit& visit, std::uint64_t epoch) {
  PresenceRecord record;
  record.visit = visit;
  record.connected = true;
  record.epoch = epoch;
  write(record);
}

void Presence::leave(const Visit& visit, std::uint64_t epoch, DisconnectCause cause, std::string_view detail) {
  metrics_.disconnects[static_cast<std::size_t>(cause)].add();
  PresenceRecord record;
  record.visit = visit;
  record.epoch = epoch;
  record.disconnected = now_us();
  record.cause = cause;
  record.detail = detail;
  write(record);
}

void Presence::on_record(const kafka::Record& record) {
  if (record.is_tombstone()) return;
  const auto decoded = decode_presence(record.value());
  if (!decoded.ok()) {
    logger_.limited(limiter_, observability::Level::kWarn, "a presence record cannot be read",
                    {{"partition", record.partition()}, {"offset", record.offset()}});
    return;
  }
  const auto offset = static_cast<std::uint64_t>(record.offset());
  PresenceTable::Applied applied;
  {
    const std::lock_guard lock(mutex_);
    applied = table_.apply(*decoded, offset, now_us());
  }
  switch (applied.meaning) {
    case PresenceTable::Meaning::kNothing:
      break;
    case PresenceTable::Meaning::kNewer:
      if (newer_) newer_(decoded->visit, applied.epoch);
      break;
    case PresenceTable::Meaning::kGone:
      if (gone_) gone_(decoded->visit, offset);
      break;
  }
}

void Presence::look_for_dead() {
  std::vector<PresenceTable::Dead> dead;
  if (log_.accepting()) {
    const std::lock_guard lock(mutex_);
    dead = table_.take_dead(now_us());
  }
  for (const PresenceTable::Dead& one : dead) {
    leave(one.visit, one.epoch, DisconnectCause::kGatewayLost, kGatewayDied);
  }
  timer_.expires_after(kLookEvery);
  timer_.async_wait([this](const boost::system::error_code& error) {
    if (!error) look_for_dead();
  });
}

}  // namespace millrace::gateway
