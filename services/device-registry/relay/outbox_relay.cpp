#include "relay/outbox_relay.hpp"

#include <vector>

#include <millrace/base/backoff.hpp>

#include "store/outbox.hpp"

namespace millrace::registry {
namespace {

using postgres::Params;
using std::chrono::milliseconds;

constexpr milliseconds kLook{200};  // for what other instances committed
constexpr milliseconds kSendTimeout{10'000};
constexpr int kMost = 500;

}  // namespace

OutboxRelay::OutboxRelay(RelayOptions options, const registry_view::RegistryView& view, observability::Metrics& metrics)
    : options_(std::move(options)),
      view_(view),
      waiting_(metrics.gauge("millrace_device_registry_outbox_rows",
                             "Changes that the topic does not have yet, as last seen.")),
      relayed_(metrics.counter("millrace_device_registry_relayed_total", "Changes brought to the topic.")) {}

OutboxRelay::~OutboxRelay() { stop(); }

void OutboxRelay::start() {
  thread_ = std::jthread([this](const std::stop_token& stop) { run(stop); });
}

void OutboxRelay::stop() { thread_ = std::jthread{}; }

void OutboxRelay::wake() {
  const std::lock_guard lock(mutex_);
  woken_ = true;
  changed_.notify_all();
}

void OutboxRelay::set_state(const std::string& text) {
  const std::lock_guard lock(mutex_);
  state_ = text;
}

std::string OutboxRelay::detail() const {
  const std::lock_guard lock(mutex_);
  return state_;
}

runtime::CheckResult OutboxRelay::database_check() const {
  return {database_ok_.load(), database_ok_.load() ? "connected" : "no connection to PostgreSQL"};
}

// The sequence may be behind after a restore of the database from an older backup.
Status OutboxRelay::move_sequence() {
  if (keys_safe_.load() || !view_.ready()) return {};
  auto moved = connection_->exec(
      "SELECT setval('registry.device_key_seq', greatest($1::int8, (SELECT coalesce(max(device_key), 0) FROM "
      "registry.device),"
      " (SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM registry.device_key_seq), 1), true)",
      Params{}.integer(view_.highest_device_key()));
  if (!moved.ok()) return moved.error();
  keys_safe_.store(true);
  log_.info("device keys go on", {{"behind", moved->integer(0, 0)}});
  return {};
}

Result<bool> OutboxRelay::lead() {
  if (leader_) return true;
  auto locked = connection_->exec("SELECT pg_try_advisory_lock(7813571436811)");
  if (!locked.ok()) return locked.error();
  leader_ = locked->boolean(0, 0);
  return leader_;
}

Result<std::size_t> OutboxRelay::relay_some(kafka::SyncProducer& producer) {
  auto rows = connection_->exec("SELECT id, topic, key, value FROM registry.outbox ORDER BY id LIMIT $1::int8",
                                Params{}.integer(kMost));
  if (!rows.ok()) return rows.error();
  waiting_.set(rows->size());
  if (rows->empty()) return std::size_t{0};
  std::vector<kafka::OutgoingRecord> records;
  std::vector<std::int64_t> ids;
  for (int i = 0; i < rows->size(); ++i) {
    ids.push_back(rows->integer(i, 0));
    const bool is_rule = rows->integer(i, 1) == static_cast<std::int64_t>(OutboxTopic::kRules);
    kafka::OutgoingRecord record{.topic = is_rule ? options_.rules_topic : options_.registry_topic,
                                 .partition = 0,
                                 .key = std::string(rows->text(i, 2)),
                                 .value = std::nullopt};
    if (!rows->is_null(i, 3)) record.value = std::string(rows->text(i, 3));
    records.push_back(std::move(record));
  }
  const auto sent = producer.send(records);
  if (!sent.ok()) return sent.error();
  auto gone = connection_->exec("DELETE FROM registry.outbox WHERE id = ANY($1::int8[])", Params{}.int8_array(ids));
  if (!gone.ok()) return gone.error();
  relayed_.add(static_cast<double>(ids.size()));
  return ids.size();
}

void OutboxRelay::run(const std::stop_token& stop) {
  kafka::SyncProducer producer(options_.kafka, kSendTimeout);
  Backoff backoff(milliseconds{100}, milliseconds{2000});
  while (!stop.stop_requested()) {
    Status status;
    bool more = false;
    if (!connection_ || !connection_->usable()) {
      leader_ = false;
      auto opened = postgres::Connection::open(options_.database);
      if (opened.ok()) {
        connection_ = std::move(*opened);
      } else {
        status = opened.error();
      }
    }
    if (status.ok()) status = move_sequence();
    if (status.ok()) {
      const auto leads = lead();
      if (!leads.ok()) {
        status = leads.error();
      } else if (*leads) {
        const auto count = relay_some(producer);
        if (!count.ok()) {
          status = count.error();
        } else {
          more = *count == kMost;
        }
      }
    }
    database_ok_.store(connection_ != nullptr && connection_->usable());
    set_state(status.ok() ? (leader_ ? "relays the outbox" : "another instance relays the outbox")
                          : "cannot relay: " + status.error().message);
    if (!status.ok())
      log_.limited(limiter_, observability::Level::kWarn, "changes wait in the outbox",
                   {{"error", status.error().message}});
    if (status.ok()) backoff.reset();
    if (more) continue;
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, stop, status.ok() ? kLook : backoff.next(), [this] { return woken_; });
    woken_ = false;
  }
  connection_.reset();
}

}  // namespace millrace::registry
