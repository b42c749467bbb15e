#include "store/outbox.hpp"

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

Result<std::int64_t> Outbox::next_id() {
  if (!locked_) {
    if (auto locked = connection_.exec(kLock); !locked.ok()) return locked.error();
    locked_ = true;
  }
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
