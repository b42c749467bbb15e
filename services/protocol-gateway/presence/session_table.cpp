#include "presence/session_table.hpp"

#include <millrace/mqtt/server_connection.hpp>

#include "millrace/devices/v1/session.pb.h"

namespace millrace::gateway {

std::string encode(const SessionRecord& record) {
  devices::v1::Session out;
  out.set_tenant(record.tenant);
  out.set_device(record.device);
  out.set_client_id(record.client_id);
  out.set_gateway(record.gateway);
  out.set_epoch(record.session.epoch);
  out.set_expiry_s(record.session.expiry_s);
  out.set_connected(record.connected);
  out.set_disconnected_us(record.disconnected);
  for (const auto& one : record.session.subscriptions) {
    auto& added = *out.add_subscriptions();
    added.set_filter(one.filter);
    added.set_maximum_qos(static_cast<std::uint32_t>(one.maximum_qos));
    added.set_no_local(one.no_local);
    added.set_retain_as_published(one.retain_as_published);
    added.set_subscription_id(one.subscription_id);
  }
  for (const std::uint16_t id : record.session.unreleased) out.add_unreleased(id);
  out.set_device_key(record.device_key);
  return out.SerializeAsString();
}

Result<SessionRecord> decode_session(std::string_view bytes) {
  devices::v1::Session in;
  if (!in.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())) || in.client_id().empty()) {
    return Error{ErrorKind::kCorrupt, "the value is no session record"};
  }
  SessionRecord record;
  record.tenant = in.tenant();
  record.device = in.device();
  record.client_id = in.client_id();
  record.gateway = in.gateway();
  record.connected = in.connected();
  record.disconnected = in.disconnected_us();
  record.session.epoch = in.epoch();
  record.session.expiry_s = in.expiry_s();
  record.device_key = in.device_key();
  for (const auto& one : in.subscriptions()) {
    if (one.maximum_qos() > 2 || !mqtt::valid_topic_filter(one.filter())) {
      return Error{ErrorKind::kCorrupt, "the session has a subscription that is none"};
    }
    record.session.subscriptions.push_back({one.filter(), static_cast<mqtt::Qos>(one.maximum_qos()), one.no_local(),
                                            one.retain_as_published(), one.subscription_id()});
  }
  for (const std::uint32_t id : in.unreleased()) {
    if (id == 0 || id > 65535) return Error{ErrorKind::kCorrupt, "the session has a packet id that is none"};
    record.session.unreleased.push_back(static_cast<std::uint16_t>(id));
  }
  return record;
}

std::string session_key(const Visit& visit) { return visit.tenant + "/" + visit.device + "/" + visit.client_id; }

SessionName parse_session_key(std::string_view key) {
  const std::size_t device = key.find('/') + 1;
  const std::size_t client = key.find('/', device) + 1;
  return {key.substr(0, device - 1), key.substr(device, client - device - 1), key.substr(client)};
}

void SessionTable::schedule(const std::string& key, Entry& entry, TimeUs due) {
  if (entry.due != 0) due_.erase({entry.due, key});
  entry.due = due;
  if (due != 0) due_.emplace(due, key);
}

Result<SessionTable::Effect> SessionTable::apply(std::string_view key, std::optional<std::string_view> value) {
  auto known = sessions_.find(key);
  if (!value) {
    if (known == sessions_.end()) return Effect::kNone;
    const bool here = known->second.own && known->second.connected;
    schedule(known->first, known->second, 0);
    sessions_.erase(known);
    return here ? Effect::kAssert : Effect::kNone;
  }
  const auto record = decode_session(*value);
  if (!record.ok()) return record.error();
  if (known != sessions_.end() && record->session.epoch < known->second.epoch) {
    if (!known->second.own) return Effect::kNone;
    return known->second.connected ? Effect::kAssert : Effect::kRewrite;
  }
  if (known == sessions_.end()) known = sessions_.try_emplace(std::string(key)).first;
  Entry& entry = known->second;
  entry.value = *value;
  entry.epoch = record->session.epoch;
  entry.own = record->gateway == gateway_;
  entry.connected = record->connected;
  entry.expires = 0;
  if (!record->connected && record->session.expiry_s != mqtt::kNeverExpires) {
    entry.expires = record->disconnected + static_cast<TimeUs>(record->session.expiry_s) * kUsPerSecond;
  }
  const TimeUs grace = entry.own ? 0 : kGrace;
  schedule(known->first, entry, entry.expires == 0 ? 0 : entry.expires + grace);
  return Effect::kNone;
}

std::string SessionTable::value_of(std::string_view key) const {
  const auto known = sessions_.find(key);
  return known == sessions_.end() ? std::string() : known->second.value;
}

void SessionTable::clear() {
  sessions_.clear();
  due_.clear();
}

std::optional<mqtt::StoredSession> SessionTable::find(std::string_view key, std::int32_t device_key, TimeUs now) const {
  const auto known = sessions_.find(key);
  if (known == sessions_.end()) return std::nullopt;
  if (known->second.expires != 0 && known->second.expires <= now) return std::nullopt;
  auto record = decode_session(known->second.value);
  if (!record.ok() || record->device_key != device_key) return std::nullopt;
  return std::move(record->session);
}

std::vector<std::string> SessionTable::take_expired(TimeUs now) {
  std::vector<std::string> expired;
  while (!due_.empty() && due_.begin()->first <= now) {
    std::string key = due_.begin()->second;
    schedule(key, sessions_.find(key)->second, now + kGrace);
    expired.push_back(std::move(key));
  }
  return expired;
}

std::vector<SessionTable::Orphan> SessionTable::own_connected() const {
  std::vector<Orphan> found;
  for (const auto& [key, entry] : sessions_) {
    if (entry.own && entry.connected) found.push_back({key, entry.epoch});
  }
  return found;
}

std::optional<std::string> SessionTable::ended(const Orphan& orphan, TimeUs now) const {
  const auto known = sessions_.find(orphan.key);
  if (known == sessions_.end() || known->second.epoch != orphan.epoch || !known->second.connected) return std::nullopt;
  auto record = decode_session(known->second.value);
  if (!record.ok()) return std::nullopt;
  record->connected = false;
  record->disconnected = now;
  return encode(*record);
}

}  // namespace millrace::gateway
