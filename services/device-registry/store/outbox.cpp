#include "store/outbox.hpp"

#include <millrace/postgres/copy.hpp>

namespace millrace::registry {
namespace {

// Any number that nothing else in this database locks.
constexpr const char* kLock = "SELECT pg_advisory_xact_lock(7813571436810)";

}  // namespace

std::string tenant_entry_key(const std::string& tenant) { return "tenant/" + tenant; }
std::string device_entry_key(const std::string& tenant, const std::string& device) {
  return "device/" + tenant + "/" + device;
}
std::string api_key_entry_key(const std::string& key_id) { return "key/" + key_id; }
std::string webhook_entry_key(const std::string& tenant) { return "webhook/" + tenant; }
std::string limits_entry_key(const std::string& tenant, const std::string& device) {
  return "limits/" + tenant + (device.empty() ? "" : "/" + device);
}

std::string credentials_entry_key(const std::string& tenant, const std::string& device) {
  return "credentials/" + tenant + "/" + device;
}
std::string authority_entry_key(const std::string& tenant, const std::string& authority) {
  return "authority/" + tenant + "/" + authority;
}
std::string policy_entry_key(const std::string& tenant) { return "policy/" + tenant; }
std::string retention_entry_key(const std::string& tenant) { return "retention/" + tenant; }
std::string type_entry_key(const std::string& tenant, const std::string& type) { return "type/" + tenant + "/" + type; }

Status Outbox::lock() {
  if (locked_) return {};
  if (auto locked = connection_.exec(kLock); !locked.ok()) return locked.error();
  locked_ = true;
  return {};
}

Result<std::int64_t> Outbox::next_id() {
  if (auto status = lock(); !status.ok()) return status.error();
  auto id = connection_.exec("SELECT nextval('registry.outbox_seq')");
  if (!id.ok()) return id.error();
  return id->integer(0, 0);
}

Status Outbox::insert(std::int64_t id, OutboxTopic topic, const std::string& key,
                      const std::optional<std::string>& value) {
  postgres::Params params;
  params.integer(id).integer(static_cast<std::int16_t>(topic)).text(key);
  if (value)
    params.bytea(*value);
  else
    params.null();
  auto done = connection_.exec(
      "INSERT INTO registry.outbox (id, topic, key, value) VALUES ($1::int8, $2::int2, $3, $4::bytea)", params);
  return done.ok() ? Status{} : Status(done.error());
}

Status Outbox::put(const std::string& key, v1::Entry entry) {
  const auto id = next_id();
  if (!id.ok()) return id.error();
  entry.set_revision(*id);
  return insert(*id, OutboxTopic::kRegistry, key, entry.SerializeAsString());
}

Status Outbox::put_all(std::vector<OutboxEntry> entries) {
  if (auto status = lock(); !status.ok()) return status;
  auto ids = connection_.exec("SELECT nextval('registry.outbox_seq') FROM generate_series(1, $1::int4)",
                              postgres::Params{}.integer(static_cast<std::int32_t>(entries.size())));
  if (!ids.ok()) return ids.error();
  postgres::CopyEncoder rows;
  for (std::size_t i = 0; i < entries.size(); ++i) {
    OutboxEntry& one = entries[i];
    const std::int64_t id = ids->integer(static_cast<int>(i), 0);
    one.entry.set_revision(id);
    rows.begin_row(4);
    rows.int8(id);
    rows.int2(static_cast<std::int16_t>(OutboxTopic::kRegistry));
    rows.text(one.key);
    rows.bytea(one.entry.SerializeAsString());
  }
  rows.finish();
  auto done =
      connection_.copy_in("COPY registry.outbox (id, topic, key, value) FROM STDIN (FORMAT binary)", rows.bytes());
  return done.ok() ? Status{} : Status(done.error());
}

Status Outbox::remove(const std::string& key) {
  const auto id = next_id();
  if (!id.ok()) return id.error();
  return insert(*id, OutboxTopic::kRegistry, key, std::nullopt);
}

Status Outbox::put_rule(const rules::v1::Rule& rule) {
  const auto id = next_id();
  if (!id.ok()) return id.error();
  return insert(*id, OutboxTopic::kRules, rule.tenant() + "/" + rule.rule(), rule.SerializeAsString());
}

Status Outbox::remove_rule(const std::string& tenant, const std::string& rule) {
  const auto id = next_id();
  if (!id.ok()) return id.error();
  return insert(*id, OutboxTopic::kRules, tenant + "/" + rule, std::nullopt);
}

}  // namespace millrace::registry
